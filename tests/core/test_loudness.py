"""Loudness and true peak, against another implementation and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
import torch

from versasound_core.containers import AudioData
from versasound_core.errors import InvalidInputError
from versasound_core.media.blocks import BlockReader, item_by_item, joined, noted
from versasound_core.media.filters import Filtered
from versasound_core.media.loudness import PEAK_HOP, integrated_lufs, measure


def speechlike(rate: int, channels: int, seconds: float) -> AudioData:
    """Noise that comes and goes, so that the gates matter."""
    generator = torch.Generator().manual_seed(7)
    length = round(rate * seconds)
    t = torch.arange(length) / rate
    noise = torch.randn(1, channels, length, generator=generator)
    return AudioData(noise * 0.1 * (0.01 + 0.99 * (t % 3 < 1)), rate)


def cut(audio: AudioData, length: int) -> list[AudioData]:
    return [AudioData(part, audio.sample_rate) for part in audio.waveform.split(length, dim=-1)]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.45, 1.234, 10.05])
def test_integrated_loudness_is_pyloudnorms(rate: int, channels: int, seconds: float) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm", reason="pyloudnorm, the reference, is not installed")
    audio = speechlike(rate, channels, seconds)
    # Its other filter class is an approximation of the standard's.
    reference = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(audio.waveform[0].numpy().T)
    assert measure(audio).integrated_lufs == pytest.approx(reference, abs=0.1)


def test_the_standards_own_tone() -> None:
    # EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS reads -23 LUFS.
    t = torch.arange(48000 * 20) / 48000
    tone = 10 ** (-23 / 20) * torch.sin(2 * torch.pi * 1000 * t)
    assert measure(AudioData(tone.expand(1, 2, -1), 48000)).integrated_lufs == pytest.approx(-23, abs=0.1)


def test_true_peak_lies_between_samples() -> None:
    # A sine at a quarter of the rate, sampled at 45 degrees: no sample passes 0.71, the wave reaches 1.
    t = torch.arange(48000).double()
    wave = torch.sin(torch.pi / 2 * t + torch.pi / 4) * torch.hann_window(48000)
    tone = AudioData(wave[None, None].float(), 48000)
    assert float(tone.waveform.max()) < 0.7072
    assert measure(tone).true_peak_db == pytest.approx(0, abs=0.1)


def test_true_peaks_follow_an_oversampled_reference() -> None:
    audio = speechlike(48000, 2, 4)
    fine = soxr.resample(audio.waveform[0].numpy().T, 48000, 16 * 48000, quality="VHQ")
    reference = np.abs(fine).reshape(-1, 16 * PEAK_HOP * 2).max(axis=1)
    peaks = measure(audio).peaks
    assert peaks.shape == reference.shape
    difference_db = 20 * np.log10(peaks / reference)
    # A peak on the border of two hops may fall into either.
    assert np.quantile(np.abs(difference_db), 0.9) < 0.5
    assert 20 * math.log10(peaks.max() / reference.max()) == pytest.approx(0, abs=0.3)


def test_block_size_changes_nothing() -> None:
    audio = speechlike(44100, 2, 3.3)
    whole = measure(audio)
    for length in (997, 4410, 44100):
        parts = measure(cut(audio, length))
        assert parts.integrated_lufs == whole.integrated_lufs
        assert np.allclose(parts.peaks, whole.peaks, rtol=1e-4)
        assert integrated_lufs(cut(audio, length)) == whole.integrated_lufs


@pytest.mark.parametrize("length", [0, 1, 100, 19199, 19200, 60000])
def test_silence(length: int) -> None:
    loudness = measure(AudioData(torch.zeros(1, 2, length), 48000))
    assert loudness.integrated_lufs == -math.inf
    assert loudness.true_peak_db == -math.inf
    assert loudness.peaks.shape == (math.ceil(length / PEAK_HOP),)
    assert measure([]).integrated_lufs == -math.inf


@pytest.mark.parametrize("length", [1, 480, 4800, 19199])
def test_a_short_sound_is_measured_in_one_gating_block(length: int) -> None:
    short = AudioData(torch.randn(1, 1, length, generator=torch.Generator().manual_seed(1)) * 0.3, 48000)
    padded = AudioData(torch.nn.functional.pad(short.waveform, (0, 19200 - length)), 48000)
    assert measure(short).integrated_lufs == pytest.approx(measure(padded).integrated_lufs, abs=0.01)


def test_a_click_at_the_very_end_is_heard() -> None:
    wave = torch.zeros(1, 1, 48000)
    wave[..., -10] = 1
    loudness = measure(AudioData(wave, 48000))
    assert -60 < loudness.integrated_lufs < -20
    assert loudness.true_peak_db == pytest.approx(0, abs=0.2)


def test_quiet_sound_has_an_exact_peak() -> None:
    loud = speechlike(48000, 1, 2)
    quiet = AudioData(loud.waveform * 1e-4, 48000)
    assert measure(quiet).true_peak_db == pytest.approx(measure(loud).true_peak_db - 80, abs=0.01)


def test_only_one_sound_of_one_or_two_channels() -> None:
    with pytest.raises(InvalidInputError, match="batch of 2"):
        measure(AudioData(torch.zeros(2, 1, 100)))
    with pytest.raises(InvalidInputError, match="not 3"):
        measure(AudioData(torch.zeros(1, 3, 100)))


@pytest.mark.parametrize("length", [1, 1000, 44100, 10**6])
def test_filters_keep_length_place_and_type(length: int) -> None:
    audio = speechlike(44100, 2, 1.5)
    blocks = cut(audio, length)
    # Denoising by next to nothing: what is left is the filter's delay, which must be undone.
    out = list(Filtered(blocks, ["afftdn=noise_reduction=0.01"], latency=2 * (44100 // 80)))
    assert [block.shape for block in out] == [block.shape for block in blocks]
    assert torch.allclose(joined(out).waveform, audio.waveform, atol=1e-3)
    double = [AudioData(block.waveform.double(), 44100) for block in blocks]
    assert next(iter(Filtered(double, ["volume=-6dB"]))).waveform.dtype == torch.float64


def test_blocks_join_split_and_tell() -> None:
    audio = AudioData(torch.randn(3, 2, 1000, generator=torch.Generator().manual_seed(0)), 48000)
    blocks = cut(audio, 300)
    assert torch.equal(joined(item_by_item(blocks, iter)).waveform, audio.waveform)
    told = [noted(blocks[0], "a"), noted(blocks[1], "b"), noted(blocks[2], "a"), blocks[3]]
    assert joined(told).metadata["notes"] == ["a", "b"]
    assert "notes" not in blocks[0].metadata
    with pytest.raises(InvalidInputError, match="only once"):
        list(item_by_item(iter(blocks), iter))
    reader = BlockReader(blocks)
    taken = [reader.take(length) for length in (0, 1, 299, 500, 999, 5)]
    assert [part.shape[-1] if part is not None else None for part in taken] == [None, 1, 299, 500, 200, None]
