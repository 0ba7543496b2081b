"""The conformance kit: three lines, and pytest asks a backend everything that its contract says.

    from versasound_core.testing import GeneratorContract

    class TestBeep(GeneratorContract):
        name = "beep"

`versasound check beep` runs the same on what is installed. Needs pytest: `pip install "versasound-core[testing]"`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aligner import AlignerContract as AlignerContract
    from .encoder import EncoderContract as EncoderContract
    from .generator import GeneratorContract as GeneratorContract
    from .refiner import RefinerContract as RefinerContract

CONTRACTS = {
    "encoder": "EncoderContract",
    "generator": "GeneratorContract",
    "aligner": "AlignerContract",
    "refiner": "RefinerContract",
}
__all__ = ["CONTRACTS", "AlignerContract", "EncoderContract", "GeneratorContract", "RefinerContract"]


def __getattr__(name: str) -> Any:
    for role, contract in CONTRACTS.items():
        if name == contract:
            return getattr(importlib.import_module(f".{role}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
