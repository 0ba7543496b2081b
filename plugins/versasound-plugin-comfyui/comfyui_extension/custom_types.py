"""What flows between models and nodes; the containers are the core's own."""

from __future__ import annotations

from versasound_core.containers import AudioData, VisualFeatures

__all__ = ["AudioData", "VisualFeatures"]
