"""Known offsets and warps come back, what fits nothing is left alone, and the path is the best there is."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch

from versasound_core import registry
from versasound_core.containers import Alignment, AudioData, EventTrack, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError
from versasound_core.events.lags import best_path, path_scores

RATE = 16000


def features_of(times_s: list[float], duration_s: float = 8.0, batch: int = 1) -> VisualFeatures:
    count = max(1, round(duration_s * 100))
    track = EventTrack(torch.zeros(batch, count), 100.0, [[(float(t), 1.0) for t in times_s]] * batch)
    return VisualFeatures(torch.zeros(batch, count, 1), {"fps": 100.0}, track)


def knocks(times_s: list[float], duration_s: float = 8.0, rate: int = RATE) -> AudioData:
    """Decaying bursts of noise that begin at these times."""
    wave = np.zeros(round(duration_s * rate), np.float32)
    burst = np.random.default_rng(1).normal(0, 0.3, rate // 5) * np.exp(-np.arange(rate // 5) / (0.02 * rate))
    for time_s in times_s:
        first = round(time_s * rate)
        part = burst[: max(0, len(wave) - first)]
        wave[first : first + len(part)] += part
    return AudioData(torch.from_numpy(wave)[None, None], rate)


def uneven(seed: int, duration_s: float = 8.0) -> np.ndarray:
    """Strikes 0.3 to 0.9 s apart."""
    times = 0.4 + np.cumsum(np.random.default_rng(seed).uniform(0.3, 0.9, 30))
    return times[times < duration_s - 0.4]


def estimate(audio: AudioData, features: VisualFeatures, **options: float | bool) -> Alignment:
    return registry.create("aligner", "dtw", **options).estimate(audio, features, RunContext())


def errors(times: np.ndarray, heard: np.ndarray, duration_s: float = 8.0, **options: float | bool) -> np.ndarray:
    """Seconds between where each sound is put and its strike."""
    inside = (heard > 0.05) & (heard < duration_s - 0.05)
    alignment = estimate(knocks(list(heard[inside]), duration_s), features_of(list(times), duration_s), **options)
    source, target = np.array(alignment.knots[0]).T
    nearest = np.abs(source[None] - heard[inside, None]).argmin(1)
    return np.abs(heard[inside] + (target - source)[nearest] - times[inside])


@pytest.mark.parametrize("shift_s", [-1.0, -0.31, 0.0, 0.02, 0.44, 1.0])
def test_a_shift_comes_back(shift_s: float) -> None:
    for seed in range(4):
        times = uneven(seed)
        assert np.median(errors(times, times + shift_s)) <= 0.010


@pytest.mark.parametrize("shift_s", [0.0, -0.8, 0.7])
def test_offset_and_warp_come_back_together(shift_s: float) -> None:
    found = []
    for seed in range(6):
        times = uneven(seed, 12.0)
        heard = times + shift_s + 0.15 * np.sin(2 * np.pi * times / 6 + seed)
        found.append(errors(times, heard, 12.0))
    assert np.median(np.concatenate(found)) <= 0.012
    assert np.mean(np.concatenate(found) < 0.040) > 0.9


def test_much_stiffness_makes_one_offset() -> None:
    times = uneven(3)
    heard = list(times + 0.1 * np.sin(times))
    stiff = estimate(knocks(heard), features_of(list(times)), stiffness=10.0, adaptive=False, min_confidence=0.0)
    moves = {round(target - source, 6) for source, target in stiff.knots[0]}
    assert len(moves) == 1


def test_strength_moves_in_proportion_and_none_is_the_same_sound() -> None:
    times = uneven(0)
    audio = knocks(list(times + 0.3))
    alignment = estimate(audio, features_of(list(times)))
    assert alignment.apply(audio, 0.0) is audio
    moved = [alignment.apply(audio, strength).waveform.abs().flatten() for strength in (0, 0.5, 1)]
    begin = [int((wave > 0.05).nonzero()[0]) for wave in moved]
    assert (begin[0] - begin[1]) / RATE == pytest.approx(0.15, abs=0.006)
    assert (begin[0] - begin[2]) / RATE == pytest.approx(0.30, abs=0.011)


def test_sound_in_its_place_is_left_there() -> None:
    times = uneven(5)
    audio = knocks(list(times))
    moves = [abs(t - s) for s, t in estimate(audio, features_of(list(times))).knots[0]]
    assert max(moves) <= 0.010


@pytest.mark.parametrize("what", ["silence", "constant", "noise", "nothing seen"])
def test_what_cannot_be_aligned_is_left_alone(what: str) -> None:
    audio = {
        "silence": AudioData(torch.zeros(1, 2, 8 * RATE), RATE),
        "constant": AudioData(torch.full((1, 1, 8 * RATE), 0.5), RATE),
        "noise": AudioData(0.1 * torch.randn(1, 1, 8 * RATE, generator=torch.Generator().manual_seed(3)), RATE),
        "nothing seen": knocks([1.0, 2.2, 5.0]),
    }[what]
    alignment = estimate(audio, features_of([] if what == "nothing seen" else list(uneven(1))))
    assert alignment.knots == [[]]
    assert alignment.apply(audio) is audio


@pytest.mark.parametrize(
    ("samples", "rate", "duration_s"),
    [
        (0, RATE, 1.0),
        (1, RATE, 0.04),
        (10, 1, 8.0),
        (192000, 192000, 1.0),
        (RATE * 3, RATE, 8.0),
        (RATE * 8, RATE, 1.0),
        (100, 8000, 8.0),
    ],
    ids=[
        "empty",
        "one sample, one frame",
        "1 Hz",
        "192 kHz",
        "short sound",
        "short picture",
        "a hundredth of a second",
    ],
)
def test_odd_lengths_and_rates(samples: int, rate: int, duration_s: float) -> None:
    wave = torch.rand(1, 2, samples, generator=torch.Generator().manual_seed(0)) - 0.5
    audio = AudioData(wave, rate)
    features = features_of([t for t in (0.0, 0.5) if t < duration_s], duration_s)
    assert estimate(audio, features, min_confidence=0.0).apply(audio).shape == wave.shape


def test_a_batch_is_its_items() -> None:
    times = list(uneven(2))
    sounds = [knocks([t + late for t in times if t < 7]) for late in (0.2, -0.1)]
    both = estimate(AudioData(torch.cat([s.waveform for s in sounds]), RATE), features_of(times, batch=2))
    alone = [estimate(sound, features_of(times)) for sound in sounds]
    assert both.knots == [one.knots[0] for one in alone]
    assert both.confidence == [one.confidence[0] for one in alone]


def test_what_cannot_be_used_is_refused() -> None:
    audio = knocks([1.0])
    with pytest.raises(InvalidInputError, match="detect_events"):
        estimate(audio, VisualFeatures(torch.zeros(1, 10, 1), {"fps": 10.0}))
    with pytest.raises(InvalidInputError, match="2 clips cannot be aligned with 1 sounds"):
        estimate(audio, features_of([1.0], batch=2))
    for wrong in ({"max_stretch": 1.0}, {"stiffness": -1.0}, {"max_offset_s": 0.0}):
        with pytest.raises(InvalidInputError):
            registry.create("aligner", "dtw", **wrong)


def test_it_stops_when_asked() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        registry.create("aligner", "dtw").estimate(knocks([1.0]), features_of([1.0]), RunContext(cancel=token))


def test_the_path_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    penalty = np.array([0.3, 0.0, 0.4], np.float32)
    for _ in range(20):
        match = rng.normal(size=(5, 4)).astype(np.float32)
        best = max(
            (sum(match[range(5), path]) - sum(penalty[a - b + 1] for a, b in itertools.pairwise(path)), path)
            for path in np.ndindex(4, 4, 4, 4, 4)
            if all(abs(b - a) <= 1 for a, b in itertools.pairwise(path))
        )
        scores = path_scores(match, penalty)
        assert tuple(best_path(scores, penalty)) == best[1]
        assert scores[-1].max() == pytest.approx(best[0], abs=1e-5)


def test_ten_minutes_fit_in_200_megabytes() -> None:
    from versasound_plugin_dtw.aligner import warp

    cues = np.random.default_rng(0).normal(size=(4, 60000)).astype(np.float32)
    tracemalloc.start()
    warp(list(cues[:3]), cues[3], 125, 0.5, 0.8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
