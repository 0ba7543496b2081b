"""Loudness, noise, tone, compression and true peak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .refiner import MasteringRefiner as MasteringRefiner

__all__ = ["MasteringRefiner"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "MasteringRefiner":
        from .refiner import MasteringRefiner

        return MasteringRefiner
    raise AttributeError(name)
