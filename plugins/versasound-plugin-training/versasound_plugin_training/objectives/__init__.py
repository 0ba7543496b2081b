"""The losses that generators were trained with, and what it takes to compute them."""

from __future__ import annotations

from .objective import Objective

__all__ = ["Objective"]
