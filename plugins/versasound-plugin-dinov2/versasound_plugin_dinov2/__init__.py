"""DINOv2 and DINOv3: self-supervised features of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoder import Dinov2Encoder as Dinov2Encoder

__all__ = ["Dinov2Encoder"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "Dinov2Encoder":
        from .encoder import Dinov2Encoder

        return Dinov2Encoder
    raise AttributeError(name)
