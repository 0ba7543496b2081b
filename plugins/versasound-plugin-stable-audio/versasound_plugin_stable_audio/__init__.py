"""Stable Audio Open: sound from text, steered by the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generator import StableAudioGenerator as StableAudioGenerator
    from .tools import StableAudioTools as StableAudioTools

__all__ = ["StableAudioGenerator", "StableAudioTools"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "StableAudioGenerator":
        from .generator import StableAudioGenerator

        return StableAudioGenerator
    if name == "StableAudioTools":
        from .tools import StableAudioTools

        return StableAudioTools
    raise AttributeError(name)
