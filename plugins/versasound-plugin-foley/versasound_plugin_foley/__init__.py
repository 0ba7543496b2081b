"""Procedural foley: impacts, footsteps, weather, water, fire, machines and crowds, without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generator import FoleyGenerator as FoleyGenerator

__all__ = ["FoleyGenerator"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "FoleyGenerator":
        from .generator import FoleyGenerator

        return FoleyGenerator
    raise AttributeError(name)
