"""When something strikes or moves: frames in, an event track out."""

from __future__ import annotations

from .detector import ANALYSIS_HEIGHT, EventDetector, detect_events, join_tracks

__all__ = ["ANALYSIS_HEIGHT", "EventDetector", "detect_events", "join_tracks"]
