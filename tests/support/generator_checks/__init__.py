"""What every generator on a diffusion pipeline is held to; the tests of each plugin derive from it."""

from __future__ import annotations

from .faults import Faults
from .output import Output
from .running import Running
from .steering import Steering
from .subject import PROMPT, seen

__all__ = ["PROMPT", "GeneratorChecks", "seen"]


class GeneratorChecks(Output, Steering, Running, Faults):
    """Derive from it, fill in what is specific, and every check runs: see `Subject`."""
