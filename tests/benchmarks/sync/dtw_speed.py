"""How fast the plugin's time warping is beside general libraries, in one run, and what memory ten minutes need.

    python tests/benchmarks/sync/dtw_speed.py

librosa and dtaidistance are compared with if they are installed; `seconds` is the fastest of three.
"""

from __future__ import annotations

import importlib.util
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from versasound_plugin_dtw.aligner import warp

_RATE_HZ, _REACH, _BAND = 100, 125, 125
_MIB = 2**20


def main() -> None:
    """Print a table, and the memory."""
    seen, heard = _pair(60)
    ways: dict[str, Callable[[], object]] = {"versasound-plugin-dtw": lambda: warp([seen], heard, _REACH, 0.5, 0.8)}
    if importlib.util.find_spec("librosa"):
        import librosa

        ways["librosa.sequence.dtw"] = lambda: librosa.sequence.dtw(seen[None], heard[None])
        share = _BAND / len(seen)
        ways["librosa.sequence.dtw, band"] = lambda: librosa.sequence.dtw(
            seen[None], heard[None], global_constraints=True, band_rad=share
        )
    if importlib.util.find_spec("dtaidistance"):
        from dtaidistance import dtw

        ways["dtaidistance, C, band"] = lambda: dtw.best_path(
            dtw.warping_paths_fast(seen.astype(float), heard.astype(float), window=_BAND)[1]
        )
    times = {name: _seconds(way) for name, way in ways.items()}
    for name, seconds in times.items():
        print(f"{name:28s} {1000 * seconds:8.1f} ms  x {seconds / times['versasound-plugin-dtw']:.1f}")
    seen, heard = _pair(600)
    tracemalloc.start()
    warp([seen], heard, _REACH, 0.5, 0.8)
    print(f"memory for 10 minutes: {tracemalloc.get_traced_memory()[1] / _MIB:.0f} MiB with one cue", end=", ")
    tracemalloc.reset_peak()
    warp([seen, seen, seen], heard, _REACH, 0.5, 0.8)
    print(f"{tracemalloc.get_traced_memory()[1] / _MIB:.0f} MiB with three")


def _pair(seconds: int) -> tuple[np.ndarray, np.ndarray]:
    """Two envelopes, the second late by up to 0.3 s."""
    rng = np.random.default_rng(0)
    at = np.cumsum(rng.uniform(0.3, 1.0, 2 * seconds))
    grid = np.arange(seconds * _RATE_HZ) / _RATE_HZ
    late = 0.15 + 0.15 * np.sin(grid)
    pair = [sum(np.exp(-0.5 * ((t - s) / 0.02) ** 2) for s in at[at < seconds]) for t in (grid, grid - late)]
    return tuple(((x - x.mean()) / x.std()).astype(np.float32) for x in pair)


def _seconds(way: Callable[[], object]) -> float:
    way()  # whatever compiles does so now
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        way()
        times.append(time.perf_counter() - begin)
    return min(times)


if __name__ == "__main__":
    main()
