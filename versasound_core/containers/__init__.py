"""The typed containers that flow from role to role. Every one keeps the batch axis."""

from __future__ import annotations

from .alignment import Alignment
from .audio import AudioData
from .features import EventTrack, VisualFeatures
from .request import GenerationRequest
from .video import FrameChunk, VideoClip
from .view import EventView

__all__ = [
    "Alignment",
    "AudioData",
    "EventTrack",
    "EventView",
    "FrameChunk",
    "GenerationRequest",
    "VideoClip",
    "VisualFeatures",
]
