"""How much likelier than by chance what was seen and what was heard fit together, at every moment and lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from versasound_core.events import cues
from versasound_core.events.lags import lag_products

from .strikes import RATE_HZ, Floats, Moments, blurred, onsets, seen, strikes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versasound_core.containers import AudioData, EventTrack

HOP_S = 0.1
BELL_S = 0.015  # how exactly a strike is seen and heard: a wider one tells the beats of an even rhythm less well apart
MISSED = 0.05  # chance, under the bell, that a strike makes no sound, or a sound has no visible strike
_END = 1.5  # nats that an onset says which correlates with the end of motion in full
_LEAST_OVERLAP = 0.25  # what lies outside the other's length is never made up for by more than this allows


class Pair(NamedTuple):
    """A picture and a sound.

    Args:
        seen: `[N]`, the density of strikes.
        struck: The strikes in it.
        heard: The onsets of the sound.
        sound_s: Its length.
        falls: `[M]`, how much motion ends, standardised, at the rate of the core's cues.
        flux: `[M]`, how much sound begins, likewise.
    """

    seen: Floats
    struck: Moments
    heard: Moments
    sound_s: float
    falls: cues.Floats
    flux: cues.Floats


class Evidence(NamedTuple):
    """The plane of time and lag.

    Args:
        lags_s: `[L]`, by how much the sound would have to move later.
        plane: `[T, L]`, log-likelihood over chance in nats, for each `HOP_S` of the picture.
        found: `[T, L]`, the part of it that strikes and onsets have said, nothing made up for.
        possible: The sum of that if every one had found its partner.
    """

    lags_s: Floats
    plane: Floats
    found: Floats
    possible: float


def pairs(events: EventTrack, audio: AudioData) -> Iterator[Pair]:
    """Yield each picture of a batch, whose view must be known, with its sound."""
    count = max(1, round(max(events.duration_s, audio.duration) * cues.RATE_HZ))
    fluxes, _ = cues.sound_cues(audio, count)
    for item, (view, heard, flux) in enumerate(zip(events.views or [], onsets(audio), fluxes, strict=True)):
        density = seen(view)
        falls = sum(cues.picture_cues(events, item, count)[1:], np.zeros(count, np.float32)) / 2
        yield Pair(density, strikes(density), heard, audio.duration, falls.astype(np.float32), flux)


def weigh(pair: Pair, reach_s: float) -> Evidence:
    """Ask each onset for a strike, and each strike for an onset, at every lag within `reach_s`.

    The end of motion, which needs no training to be seen, is correlated with the flux as well. What would lie before
    the beginning or after the end of the other says nothing: the rest speaks for it, so that of the lags at which a
    regular sound fits the one with the longest overlap is not the likelier one.
    """
    reach = round(reach_s * RATE_HZ)
    lags = np.arange(-reach, reach + 1)
    bins = int(len(pair.seen) / RATE_HZ / HOP_S) + 1
    sounds = np.zeros(max(round(pair.sound_s * RATE_HZ), 1))
    at = (pair.heard.times_s * RATE_HZ).round().astype(int).clip(0, len(sounds) - 1)
    np.maximum.at(sounds, at, pair.heard.weights)
    plane, found = np.zeros((2, bins, len(lags)))
    possible = 0.0
    for chances, moments, sign in ((pair.seen, pair.heard, 1), (sounds, pair.struck, -1)):
        likely = np.minimum(blurred(chances, BELL_S), 1)
        usual = likely.mean() + MISSED
        gain = np.log((likely + MISSED) / usual)
        place = (moments.times_s[:, None] * RATE_HZ + sign * lags).round().astype(int)
        inside = (place >= 0) & (place < len(gain))
        share = (inside * moments.weights[:, None]).sum(0) / max(moments.weights.sum(), 1e-9)
        value = np.where(inside, gain[place.clip(0, len(gain) - 1)], 0.0) * moments.weights[:, None]
        when = place / RATE_HZ if sign > 0 else np.broadcast_to(moments.times_s[:, None], place.shape)
        which = (when / HOP_S).astype(int).clip(0, bins - 1)
        said = np.zeros_like(plane)
        np.add.at(said, (which, np.broadcast_to(np.arange(len(lags)), which.shape)), value)
        found += said
        plane += said / np.maximum(share, _LEAST_OVERLAP)
        possible += float(moments.weights.sum() * np.log((1 + MISSED) / usual))
    plane += _ends(pair, lags / RATE_HZ, bins)
    return Evidence(lags / RATE_HZ, plane, found, possible)


def _ends(pair: Pair, lags_s: Floats, bins: int) -> Floats:
    """The correlation of motion that ends with sound that begins, `[bins, L]`, in nats."""
    reach = round(float(lags_s[-1]) * cues.RATE_HZ) + 1
    products = lag_products(pair.falls, pair.flux, reach, round(HOP_S * cues.RATE_HZ))
    products *= _END * len(pair.heard.times_s) / len(products)
    ways_s = np.arange(-reach, reach + 1) / cues.RATE_HZ
    overlap = 1 - np.abs(ways_s) * cues.RATE_HZ / len(pair.flux)
    products /= np.maximum(overlap, _LEAST_OVERLAP)
    ends = np.zeros((bins, len(lags_s)))
    for row, product in enumerate(products[:bins]):
        ends[row] = np.interp(lags_s, ways_s, product)
    return ends
