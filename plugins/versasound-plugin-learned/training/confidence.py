"""How well the confidence tells a sound from another clip's: `python training/confidence.py` prints the AUC.

Pairs are those of the sync benchmark's rendered columns, and each picture with the sound seven cases on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "benchmarks" / "sync"))
from cases import FAULTS, rendered

from versasound_core import registry
from versasound_core.context import RunContext

_OTHER = 7

if __name__ == "__main__":
    aligner, ctx = registry.create("aligner", "learned"), RunContext()
    cases = [case for fault in FAULTS for case in rendered(fault, 40)]
    own = np.array([aligner.estimate(case.audio, case.features, ctx).confidence[0] for case in cases])
    others = cases[_OTHER:] + cases[:_OTHER]
    other = np.array(
        [aligner.estimate(b.audio, a.features, ctx).confidence[0] for a, b in zip(cases, others, strict=True)]
    )
    area = np.mean(own[:, None] > other) + 0.5 * np.mean(own[:, None] == other)
    print(f"AUC {area:.4f}; median of own pairs {np.median(own):.2f}, of others {np.median(other):.2f}")
