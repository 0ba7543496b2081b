"""Loggers below `versasound`: silent unless asked, and nobody else's logging touched."""

from __future__ import annotations

from versasound_core.log import configure_logging, get_logger

__all__ = ["configure_logging", "get_logger"]
