"""How late the sound is, as a function of time: offset and warp searched together.

Two explanations of the evidence compete: one lag for all, and a lag that wanders (a hidden Markov model, Rabiner 1989).
The likelier one wins; of the wandering lag Viterbi's algorithm finds the likeliest path.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .evidence import HOP_S, Evidence, Pair, weigh
from .strikes import RATE_HZ, Floats

_WARP_S = 0.2  # how far the offset may wander beyond the largest offset looked for
_SLOPE = 0.4  # typical change of the lag, seconds per second
_STEEPEST = 0.5
_USUAL = 0.5  # standard deviation of the lag, as a share of the largest looked for
_PLAIN = 1.0  # nats that one lag for all is likelier beforehand
_NEAR_S = 0.08  # what is farther from the path is another one


class Path(NamedTuple):
    """The likeliest lag.

    Args:
        lags_s: `[T]`, the sound must move so much later, every `HOP_S` of the picture.
        gain: Of what strikes and onsets could have said, the share that they say along the path that is best for them.
        odds: Logarithm of how much likelier a lag near the path is than any other.
    """

    lags_s: Floats
    gain: float
    odds: float


def search(pair: Pair, reach_s: float, *, adaptive: bool) -> Path:
    """Find the likeliest path.

    Args:
        pair: Picture and sound.
        reach_s: The largest lag that may last.
        adaptive: Let the lag wander.
    """
    evidence = weigh(pair, reach_s + (_WARP_S if adaptive else 0))
    lags, plane = evidence.lags_s, evidence.plane
    likely = -0.5 * (lags / (_USUAL * reach_s)) ** 2
    likely -= _total(likely)
    total = plane.sum(0)
    whole = np.where(np.abs(lags) <= reach_s + 0.5 / RATE_HZ, total + likely, -np.inf)
    route = np.full(len(plane), int(whole.argmax()))
    near = np.abs(lags - lags[route[0]]) <= _NEAR_S
    odds = _total(whole[near]) - _total(whole[~near]) if not near.all() else np.inf
    if adaptive:
        forward = _forward(plane, likely)
        wandering = _viterbi(plane, likely)
        if _total(forward[-1]) > _total(whole) + _PLAIN:
            route, odds = wandering, _odds(plane, forward, wandering)
    return Path(lags[route], _most(evidence, reach_s, likely, adaptive=adaptive), float(odds))


def _most(evidence: Evidence, reach_s: float, likely: Floats, *, adaptive: bool) -> float:
    """Of what strikes and onsets could have said, the share that they say along the path which is best for them."""
    found = evidence.found
    total = found.sum(0)
    allowed = np.abs(evidence.lags_s) <= reach_s + 0.5 / RATE_HZ
    gain = float(total[np.where(allowed, total + likely, -np.inf).argmax()])
    if adaptive:
        route = _viterbi(found, likely)
        steps, price = _steps()
        paid = price[np.diff(route) + steps[-1]].sum()
        gain = max(gain, float(found[np.arange(len(route)), route].sum() - paid))
    return gain / max(evidence.possible, 1e-9)


def _steps() -> tuple[np.ndarray, Floats]:
    """Changes of the lag from one row to the next, and the price of each in nats (Laplace's distribution)."""
    most = round(_STEEPEST * HOP_S * RATE_HZ)
    steps = np.arange(-most, most + 1)
    return steps, np.abs(steps) / RATE_HZ / (_SLOPE * HOP_S)


def _forward(plane: Floats, first: Floats | float) -> Floats:
    """The log-likelihood of all ways that lead to each cell `[T, L]`."""
    chance = np.exp(-_steps()[1])
    chance /= chance.sum()
    ways = np.empty_like(plane)
    ways[0] = plane[0] + first
    for row in range(1, len(plane)):
        most = ways[row - 1].max()
        ways[row] = np.log(np.convolve(np.exp(ways[row - 1] - most), chance, "same") + 1e-300) + most + plane[row]
    return ways


def _odds(plane: Floats, forward: Floats, route: np.ndarray) -> float:
    """How much likelier than elsewhere the lag is near the path, along its length."""
    both = forward + _forward(plane[::-1], 0.0)[::-1] - plane
    share = np.exp(both - both.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    width = round(_NEAR_S * RATE_HZ)
    near = np.abs(np.arange(plane.shape[1]) - route[:, None]) <= width
    inside = float((share * near).sum(1).mean())
    return float(np.log(max(inside, 1e-6)) - np.log(max(1 - inside, 1e-6)))


def _viterbi(plane: Floats, first: Floats) -> np.ndarray:
    """Return the best column of each row, changes of the lag paid for."""
    steps, price = _steps()
    most = int(steps[-1])
    score, back = plane[0] + first, np.zeros(plane.shape, dtype=int)
    for row in range(1, len(plane)):
        near = np.lib.stride_tricks.sliding_window_view(np.pad(score, most, constant_values=-1e9), 2 * most + 1) - price
        choice = near.argmax(1)
        back[row] = np.arange(len(score)) + steps[choice]
        score = near[np.arange(len(score)), choice] + plane[row]
    route = np.zeros(len(plane), dtype=int)
    route[-1] = int(score.argmax())
    for row in range(len(plane) - 1, 0, -1):
        route[row - 1] = back[row, route[row]]
    return route


def _total(logs: Floats) -> float:
    """Logarithm of a sum of exponentials."""
    most = float(logs.max())
    return most + float(np.log(np.exp(logs - most).sum())) if np.isfinite(most) else most
