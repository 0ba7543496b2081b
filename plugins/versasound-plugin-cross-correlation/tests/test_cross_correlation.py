"""The default aligner: sound that is off by a known time comes back, and what fits nothing is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from versasound_core import registry
from versasound_core.containers import Alignment, AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError
from versasound_core.scenes import random_scene

if TYPE_CHECKING:
    from versasound_core.contracts import Aligner

RATE = 16000
SEEDS = range(100, 112)
SHIFTS = (-1.0, -0.53, -0.1, -0.02, 0.02, 0.137, 0.4, 1.0)


def features_of(onsets: list[list[tuple[float, float]]], duration_s: float) -> VisualFeatures:
    count = round(duration_s * 100)
    track = EventTrack(torch.zeros(len(onsets), count), 100.0, onsets)
    return VisualFeatures(torch.zeros(len(onsets), count, 1), {"fps": 100.0}, track)


def scene_events(seed: int, duration_s: float = 6.0) -> list[tuple[float, float]]:
    """The true strikes, thinned to those that can be heard apart."""
    strikes: list[tuple[float, float]] = []
    for strike in random_scene(seed, duration_s).strikes:
        if not strikes or strike.time_s - strikes[-1][0] > 0.05:
            strikes.append((strike.time_s, strike.strength))
    return strikes


def foley(
    events: list[tuple[float, float]], duration_s: float, prompt: str = "wooden knocks", seed: int = 0
) -> AudioData:
    pytest.importorskip(
        "versasound_plugin_foley", reason="the generator foley, which makes the sound, is not installed"
    )
    features = features_of([[e for e in events if 0 <= e[0] < duration_s]], duration_s)
    request = GenerationRequest(duration_s=duration_s, prompt=prompt, seed=seed, sample_rate=RATE)
    return registry.create("generator", "foley").generate(features, request, RunContext())


def aligner(**options: float | bool) -> Aligner:
    return registry.create("aligner", "cross_correlation", **options)


def estimate(audio: AudioData, features: VisualFeatures, **options: float | bool) -> Alignment:
    return aligner(**options).estimate(audio, features, RunContext())


def moved(times: list[float], alignment: Alignment) -> np.ndarray:
    """Where the alignment puts what is heard at these times."""
    source, target = np.array(alignment.knots[0] or [(0.0, 0.0)]).T
    return np.array(times) + np.interp(times, source, target - source)


def errors_after(seed: int, warp, duration_s: float = 6.0, **options: float | bool) -> np.ndarray:
    """Seconds between each strike and its sound, after sound that was off by `warp(time)` was aligned."""
    events = scene_events(seed, duration_s)
    heard = [(time_s + warp(time_s), strength) for time_s, strength in events]
    kept = [k for k, (time_s, _) in enumerate(heard) if 0.05 < time_s < duration_s - 0.05]
    alignment = estimate(foley(heard, duration_s), features_of([events], duration_s), **options)
    return moved([heard[k][0] for k in kept], alignment) - np.array([events[k][0] for k in kept])


def test_a_known_shift_is_found() -> None:
    errors = np.concatenate([errors_after(seed, lambda _, s=shift: s) for seed in SEEDS for shift in SHIFTS])
    assert np.median(np.abs(errors)) <= 0.008
    assert np.mean(np.abs(errors) < 0.040) > 0.85


def test_sound_that_fits_is_not_moved() -> None:
    for seed in SEEDS:
        assert np.abs(errors_after(seed, lambda _: 0.0)).max(initial=0.0) < 0.012


def test_a_shift_that_varies_is_followed() -> None:
    """Up to 200 ms either way within twenty seconds."""
    options, followed, fixed = {"duration_s": 20.0}, [], []
    for seed in range(100, 106):
        phase = 2 * np.pi * seed / 6

        def warp(time_s: float, phase: float = phase) -> float:
            return 0.2 * np.sin(2 * np.pi * time_s / 20.0 + phase)

        # A clip's worth of strikes: three scenes, one after the other.
        events = [(t + 6.5 * k, s) for k in range(3) for t, s in scene_events(seed + 10 * k)]
        heard = [(t + warp(t), s) for t, s in events]
        audio, features = foley(heard, **options), features_of([events], 20.0)
        for adaptive, errors in ((True, followed), (False, fixed)):
            alignment = estimate(audio, features, adaptive=adaptive)
            errors += list(np.abs(moved([t for t, _ in heard], alignment) - np.array([t for t, _ in events])))
    assert np.median(followed) < 0.5 * np.median(fixed)
    assert np.median(followed) <= 0.040


@pytest.mark.parametrize("max_offset_s", [0.2, 0.5])
def test_no_offset_beyond_the_largest_is_looked_for(max_offset_s: float) -> None:
    events = scene_events(100)
    heard = [(time_s + 0.8, strength) for time_s, strength in events]
    found = estimate(foley(heard, 6.0), features_of([events], 6.0), max_offset_s=max_offset_s, min_confidence=0.0)
    assert max((abs(t - s) for s, t in found.knots[0]), default=0.0) <= max_offset_s + 0.26  # and a local one


@pytest.mark.parametrize("seed", [100, 102, 104])
def test_confidence_tells_what_fits_from_what_does_not(seed: int) -> None:
    events, others = scene_events(seed), scene_events(seed + 1)
    right = estimate(foley([(t + 0.2, s) for t, s in events], 6.0), features_of([events], 6.0))
    wrong = estimate(foley(others, 6.0), features_of([events], 6.0))
    assert right.confidence[0] > wrong.confidence[0] + 0.15


@pytest.mark.parametrize("what", ["rain", "wind", "silence", "nothing seen", "noise"])
def test_what_strikes_nothing_is_left_alone(what: str) -> None:
    events = [] if what == "nothing seen" else scene_events(100)
    if what == "silence":
        audio = AudioData(torch.zeros(1, 2, 6 * RATE), RATE)
    elif what == "noise":
        audio = AudioData(0.1 * torch.randn(1, 2, 6 * RATE, generator=torch.Generator().manual_seed(1)), RATE)
    else:
        audio = foley([], 6.0, "knocks" if what == "nothing seen" else what)
    alignment = estimate(audio, features_of([events], 6.0))
    assert alignment.knots == [[]]
    assert alignment.confidence[0] < 0.3
    assert alignment.apply(audio) is audio


def test_a_batch_is_its_items_one_by_one() -> None:
    events = [scene_events(seed) for seed in (100, 101)]
    sounds = [foley([(t + 0.1 * (k + 1), s) for t, s in one], 6.0) for k, one in enumerate(events)]
    both = estimate(AudioData(torch.cat([s.waveform for s in sounds]), RATE), features_of(events, 6.0))
    for item in range(2):
        alone = estimate(sounds[item], features_of(events[item : item + 1], 6.0))
        assert np.array(both.knots[item]) == pytest.approx(np.array(alone.knots[0]))
        assert both.confidence[item] == pytest.approx(alone.confidence[0])


def test_where_no_event_was_singled_out_the_motion_is_used() -> None:
    events = scene_events(100)
    envelope = torch.zeros(1, 600)
    for time_s, strength in events:
        envelope[0, round(time_s * 100)] = strength
    features = VisualFeatures(torch.zeros(1, 600, 1), {"fps": 100.0}, EventTrack(envelope, 100.0, [[]]))
    heard = [(t + 0.3, s) for t, s in events]
    alignment = estimate(foley(heard, 6.0), features)
    assert np.median(np.abs(moved([t for t, _ in heard], alignment) - [t for t, _ in events])) < 0.012


@pytest.mark.parametrize("samples", [1, 100, RATE // 100, RATE // 2])
def test_very_short_sound(samples: int) -> None:
    audio = AudioData(torch.rand(1, 1, samples), RATE)
    alignment = estimate(audio, features_of([[(0.0, 1.0)]], 0.5))
    assert alignment.apply(audio).shape == audio.shape


def test_what_cannot_be_aligned() -> None:
    audio = foley([(0.5, 1.0)], 1.0)
    with pytest.raises(InvalidInputError, match="detect_events"):
        estimate(audio, VisualFeatures(torch.zeros(1, 10, 1), {"fps": 10.0}))
    with pytest.raises(InvalidInputError, match="2 clips cannot be aligned with 1 sounds"):
        estimate(audio, features_of([[(0.5, 1.0)]] * 2, 1.0))
    for wrong in ({"max_offset_s": 0.0}, {"min_confidence": 2.0}, {"offset": 1.0}):
        with pytest.raises(InvalidInputError):
            aligner(**wrong)


def test_it_stops_when_asked() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        aligner().estimate(foley([(0.5, 1.0)], 1.0), features_of([[(0.5, 1.0)]], 1.0), RunContext(cancel=token))
