"""How a picture steers a generator that knows only text: by words, by timing, by tokens.

No model library is imported here. A plugin brings a `Model`; `TextToSound` does the rest: what is said to it, how long
sound becomes windows that it can make, how many are made at once, and what the events do to the result.
"""

from __future__ import annotations

from .generator import Settings, TextToSound
from .model import Job, Model
from .noise import noise_on_axis, python_random_state, tile_seeds
from .timing import ONSET_DECAY_S
from .words import Wording, wordings

__all__ = [
    "ONSET_DECAY_S",
    "Job",
    "Model",
    "Settings",
    "TextToSound",
    "Wording",
    "noise_on_axis",
    "python_random_state",
    "tile_seeds",
    "wordings",
]
