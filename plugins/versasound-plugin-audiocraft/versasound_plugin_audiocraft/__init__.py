"""MusicGen and AudioGen: music and sounds from text, as tokens of a neural codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generator import AudiocraftGenerator as AudiocraftGenerator
    from .original import AudiocraftOriginal as AudiocraftOriginal

__all__ = ["AudiocraftGenerator", "AudiocraftOriginal"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "AudiocraftGenerator":
        from .generator import AudiocraftGenerator

        return AudiocraftGenerator
    if name == "AudiocraftOriginal":
        from .original import AudiocraftOriginal

        return AudiocraftOriginal
    raise AttributeError(name)
