"""What no aligner can use: a clear error, or the very same sound."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from versasound_core import registry
from versasound_core.containers import AudioData, EventTrack, VideoClip, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError
from versasound_core.events import detect_events

ALIGNERS = ["cross_correlation", "dtw", "learned"]
RATE = 16000
HITS_S = (0.4, 1.1, 1.5, 2.3)


@cache
def seen(what: str) -> VisualFeatures:
    """A square that strikes the floor at `HITS_S`; `still` or `one frame` of it."""
    count = {"strikes": 90, "still": 90, "one frame": 1}[what]
    pictures = torch.full((1, count, 1, 48, 64), 90, dtype=torch.uint8)
    for k in range(count if what == "strikes" else 0):
        since = min(abs(k / 30 - hit) for hit in HITS_S)
        top = 34 - round(28 * min(since / 0.3, 1.0))
        pictures[0, k, 0, top : top + 8, 28:36] = 220
    events = detect_events(VideoClip.from_tensor(pictures, 30.0), RunContext())
    return VisualFeatures(torch.zeros(1, max(1, count // 3), 1), {"fps": 10.0}, events)


def clicks(duration_s: float = 3.0, rate: int = RATE) -> AudioData:
    wave = 1e-4 * np.random.default_rng(0).standard_normal(max(1, round(duration_s * rate)))
    for hit in HITS_S:
        wave[round((hit + 0.2) * rate) :][: max(1, rate // 100)] += 0.5
    return AudioData(torch.from_numpy(wave.astype(np.float32))[None, None], rate)


SOUNDS = {
    "empty": lambda: AudioData(torch.zeros(1, 1, 0), RATE),
    "silent": lambda: AudioData(torch.zeros(1, 1, 3 * RATE), RATE),
    "constant": lambda: AudioData(torch.full((1, 2, 3 * RATE), 0.3), RATE),
    "one sample": lambda: AudioData(torch.ones(1, 1, 1), RATE),
    "1 Hz": lambda: AudioData(torch.tensor([[[0.1, 0.9, -0.3]]]), 1),
    "192 kHz": lambda: clicks(rate=192000),
    "shorter": lambda: clicks(0.7),
    "longer": lambda: clicks(9.0),
}


@pytest.mark.parametrize("aligner", ALIGNERS)
@pytest.mark.parametrize("picture", ["strikes", "still", "one frame"])
@pytest.mark.parametrize("sound", SOUNDS)
def test_what_is_odd_is_aligned_or_left_alone(aligner: str, picture: str, sound: str) -> None:
    audio = SOUNDS[sound]()
    alignment = registry.create("aligner", aligner).estimate(audio, seen(picture), RunContext())
    moved = alignment.apply(audio)
    assert moved.shape == audio.shape
    assert moved.waveform.isfinite().all()
    assert 0 <= alignment.confidence[0] <= 1
    if picture != "strikes" or sound in {"empty", "silent", "constant", "one sample", "1 Hz"}:
        assert moved is audio


@pytest.mark.parametrize("aligner", ALIGNERS)
def test_features_without_events_are_refused(aligner: str) -> None:
    bare = VisualFeatures(torch.zeros(1, 10, 1), {"fps": 10.0})
    with pytest.raises(InvalidInputError, match="detect_events"):
        registry.create("aligner", aligner).estimate(clicks(), bare, RunContext())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_sound_that_is_not_finite_is_refused_before_any_aligner_hears_it(value: float) -> None:
    with pytest.raises(InvalidInputError):
        AudioData(torch.full((1, 1, 100), value), RATE)


def test_events_that_are_not_finite_are_refused_before_any_aligner_sees_them() -> None:
    with pytest.raises(InvalidInputError):
        EventTrack(torch.full((1, 10), float("nan")), 100.0, [[]])
