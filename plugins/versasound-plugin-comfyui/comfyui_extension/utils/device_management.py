"""Which device to compute on, and its memory."""

from __future__ import annotations

from versasound_core.device import DeviceManager

__all__ = ["DeviceManager"]
