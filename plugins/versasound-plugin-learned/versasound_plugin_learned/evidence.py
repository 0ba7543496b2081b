"""How much likelier than by chance what was seen and what was heard fit together, at every moment and lag."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .strikes import RATE_HZ, Floats, Moments, blurred

HOP_S = 0.1
_BELL_S = 0.018  # how exactly a strike is seen
_MISSED = 0.06  # chance that a strike makes no sound, or a sound has no visible strike


class Pair(NamedTuple):
    """A picture and a sound.

    Args:
        seen: `[N]`, the density of strikes.
        struck: The strikes in it.
        heard: The onsets of the sound.
        sound_s: Its length.
    """

    seen: Floats
    struck: Moments
    heard: Moments
    sound_s: float


class Evidence(NamedTuple):
    """The plane of time and lag.

    Args:
        lags_s: `[L]`, by how much the sound would have to move later.
        plane: `[T, L]`, log-likelihood over chance in nats, for each `HOP_S` of the picture.
        possible: Its sum if everything had found its partner.
    """

    lags_s: Floats
    plane: Floats
    possible: float


def weigh(pair: Pair, reach_s: float) -> Evidence:
    """Ask each onset for a strike, and each strike for an onset, at every lag within `reach_s`.

    What would lie before the beginning or after the end of the other says nothing.
    """
    seen, struck, heard, sound_s = pair
    reach = round(reach_s * RATE_HZ)
    lags = np.arange(-reach, reach + 1)
    bins = int(len(seen) / RATE_HZ / HOP_S) + 1
    sounds = np.zeros(max(round(sound_s * RATE_HZ), 1))
    np.maximum.at(sounds, (heard.times_s * RATE_HZ).round().astype(int).clip(0, len(sounds) - 1), heard.weights)
    plane = np.zeros((bins, len(lags)))
    possible = 0.0
    for chances, moments, sign in ((seen, heard, 1), (sounds, struck, -1)):
        likely = np.minimum(blurred(chances, _BELL_S), 1)
        usual = likely.mean() + _MISSED
        gain = np.log((likely + _MISSED) / usual)
        place = (moments.times_s[:, None] * RATE_HZ + sign * lags).round().astype(int)
        inside = (place >= 0) & (place < len(gain))
        value = np.where(inside, gain[place.clip(0, len(gain) - 1)], 0.0) * moments.weights[:, None]
        when = place / RATE_HZ if sign > 0 else np.broadcast_to(moments.times_s[:, None], place.shape)
        which = (when / HOP_S).astype(int).clip(0, bins - 1)
        np.add.at(plane, (which, np.broadcast_to(np.arange(len(lags)), which.shape)), value)
        possible += float(moments.weights.sum() * np.log((1 + _MISSED) / usual))
    return Evidence(lags / RATE_HZ, plane, possible)
