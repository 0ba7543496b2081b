"""The data sets of the published API."""

from __future__ import annotations

from . import from_plugin

VideoAudioDataset = from_plugin("VideoAudioDataset")

__all__ = ["VideoAudioDataset"]
