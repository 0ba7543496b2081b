"""The nodes that ComfyUI shows."""

from __future__ import annotations

from .clip import AddSoundToVideo, AttachSound
from .fetch import FetchWeights
from .picture import EventTrack, LatentToVisualFeatures, VisualFeatureExtractor
from .sound import AudioBlender, AudioGenerator, AudioRefiner, TemporalSynchronizer

NODES = (
    AddSoundToVideo,
    VisualFeatureExtractor,
    AudioGenerator,
    TemporalSynchronizer,
    AudioRefiner,
    AttachSound,
    AudioBlender,
    LatentToVisualFeatures,
    EventTrack,
    FetchWeights,
)

__all__ = ["NODES"]
