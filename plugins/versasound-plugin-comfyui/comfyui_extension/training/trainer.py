"""The trainer of the published API."""

from __future__ import annotations

from . import from_plugin

VersaSoundTrainer = from_plugin("VersaSoundTrainer")

__all__ = ["VersaSoundTrainer"]
