"""Offset, warp and confidence from strikes and onsets that are known, without a picture or a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from versasound_plugin_learned import confidence, path
from versasound_plugin_learned.evidence import HOP_S, Pair
from versasound_plugin_learned.strikes import RATE_HZ, Moments, strikes

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE_S = 8.0


def moments(times_s: np.ndarray) -> Moments:
    return Moments(times_s, np.ones(len(times_s)), np.full(len(times_s), 0.003))


def pair(late: Callable[[np.ndarray], np.ndarray], seed: int = 0, sound_s: float = PICTURE_S) -> Pair:
    """Strikes seen for certain within 30 ms, and their sounds."""
    times_s = np.cumsum(np.random.default_rng(seed).uniform(0.25, 0.8, 30))
    times_s = times_s[times_s < PICTURE_S - 0.2]
    seen = np.zeros(round(PICTURE_S * RATE_HZ))
    for time_s in times_s:
        place = round(time_s * RATE_HZ)
        seen[place - 3 : place + 4] += 0.9 / 7
    heard_s = times_s + late(times_s)
    heard = moments(heard_s[(heard_s > 0) & (heard_s < sound_s)])
    none = np.zeros(round(max(PICTURE_S, sound_s) * 100), np.float32)
    return Pair(seen, strikes(seen), heard, sound_s, none, none)


@pytest.mark.parametrize("shift_s", [-0.9, -0.2, 0.0, 0.35, 0.9])
def test_one_lag_is_found_and_does_not_wander(shift_s: float) -> None:
    found = path.search(pair(lambda t: np.full_like(t, shift_s)), 1.0, adaptive=True)
    assert np.ptp(found.lags_s) == 0
    assert found.lags_s[0] == pytest.approx(-shift_s, abs=0.011)
    assert found.odds > 3


def test_a_lag_that_wanders_is_followed() -> None:
    def late(time_s: np.ndarray) -> np.ndarray:
        return 0.3 + 0.15 * np.sin(1.5 * time_s)

    one = pair(late)
    found = path.search(one, 1.0, adaptive=True)
    times_s = one.struck.times_s
    lags_s = found.lags_s[(times_s / HOP_S).astype(int)]
    assert np.abs(lags_s + late(times_s)).max() < 0.04


def test_no_lag_beyond_the_largest_is_looked_for() -> None:
    found = path.search(pair(lambda t: np.full_like(t, 0.9)), 0.3, adaptive=False)
    assert np.abs(found.lags_s).max() <= 0.3 + 1e-9


@pytest.mark.parametrize("sound_s", [4.0, 20.0])
def test_where_the_other_has_ended_nothing_is_evidence(sound_s: float) -> None:
    whole = pair(lambda t: np.full_like(t, 0.25), sound_s=sound_s)
    later = moments(np.concatenate([whole.heard.times_s, np.arange(PICTURE_S + 1.5, sound_s, 0.5)]))
    for heard in (whole.heard, later):
        found = path.search(whole._replace(heard=heard), 1.0, adaptive=True)
        np.testing.assert_allclose(found.lags_s, -0.25, atol=0.011)


def test_confidence_is_that_of_a_match_beyond_chance() -> None:
    own = [pair(lambda t: np.full_like(t, 0.2), seed) for seed in range(6)]
    others = [a._replace(heard=b.heard) for a, b in zip(own, own[1:] + own[:1], strict=True)]

    def sure(one: Pair) -> float:
        found = path.search(one, 1.0, adaptive=True)
        return confidence.probability(confidence.features(one, found, 1.0, adaptive=True))

    assert min(map(sure, own)) > 0.9
    assert max(map(sure, others)) < min(map(sure, own))


def test_the_beats_of_an_even_rhythm_are_told_apart_in_a_short_part() -> None:
    length_s, period_s, loose = 4.0, 0.5, 0.04  # the gaps of a steady hand
    none = np.zeros(round(length_s * 100), np.float32)
    right = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        times_s = np.cumsum(period_s * (1 + rng.uniform(-loose, loose, 16))) - 2.0  # it began before, and goes on
        shift_s = float(rng.uniform(-1, 1))
        seen = np.zeros(round(length_s * RATE_HZ))
        for time_s in times_s[(times_s > 0.01) & (times_s < length_s - 0.01)]:
            place = round(time_s * RATE_HZ)
            seen[place - 1 : place + 2] += 0.3
        heard_s = times_s + shift_s
        heard = moments(heard_s[(heard_s > 0) & (heard_s < length_s)])
        found = path.search(Pair(seen, strikes(seen), heard, length_s, none, none), 1.0, adaptive=True)
        right.append(abs(float(np.median(found.lags_s)) + shift_s) < 0.08)
    assert np.mean(right) >= 0.9
