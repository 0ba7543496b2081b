"""When something strikes or moves: frames in, an event track out."""

from __future__ import annotations

from .detector import EventDetector, analysis_size, detect_events, join_tracks

__all__ = ["EventDetector", "analysis_size", "detect_events", "join_tracks"]
