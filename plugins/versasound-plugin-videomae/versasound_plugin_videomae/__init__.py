"""VideoMAE: features of motion over windows of 16 frames, and the sounds of what people do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoder import VideoMaeEncoder as VideoMaeEncoder

__all__ = ["VideoMaeEncoder"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "VideoMaeEncoder":
        from .encoder import VideoMaeEncoder

        return VideoMaeEncoder
    raise AttributeError(name)
