"""Do these belong together? The match beside matches that mean nothing: the same sound played backward."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .path import Path, search
from .strikes import Floats, Moments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .evidence import Pair

_TURNS = (0.0, 0.37, 0.71)  # parts of the sound by which it is turned after it was played backward
_MOST_ODDS = 12.0
# Fitted by `training/confidence.py` on scenes made for it: a logistic regression.
_BEGIN, _OF_SHARE, _OF_LIFT, _OF_ODDS = -2.29, 4.17, 8.31, 0.23


def features(pair: Pair, path: Path, reach_s: float, *, adaptive: bool) -> Floats:
    """Return what tells: the share found, how much more that is than by chance, and how clear the lag is.

    Args:
        pair: Picture and sound.
        path: Found in their evidence.
        reach_s: The largest lag that it was looked for in.
        adaptive: As it was found.
    """
    chance = [search(other, reach_s, adaptive=adaptive).gain for other in _backward(pair)]
    odds = min(max(path.odds, -_MOST_ODDS), _MOST_ODDS)
    return np.array([path.gain, path.gain - float(np.mean(chance)), odds])


def probability(told: Floats) -> float:
    """Return how likely sound and picture belong together, from their `features`."""
    share, lift, odds = told.tolist()
    return 1 / (1 + math.exp(-(_BEGIN + _OF_SHARE * share + _OF_LIFT * lift + _OF_ODDS * odds)))


def _backward(pair: Pair) -> Iterator[Pair]:
    """Yield sounds with as many onsets, as strong and as regular, that belong to nothing."""
    for turn in _TURNS:
        times_s = (pair.sound_s * (1 + turn) - pair.heard.times_s) % pair.sound_s
        order = times_s.argsort()
        heard = Moments(times_s[order], pair.heard.weights[order], pair.heard.spread_s[order])
        yield pair._replace(heard=heard, flux=np.roll(pair.flux[::-1], round(turn * len(pair.flux))))
