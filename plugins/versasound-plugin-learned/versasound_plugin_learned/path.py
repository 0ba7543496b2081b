"""How late the sound is, as a function of time: offset and warp searched together, then smoothed.

Over the plane of time in the picture and lag, each strike and each onset says how much likelier than by chance a
partner is there; Viterbi's algorithm finds the likeliest path, and a Gaussian process (Rasmussen and Williams 2006)
with one constant and one smooth part makes it exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .strikes import RATE_HZ, Floats, Moments, blurred

_HOP_S = 0.1
_WARP_S = 0.2  # how far the offset may wander from the largest offset looked for
_BELL_S = 0.012
_MISSED = 0.06  # chance that a strike makes no sound, or a sound has no visible strike
_SLOPE = 0.4  # typical change of the lag, seconds per second
_STEEPEST = 0.5
_MATCH_S = 0.045
_LENGTHS_S, _SIZES_S = (0.6, 1.0, 1.8), (0.01, 0.03, 0.08, 0.15)
_JITTER_S = 0.004
_BLOCK = 128


class Path(NamedTuple):
    """The likeliest lag.

    Args:
        lags_s: `[T]`, the sound must move so much later, every `_HOP_S` of the picture.
        gain: Log-likelihood over chance, in nats.
        possible: The gain if everything had found its partner.
    """

    lags_s: Floats
    gain: float
    possible: float


def search(seen: Floats, struck: Moments, heard: Moments, reach_s: float, *, adaptive: bool) -> Path:
    """Find the path for what was seen (its density, and the strikes in it) and what was heard."""
    reach = round((reach_s + (_WARP_S if adaptive else 0)) * RATE_HZ)
    lags = np.arange(-reach, reach + 1)
    bins = int(len(seen) / RATE_HZ / _HOP_S) + 1
    sounds = np.zeros(len(seen))
    np.maximum.at(sounds, (heard.times_s * RATE_HZ).round().astype(int).clip(0, len(seen) - 1), heard.weights)
    plane = np.zeros((bins, len(lags)))
    possible = 0.0
    for chances, moments, sign in ((seen, heard, 1), (sounds, struck, -1)):
        likely = np.minimum(blurred(chances, _BELL_S), 1)
        usual = likely.mean() + _MISSED
        gain = np.log((likely + _MISSED) / usual)
        place = (moments.times_s[:, None] * RATE_HZ + sign * lags).round().astype(int)
        inside = (place >= 0) & (place < len(seen))
        value = np.where(inside, gain[place.clip(0, len(seen) - 1)], 0.0) * moments.weights[:, None]
        when = place / RATE_HZ if sign > 0 else np.broadcast_to(moments.times_s[:, None], place.shape)
        which = (when / _HOP_S).astype(int).clip(0, bins - 1)
        np.add.at(plane, (which, np.broadcast_to(np.arange(len(lags)), which.shape)), value)
        possible += float(moments.weights.sum() * np.log((1 + _MISSED) / usual))
    route, gain = _viterbi(plane, adaptive=adaptive)
    return Path(lags[route] / RATE_HZ, gain, possible)


def _viterbi(plane: Floats, *, adaptive: bool) -> tuple[np.ndarray, float]:
    """Return the best column of each row, and the sum along them."""
    if not adaptive:
        total = plane.sum(0)
        best = int(total.argmax())
        return np.full(len(plane), best), float(total[best])
    most = round(_STEEPEST * _HOP_S * RATE_HZ)
    steps = np.arange(-most, most + 1)
    price = np.abs(steps) / RATE_HZ / (_SLOPE * _HOP_S)
    score, back = plane[0], np.zeros(plane.shape, dtype=int)
    for row in range(1, len(plane)):
        near = np.lib.stride_tricks.sliding_window_view(np.pad(score, most, constant_values=-1e9), 2 * most + 1) - price
        choice = near.argmax(1)
        back[row] = np.arange(len(score)) + steps[choice]
        score = near[np.arange(len(score)), choice] + plane[row]
    route = np.zeros(len(plane), dtype=int)
    route[-1] = int(score.argmax())
    for row in range(len(plane) - 1, 0, -1):
        route[row - 1] = back[row, route[row]]
    return route, float(score.max())


def offsets(path: Path, struck: Moments, heard: Moments, *, adaptive: bool) -> Floats:
    """Return for each onset by how much it should move, seconds."""
    grid = (np.arange(len(path.lags_s)) + 0.5) * _HOP_S
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
