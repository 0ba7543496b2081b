"""Long sound in overlapping segments: what is cut fits together, and what is joined is not heard."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import AudioData
from versasound_core.segments import OVERLAP_S, SEGMENT_S, cross_faded, joined_segments, segments

RATE = 8000


def level_db(wave: torch.Tensor) -> float:
    return 10 * math.log10(float(wave.double().square().mean()))


def noise(samples: int, seed: int, channels: int = 2) -> torch.Tensor:
    return torch.randn(1, channels, samples, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 400 * 10), st.just(10))
def test_segments_cover_everything_and_overlap_by_two_seconds(samples: int, rate: int) -> None:
    parts = segments(samples, rate)
    assert parts[0].start == 0
    assert parts[-1].fade == parts[-1].end == samples
    for part, following in itertools.pairwise(parts):
        assert part.fade == following.start == part.start + SEGMENT_S * rate
        assert part.end == part.fade + OVERLAP_S * rate
        assert following.end - following.start > 2 * OVERLAP_S * rate  # none that is mostly overlap


def test_a_short_sound_is_one_segment() -> None:
    for seconds in (0.001, 1, SEGMENT_S, SEGMENT_S + 2 * OVERLAP_S):
        assert len(segments(max(1, round(seconds * RATE)), RATE)) == 1
    assert len(segments((SEGMENT_S + 2 * OVERLAP_S) * RATE + 1, RATE)) == 2


@given(st.integers(1, 130 * 10))
def test_parts_of_one_signal_join_to_that_signal(samples: int) -> None:
    signal = noise(samples, samples)
    parts = segments(samples, 10)
    blocks = list(joined_segments(parts, lambda p: AudioData(signal[..., p.start : p.end], 10)))
    assert [block.shape[-1] for block in blocks] == [part.fade - part.start for part in parts]
    torch.testing.assert_close(torch.cat([block.waveform for block in blocks], -1), signal, atol=1e-5, rtol=0)


def test_a_segment_is_made_when_its_turn_comes() -> None:
    made = []

    def make(part):
        made.append(part.start)
        return AudioData(torch.zeros(1, 1, part.end - part.start), 10)

    blocks = joined_segments(segments(1000, 10), make)
    assert made == []
    for count, _ in enumerate(blocks, start=1):
        assert len(made) == count


def test_a_fade_between_equal_signals_is_the_signal() -> None:
    signal = noise(OVERLAP_S * RATE, 1)
    torch.testing.assert_close(cross_faded(signal, signal), signal, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_fade_between_unrelated_noises_keeps_the_level(channels: int) -> None:
    rate = 48000
    faded = cross_faded(noise(2 * rate, 1, channels), noise(2 * rate, 2, channels))
    for tenth in faded.chunk(10, dim=-1):
        assert level_db(tenth) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("alike", [0.25, 0.5, 0.9])
def test_a_fade_between_half_related_noises_keeps_the_level(alike: float) -> None:
    rate = 48000
    common, first, second = (noise(2 * rate, seed) for seed in range(3))
    mixed = [math.sqrt(alike) * common + math.sqrt(1 - alike) * own for own in (first, second)]
    for tenth in cross_faded(*mixed).chunk(10, dim=-1):
        assert level_db(tenth) == pytest.approx(0, abs=0.3)


def test_a_fade_begins_as_the_one_and_ends_as_the_other() -> None:
    before, after = noise(1000, 1), noise(1000, 2)
    faded = cross_faded(before, after)
    torch.testing.assert_close(faded[..., 0], before[..., 0], atol=5e-3, rtol=0)
    torch.testing.assert_close(faded[..., -1], after[..., -1], atol=5e-3, rtol=0)


def test_silence_and_opposites_stay_finite() -> None:
    signal, silence = noise(1000, 1), torch.zeros(1, 2, 1000)
    assert torch.equal(cross_faded(silence, silence), silence)
    assert torch.isfinite(cross_faded(signal, silence)).all()
    assert torch.isfinite(cross_faded(signal, -signal)).all()
    assert cross_faded(signal, -signal).abs().max() <= signal.abs().max() * 1.001


def test_each_item_of_a_batch_is_faded_by_itself() -> None:
    before, after = (torch.cat([noise(4000, 1), noise(4000, 2)]), torch.cat([noise(4000, 1), noise(4000, 3)]))
    both = cross_faded(before, after)
    for item in range(2):
        assert torch.equal(both[item : item + 1], cross_faded(before[item : item + 1], after[item : item + 1]))
