"""The nodes as classes with the classic attributes of ComfyUI; they work without ComfyUI too.

Each has a method of its own that returns what it makes, and `process`, which ComfyUI calls and which returns a tuple of
ComfyUI's types. The nodes that ComfyUI itself shows are those of `versasound_plugin_comfyui`.
"""

from __future__ import annotations

from .picture import LatentToVisualFeatures, VisualFeatureExtractor
from .sound import AudioBlender, AudioGenerator, AudioRefiner, TemporalSynchronizer

NODE_CLASS_MAPPINGS = {
    "VersaSound_VisualFeatureExtractor": VisualFeatureExtractor,
    "VersaSound_AudioGenerator": AudioGenerator,
    "VersaSound_TemporalSynchronizer": TemporalSynchronizer,
    "VersaSound_AudioRefiner": AudioRefiner,
    "VersaSound_LatentToVisualFeatures": LatentToVisualFeatures,
    "VersaSound_AudioBlender": AudioBlender,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "VersaSound_VisualFeatureExtractor": "Visual Feature Extractor",
    "VersaSound_AudioGenerator": "Audio Generator",
    "VersaSound_TemporalSynchronizer": "Temporal Synchronizer",
    "VersaSound_AudioRefiner": "Audio Refiner",
    "VersaSound_LatentToVisualFeatures": "Latent to Visual Features",
    "VersaSound_AudioBlender": "Audio Blender",
}

__all__ = [
    "NODE_CLASS_MAPPINGS",
    "NODE_DISPLAY_NAME_MAPPINGS",
    "AudioBlender",
    "AudioGenerator",
    "AudioRefiner",
    "LatentToVisualFeatures",
    "TemporalSynchronizer",
    "VisualFeatureExtractor",
]
