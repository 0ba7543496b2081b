"""From a path over a coarse grid to exact moves: a Gaussian process over the pairs that the path brings together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .evidence import HOP_S

if TYPE_CHECKING:
    from .path import Path
    from .strikes import Floats, Moments

_MATCH_S = 0.045
_LENGTHS_S, _SIZES_S = (0.6, 1.0, 1.8), (0.01, 0.03, 0.08, 0.15)
_JITTER_S = 0.004
_BLOCK = 128


def offsets(path: Path, struck: Moments, heard: Moments, *, adaptive: bool) -> Floats:
    """Return for each onset by how much it should move, seconds.

    Each onset that the path brings near a strike says by how much exactly; a Gaussian process (Rasmussen and Williams
    2006) with one constant and one smooth part, of the smoothness that makes all of them likeliest, says it for all.
    """
    grid = (np.arange(len(path.lags_s)) + 0.5) * HOP_S
    rough = np.interp(heard.times_s + np.interp(heard.times_s, grid - path.lags_s, path.lags_s), grid, path.lags_s)
    if len(struck.times_s) == 0 or len(heard.times_s) == 0:
        return rough
    targets = heard.times_s + rough
    right = np.searchsorted(struck.times_s, targets).clip(1, max(len(struck.times_s) - 1, 1))
    left = right - 1
    right = right.clip(max=len(struck.times_s) - 1)
    nearest = np.where(np.abs(struck.times_s[left] - targets) < np.abs(struck.times_s[right] - targets), left, right)
    found = np.abs(struck.times_s[nearest] - targets) < _MATCH_S
    if not found.any():
        return rough
    times, moves = heard.times_s[found], (struck.times_s[nearest] - heard.times_s)[found]
    noise = _JITTER_S**2 + struck.spread_s[nearest][found] ** 2 * 0.5 + (0.004 / heard.weights[found]) ** 2
    noise /= np.maximum(struck.weights[nearest][found], 0.1)
    smooth = rough.copy()
    for first in range(0, len(heard.times_s), _BLOCK):
        last = min(first + _BLOCK, len(heard.times_s))
        low, high = np.searchsorted(times, [heard.times_s[first], heard.times_s[last - 1] + 1e-9])
        near = slice(max(low - _BLOCK // 2, 0), high + _BLOCK // 2)
        if len(times[near]):
            smooth[first:last] = _smoothed(
                times[near], moves[near], noise[near], heard.times_s[first:last], adaptive=adaptive
            )
    return smooth


def _smoothed(times: Floats, moves: Floats, noise: Floats, asked: Floats, *, adaptive: bool) -> Floats:
    """Regress, with the smoothness that makes the measurements likeliest, far ones counting little."""
    middle = float(np.median(moves))
    best, answer = -np.inf, np.full(len(asked), middle)
    options = [(1.0, 0.0)] + [(length, size) for length in _LENGTHS_S for size in _SIZES_S] * adaptive
    for length, size in options:
        weight = noise.copy()
        for _ in range(3):
            prior = _kernel(times, times, length, size)
            system = prior + np.diag(weight)
            solved = np.linalg.solve(system, moves - middle)
            residual = moves - middle - prior @ solved
            weight = noise * (1 + residual**2 / (9 * noise))
        sign, volume = np.linalg.slogdet(system)
        likelihood = -0.5 * float((moves - middle) @ solved + volume) - (1.0 if size else 0.0)
        if sign > 0 and likelihood > best:
            best, answer = likelihood, middle + _kernel(asked, times, length, size) @ solved
    return answer


def _kernel(a: Floats, b: Floats, length: float, size: float) -> Floats:
    return 0.1**2 + size**2 * np.exp(-0.5 * ((a[:, None] - b) / length) ** 2)
