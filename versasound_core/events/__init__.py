"""When something strikes or moves in the picture, and when something begins in the sound."""

from __future__ import annotations

from .detector import EventDetector, analysis_size, detect_events, join_tracks
from .sound import onset_envelope

__all__ = ["EventDetector", "analysis_size", "detect_events", "join_tracks", "onset_envelope"]
