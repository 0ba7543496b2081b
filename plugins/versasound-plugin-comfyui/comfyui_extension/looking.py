"""Looking at a clip: what an encoder sees, and the events of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

from versasound_core.containers import VideoClip, VisualFeatures
from versasound_core.events import detect_events

from .models.clock import ASSUMED_FPS, assumed

if TYPE_CHECKING:
    from versasound_core.context import RunContext
    from versasound_core.contracts import Encoder

_PICTURES, _RGB = 4, 3


def look(encoder: Encoder, clip: VideoClip, ctx: RunContext, *, known_fps: bool = True) -> VisualFeatures:
    """Encode a clip, find its events if the encoder does not, and note its length in `metadata["duration_s"]`.

    Args:
        encoder: The encoder.
        clip: The clip.
        ctx: Device, progress and cancellation.
        known_fps: Whether the clip's rate is true; if not, its features are later spread over the length of the sound.
    """
    features = encoder.encode(clip, ctx)
    about = {"duration_s": clip.duration_s} if known_fps else assumed()
    events = features.events or detect_events(clip, ctx)
    return attrs.evolve(features, metadata={**about, **features.metadata}, events=events)


def clip_of_pictures(video: torch.Tensor, fps: float | None) -> VideoClip:
    """Make a clip of pictures `[N, H, W, C]` or clips `[B, T, C, H, W]`, in [0, 1].

    Args:
        video: An alpha channel is left out.
        fps: Pictures a second; None or 0 if nobody knows.

    Raises:
        InvalidInputError: Another shape, no pictures, or values out of range.
    """
    if isinstance(video, torch.Tensor) and video.ndim == _PICTURES:
        video = video[..., :_RGB].movedim(-1, 1)[None].clamp(0, 1)
    return VideoClip.from_tensor(video, fps or ASSUMED_FPS)
