"""Sound in memory: channels, rates, resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import AudioData
from versasound_core.errors import InvalidInputError

FLOATS = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])
RATES = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]


def tensor(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(dtype) * 2 - 1


class TestAudio:
    @given(
        shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(0, 50)),
        rate=st.integers(1, 200000),
        dtype=FLOATS,
    )
    def test_shape_and_duration_follow_the_waveform(self, shape, rate, dtype):
        audio = AudioData(torch.zeros(shape, dtype=dtype), rate)
        assert audio.shape == torch.Size(shape)
        assert audio.num_channels == shape[1]
        assert audio.duration == shape[2] / rate
        mono = audio.to_mono()
        assert mono.shape == torch.Size((shape[0], 1, shape[2]))
        assert mono.waveform.dtype == dtype

    def test_mono_is_the_average_and_stereo_is_twice_the_same(self):
        audio = AudioData(tensor(3, 2, 100), 8000, {"a": 1})
        mono = audio.to_mono()
        torch.testing.assert_close(mono.waveform[:, 0], (audio.waveform[:, 0] + audio.waveform[:, 1]) / 2)
        stereo = mono.to_stereo()
        assert torch.equal(stereo.waveform[:, 0], mono.waveform[:, 0])
        assert torch.equal(stereo.waveform[:, 1], mono.waveform[:, 0])
        assert mono.metadata == stereo.metadata == audio.metadata
        assert mono.sample_rate == stereo.sample_rate == 8000
        assert audio.to_stereo() is audio
        assert mono.to_mono() is mono

    def test_more_channels_are_not_guessed_to_stereo(self):
        with pytest.raises(InvalidInputError, match=r"6 channels cannot be made stereo. Call .to_mono\(\) first."):
            AudioData(tensor(1, 6, 10)).to_stereo()

    @pytest.mark.parametrize("rate", [0, -1, 44100.5, math.nan, math.inf, True, "44100", None, 10**400])
    def test_a_rate_that_is_none_is_refused(self, rate):
        for make in (lambda: AudioData(tensor(1, 1, 5), rate), lambda: AudioData(tensor(1, 1, 5)).resample(rate)):
            with pytest.raises(InvalidInputError, match=r"sample_rate must be a whole number of Hz, 1 or more, not "):
                make()

    @pytest.mark.parametrize("rate", [8000, 8000.0, np.int64(8000), np.float32(8000)])
    def test_a_rate_is_a_plain_whole_number_afterwards(self, rate):
        for made in (AudioData(tensor(1, 1, 5), rate), AudioData(tensor(1, 1, 5)).resample(rate)):
            assert made.sample_rate == 8000
            assert type(made.sample_rate) is int

    def test_no_channels_are_refused(self):
        with pytest.raises(InvalidInputError, match=r"no channels: \[1, 0, 5\]"):
            AudioData(torch.zeros(1, 0, 5))


def tone(hz: float, rate: int, length_s: float = 0.5) -> torch.Tensor:
    return 0.5 * torch.sin(2 * math.pi * hz * torch.arange(round(length_s * rate), dtype=torch.float64) / rate)


def fit(wave: torch.Tensor, hz: float, rate: int) -> tuple[float, torch.Tensor]:
    """The amplitude of `hz` in the middle of a sound, and what is left without it."""
    edge = round(0.05 * rate)
    middle = wave[edge:-edge].double()
    time_s = (torch.arange(len(wave), dtype=torch.float64) / rate)[edge:-edge]
    basis = torch.stack([torch.sin(2 * math.pi * hz * time_s), torch.cos(2 * math.pi * hz * time_s)], 1)
    weights = torch.linalg.lstsq(basis, middle[:, None]).solution
    return float(weights.norm()), middle - (basis @ weights)[:, 0]


class TestResampling:
    @given(length=st.integers(0, 3000), old=st.integers(1000, 96000), new=st.integers(1000, 96000), dtype=FLOATS)
    def test_length_type_and_shape(self, length, old, new, dtype):
        audio = AudioData(tensor(2, 3, length, dtype=dtype), old, {"a": 1})
        out = audio.resample(new)
        assert out.shape == torch.Size([2, 3, round(length * new / old)])
        assert (out.sample_rate, out.waveform.dtype, out.metadata) == (new, dtype, {"a": 1})
        assert out.waveform.is_contiguous()

    @pytest.mark.parametrize("new", RATES)
    @pytest.mark.parametrize("old", RATES)
    def test_a_tone_keeps_its_frequency_and_level(self, old, new):
        lower = min(old, new)
        for hz in (40.0, lower * 0.1, lower * 0.25, lower * 0.45):
            out = AudioData(tone(hz, old)[None, None], old).resample(new).waveform[0, 0]
            amplitude, rest = fit(out, hz, new)  # of this very frequency: another one would leave its level in the rest
            assert abs(20 * math.log10(amplitude / 0.5)) < 0.1
            assert 20 * math.log10(float(rest.square().mean().sqrt()) / 0.35 + 1e-12) < -80

    @pytest.mark.parametrize(("old", "new"), [(a, b) for a in RATES for b in RATES if b < a])
    def test_what_lies_above_the_new_band_is_gone(self, old, new):
        for hz in (new / 2 * 1.02, (new + old) / 4, old / 2 * 0.98):
            if new / 2 * 1.01 < hz < old / 2:
                out = AudioData(tone(hz, old)[None, None], old).resample(new).waveform[0, 0]
                middle = out[round(0.05 * new) : -round(0.05 * new)]
                assert 20 * math.log10(float(middle.square().mean().sqrt()) / 0.35 + 1e-12) < -80

    @pytest.mark.parametrize(("old", "new"), [(16000, 44100), (48000, 16000)])
    def test_a_batch_is_its_items_one_by_one(self, old, new):
        audio = AudioData(tensor(3, 2, 2000), old)
        out = audio.resample(new)
        for b in range(3):
            for c in range(2):
                alone = AudioData(audio.waveform[b : b + 1, c : c + 1], old).resample(new)
                assert torch.equal(out.waveform[b, c], alone.waveform[0, 0])

    def test_time_is_kept(self):
        wave = torch.zeros(1, 1, 16000)
        wave[..., 8000] = 1.0
        for new in (8000, 44100, 48000):
            assert int(AudioData(wave).resample(new).waveform.argmax()) == round(0.5 * new)

    @pytest.mark.parametrize(("old", "new"), [(44100, 16000), (16000, 44100), (48000, 44100)])
    def test_the_end_is_not_filled_with_silence(self, old, new):
        out = AudioData(torch.full((1, 1, old), 0.5), old).resample(new).waveform[0, 0]
        assert out[-1] > 0.1

    def test_the_same_rate_is_the_very_same(self):
        audio = AudioData(tensor(1, 1, 10), 8000)
        assert audio.resample(8000) is audio
