"""The configuration: checked on reading and on assignment, usable by attribute and by item."""

from __future__ import annotations

from versasound_core.config import (
    AudioGeneratorConfig,
    AudioRefinerConfig,
    Config,
    DeviceConfig,
    LoggingConfig,
    MemoryConfig,
    TemporalAlignerConfig,
    VisualEncoderConfig,
    load_config,
    save_config,
)

__all__ = [
    "AudioGeneratorConfig",
    "AudioRefinerConfig",
    "Config",
    "DeviceConfig",
    "LoggingConfig",
    "MemoryConfig",
    "TemporalAlignerConfig",
    "VisualEncoderConfig",
    "load_config",
    "save_config",
]
