"""Colour, motion and events, without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoder import MotionEncoder as MotionEncoder

__all__ = ["MotionEncoder"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "MotionEncoder":
        from .encoder import MotionEncoder

        return MotionEncoder
    raise AttributeError(name)
