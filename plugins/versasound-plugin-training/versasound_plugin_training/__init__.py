"""Training: adapters that teach a text-only generator to see."""

from __future__ import annotations
