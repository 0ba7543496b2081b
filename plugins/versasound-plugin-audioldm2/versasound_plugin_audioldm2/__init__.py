"""AudioLDM 2: sound from text, steered by the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generator import AudioLDM2Generator as AudioLDM2Generator

__all__ = ["AudioLDM2Generator"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "AudioLDM2Generator":
        from .generator import AudioLDM2Generator

        return AudioLDM2Generator
    raise AttributeError(name)
