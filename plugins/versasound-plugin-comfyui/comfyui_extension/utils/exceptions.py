"""What can go wrong."""

from __future__ import annotations

from versasound_core.errors import (
    Cancelled,
    DeviceError,
    InvalidInputError,
    MediaError,
    ModelLoadError,
    PluginError,
    VersaSoundError,
)

__all__ = [
    "Cancelled",
    "DeviceError",
    "InvalidInputError",
    "MediaError",
    "ModelLoadError",
    "PluginError",
    "VersaSoundError",
]
