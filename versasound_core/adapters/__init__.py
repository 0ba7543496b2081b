"""What was taught to turn visual features into tokens that a text-only generator attends to."""

from __future__ import annotations

from .adapter import Adapter, AdapterFacts, load_adapter
from .inputs import EVENT_CHANNELS, adapter_inputs
from .resampler import Resampler

__all__ = ["EVENT_CHANNELS", "Adapter", "AdapterFacts", "Resampler", "adapter_inputs", "load_adapter"]
