"""The learned aligner: rendered strikes are found finer than the frame rate, and what fits nothing is left alone."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from versasound_core import registry
from versasound_core.containers import AudioData, EventTrack, VideoClip, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError
from versasound_core.events import detect_events
from versasound_core.scenes import random_scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.containers import Alignment

RATE = 16000
DURATION_S = 6.0
SEEDS = (9500, 9501, 9502)


@cache
def seen(seed: int, fps: float) -> tuple[VisualFeatures, list[float]]:
    """What the event pass keeps of a scene, and its strikes, thinned to those that can be heard apart."""
    scene = random_scene(seed, DURATION_S)
    pictures = torch.stack([torch.from_numpy(picture) for picture in scene.frames(fps, 96)])
    clip = VideoClip.from_tensor(pictures.permute(0, 3, 1, 2)[None], fps)
    times: list[float] = []
    for strike in scene.strikes:
        if not times or strike.time_s - times[-1] > 0.08:
            times.append(strike.time_s)
    return VisualFeatures(torch.zeros(1, 60, 1), {"fps": 10.0}, detect_events(clip, RunContext())), times


def clicks(times_s: list[float], duration_s: float = DURATION_S, rate: int = RATE) -> AudioData:
    """Ringing that begins at each time."""
    rng = np.random.default_rng(0)
    wave = 1e-4 * rng.standard_normal(round(duration_s * rate))
    ring = np.exp(-np.arange(round(0.2 * rate)) / (0.03 * rate)) * rng.standard_normal(round(0.2 * rate))
    for time_s in times_s:
        first = round(time_s * rate)
        if 0 <= first < len(wave):
            wave[first : first + len(ring)] += 0.3 * ring[: len(wave) - first]
    return AudioData(torch.from_numpy(wave.astype(np.float32))[None, None], rate)


def estimate(audio: AudioData, features: VisualFeatures, **options: float | bool) -> Alignment:
    return registry.create("aligner", "learned", **options).estimate(audio, features, RunContext())


def errors_after(seed: int, fps: float, late: Callable[[float], float], **options: float | bool) -> np.ndarray:
    features, times = seen(seed, fps)
    heard = [time_s + late(time_s) for time_s in times]
    kept = [k for k, time_s in enumerate(heard) if 0.05 < time_s < DURATION_S - 0.1]
    knots = estimate(clicks([heard[k] for k in kept]), features, **options).knots[0] or [(0.0, 0.0)]
    source, target = np.array(knots).T
    at = np.array([heard[k] for k in kept])
    return at + np.interp(at, source, target - source) - np.array([times[k] for k in kept])


@pytest.mark.parametrize("fps", [15.0, 24.0, 30.0])
def test_a_known_shift_is_found_finer_than_the_frame_rate(fps: float) -> None:
    errors = [errors_after(seed, fps, lambda _, s=shift: s) for seed in SEEDS for shift in (-0.7, -0.1, 0.333)]
    assert np.median(np.abs(np.concatenate(errors))) < 0.006


def test_offset_and_warp_are_found_together() -> None:
    def late(time_s: float) -> float:
        return 0.5 + 0.15 * np.sin(time_s * 1.3)

    errors = np.concatenate([np.abs(errors_after(seed, 30.0, late)) for seed in SEEDS])
    assert np.median(errors) < 0.008
    assert np.mean(errors < 0.04) > 0.9


def test_without_adapting_there_is_one_offset() -> None:
    features, times = seen(SEEDS[0], 30.0)
    (knots,) = estimate(clicks([t + 0.2 + 0.05 * t for t in times]), features, adaptive=False).knots
    moves = [target - source for source, target in knots]
    assert max(moves) - min(moves) < 1e-6


def test_more_confident_of_its_own_sound_than_of_another() -> None:
    features, times = seen(SEEDS[0], 30.0)
    _, others = seen(SEEDS[1], 30.0)
    assert estimate(clicks(times), features).confidence[0] > estimate(clicks(others), features).confidence[0]


@pytest.mark.parametrize(
    "wave",
    [
        torch.zeros(1, 1, 6 * RATE),
        torch.full((1, 1, 6 * RATE), 0.2),
        0.1 * torch.randn(1, 1, 6 * RATE, generator=torch.Generator().manual_seed(0)),
        torch.zeros(1, 2, 1),
    ],
    ids=["silence", "constant", "noise", "one sample"],
)
def test_sound_without_onsets_that_fit_is_left_alone(wave: torch.Tensor) -> None:
    features, _ = seen(SEEDS[0], 30.0)
    alignment = estimate(AudioData(wave, RATE), features, min_confidence=0.3)
    assert alignment.knots == [[]]


def test_a_picture_in_which_nothing_moves_moves_nothing() -> None:
    clip = VideoClip.from_tensor(torch.full((1, 60, 1, 48, 64), 90, dtype=torch.uint8), 10.0)
    features = VisualFeatures(torch.zeros(1, 60, 1), {"fps": 10.0}, detect_events(clip, RunContext()))
    alignment = estimate(clicks([1.0, 2.0, 3.1]), features)
    assert alignment.knots == [[]]
    assert alignment.confidence[0] < 0.18


@pytest.mark.parametrize("duration_s", [0.3, 2.0, 11.0])
def test_sound_of_another_length_is_no_error(duration_s: float) -> None:
    features, times = seen(SEEDS[0], 30.0)
    sources = [source_s for source_s, _ in estimate(clicks(times, duration_s), features).knots[0]]
    assert sources == sorted(sources)
    assert all(0 <= source_s <= duration_s for source_s in sources)


@pytest.mark.parametrize("rate", [1000, 192000])
def test_odd_rates_are_no_error(rate: int) -> None:
    features, times = seen(SEEDS[0], 30.0)
    assert 0 <= estimate(clicks(times, rate=rate), features).confidence[0] <= 1


def test_a_batch_is_its_items_one_by_one() -> None:
    (one, times), (two, others) = seen(SEEDS[0], 30.0), seen(SEEDS[1], 30.0)
    both = EventTrack(torch.zeros(2, 600), 100.0, [[], []], views=[one.events.views[0], two.events.views[0]])
    sounds = [clicks(times), clicks(others)]
    audio = AudioData(torch.cat([sound.waveform for sound in sounds]), RATE)
    together = estimate(audio, VisualFeatures(torch.zeros(2, 60, 1), {"fps": 10.0}, both))
    alone = [estimate(sound, features) for sound, features in zip(sounds, (one, two), strict=True)]
    assert together.confidence == pytest.approx([a.confidence[0] for a in alone], abs=1e-4)
    assert [len(item) for item in together.knots] == [len(a.knots[0]) for a in alone]


def test_features_that_cannot_serve_are_refused() -> None:
    bare = VisualFeatures(torch.zeros(1, 60, 1), {"fps": 10.0}, EventTrack(torch.zeros(1, 600), 100.0, [[]]))
    with pytest.raises(InvalidInputError, match="detect_events"):
        estimate(clicks([1.0]), bare)
    with pytest.raises(InvalidInputError, match="detect_events"):
        estimate(clicks([1.0]), VisualFeatures(torch.zeros(1, 60, 1), {"fps": 10.0}))
    features, _ = seen(SEEDS[0], 30.0)
    with pytest.raises(InvalidInputError, match="1 clips cannot be aligned with 2 sounds"):
        estimate(AudioData(torch.zeros(2, 1, 6 * RATE), RATE), features)


def test_it_stops_when_asked() -> None:
    features, times = seen(SEEDS[0], 30.0)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        registry.create("aligner", "learned").estimate(clicks(times), features, RunContext(cancel=cancel))
