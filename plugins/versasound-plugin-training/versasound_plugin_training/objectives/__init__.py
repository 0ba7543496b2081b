"""The losses that generators were trained with, and what it takes to compute them."""

from __future__ import annotations

from .draw import Draw
from .load import load_objective, variant_of
from .objective import Objective

__all__ = ["Draw", "Objective", "load_objective", "variant_of"]
