"""How well each installed aligner brings sound to picture: one table.

    python tests/benchmarks/sync [--aligners dtw,cross_correlation] [--cases 40]

Rendered: scenes that no weights were trained on, coded and seen by the default encoder, with foley struck at the true
strike times and made wrong by a known amount. Real: the clips in the folder that VERSASOUND_CLIPS names, with their own
sound made wrong; their labelled lags are in `cases.py` or the folder's `lags.yaml`, and clips without a label are the
controls, in which nothing should be moved.

shift: +-1 s. warp: +-200 ms, turning every 2 s. both: their sum. windows: 4 s of the clip, shifted.
The error is the distance from where a strike is heard after `Alignment.apply` at full strength to where it belongs.
Work is that of the aligner alone, and last the controls.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import numpy as np
from cases import FAULTS, Case, controls, real, rendered

from versasound_core.containers import Alignment
from versasound_core.context import RunContext
from versasound_core.device import one_thread
from versasound_core.registry import default_registry

_ATTACK_S = 0.015  # `Alignment.apply` moves so much before a knot with it
_NEAR_MS = (40, 80)


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--aligners", help="names, with a comma between them; by default all that are installed")
    arguments.add_argument("--cases", type=int, default=40, help="rendered and real cases a column")
    args = arguments.parse_args()
    installed = [backend.name for backend in default_registry.backends("aligner")]
    names = args.aligners.split(",") if args.aligners else installed
    folder = os.environ.get("VERSASOUND_CLIPS")
    columns: dict[str, Callable[[], Iterator[Case]]] = {
        f"rendered {fault}": lambda fault=fault: rendered(fault, args.cases) for fault in FAULTS
    }
    if folder:
        columns |= {f"real {fault}": lambda fault=fault: real(fault, args.cases, Path(folder)) for fault in FAULTS}
        columns["real windows"] = lambda: real("shift", args.cases, Path(folder), 4.0)
    else:
        print("VERSASOUND_CLIPS names no folder of real clips", file=sys.stderr)
    methods = {"nothing done": Nothing(), **{name: default_registry.create("aligner", name) for name in names}}
    results: dict[str, list[Result]] = {name: [] for name in methods}
    for title, cases in columns.items():
        made = list(cases())
        print(f"{title}: {len(made)} cases, {sum(len(case.heard_s) for case in made)} strikes", file=sys.stderr)
        for name, aligner in methods.items():
            results[name].append(measure(aligner, made))
    controls_ = list(controls(Path(folder))) if folder else []
    print("| aligner | " + " | ".join(columns) + " | ms/s |" + (" controls |" if controls_ else ""))
    print("|---" * (len(columns) + 2 + bool(controls_)) + "|")
    for name, row in results.items():
        work = 1000 * sum(r.work_s for r in row) / sum(r.length_s for r in row)
        untouched = sum(not case_knots(methods[name], case) for case in controls_)
        last = f" {untouched}/{len(controls_)} |" if controls_ else ""
        print(f"| {name} | " + " | ".join(map(str, row)) + f" | {work:.2f} |{last}", flush=True)
    print("each: median |error| in ms, % within 40 ms, % within 80 ms")


@attrs.frozen(eq=False)
class Result:
    """The errors of one aligner on one set of cases."""

    errors_ms: np.ndarray
    work_s: float
    length_s: float

    def __str__(self) -> str:
        if not len(self.errors_ms):
            return "-"
        shares = [f"{100 * np.mean(self.errors_ms <= near):.0f}" for near in _NEAR_MS]
        return ", ".join([f"{np.median(self.errors_ms):.1f}", *shares])


class Nothing:
    """Leaves every sound as it is."""

    def estimate(self, audio: object, features: object, ctx: object) -> Alignment:
        """Return an alignment that moves nothing."""
        return Alignment([[]], [0.0])


def case_knots(aligner: object, case: Case) -> list[tuple[float, float]]:
    """Return the knots of a case."""
    return aligner.estimate(case.audio, case.features, RunContext()).knots[0]


def measure(aligner: object, cases: list[Case]) -> Result:
    """Align every case."""
    errors, work_s = [], 0.0
    with one_thread():
        for case in cases:
            begin = time.perf_counter()
            knots = case_knots(aligner, case)
            work_s += time.perf_counter() - begin
            errors.append(1000 * np.abs(moved(knots, case.heard_s) - case.belong_s))
    return Result(np.concatenate(errors or [np.zeros(0)]), work_s, sum(case.audio.duration for case in cases))


def moved(knots: list[tuple[float, float]], times_s: np.ndarray) -> np.ndarray:
    """Where `Alignment.apply` puts what is heard at `times_s`: it goes with the last knot whose slice has begun."""
    if not knots:
        return times_s
    source, target = np.array(knots).T
    index = np.maximum(np.searchsorted(source - _ATTACK_S, times_s, side="right") - 1, 0)
    return times_s + (target - source)[index]


if __name__ == "__main__":
    main()
