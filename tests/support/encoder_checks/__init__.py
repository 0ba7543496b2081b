"""What every encoder on trained weights is held to; the tests of each plugin derive from it."""

from __future__ import annotations

from versasound_core.testing import EncoderContract

from .faults import Faults
from .features import Features
from .running import Running
from .subject import EXACT, noise, write_video

__all__ = ["EXACT", "EncoderChecks", "noise", "write_video"]


class EncoderChecks(Features, Running, Faults, EncoderContract):
    """What the contract asks of every encoder, and what only one on trained weights can be asked: see `Subject`."""
