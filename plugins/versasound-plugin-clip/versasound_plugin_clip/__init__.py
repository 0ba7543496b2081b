"""CLIP and SigLIP 2: features that share a space with text, and the sounds that a picture suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoder import ClipEncoder as ClipEncoder

__all__ = ["ClipEncoder"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "ClipEncoder":
        from .encoder import ClipEncoder

        return ClipEncoder
    raise AttributeError(name)
