"""The words of sound: which sounds a sentence names, on which material, and which words nobody understood.

It is about words alone: prompts, labels and a generator's recipes meet here, and nothing here makes a sound.
"""

from __future__ import annotations

from .load import Vocabulary, read_words
from .parse import Match, ParsedPrompt, Sound

__all__ = ["Match", "ParsedPrompt", "Sound", "Vocabulary", "read_words"]
