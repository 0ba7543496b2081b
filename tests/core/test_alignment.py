"""Moving sound: click trains with known times, textures with a known level, and random knots."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import Alignment, AudioData
from versasound_core.errors import InvalidInputError

RATE = 16000


def clicks(times_s: list[float], length_s: float = 4.0, decay_s: float = 0.06, seed: int = 0) -> torch.Tensor:
    """Noise bursts, each another one, that begin at once and decay: `[1, 1, T]`."""
    generator = torch.Generator().manual_seed(seed)
    wave = torch.zeros(round(length_s * RATE))
    time_s = torch.arange(RATE) / RATE
    for at in times_s:
        burst = (torch.rand(RATE, generator=generator) * 2 - 1) * torch.exp(-time_s / decay_s) * 0.5
        begin = round(at * RATE)
        burst = burst[: len(wave) - begin]
        wave[begin : begin + len(burst)] += burst
    return wave[None, None]


def noise(length_s: float, seed: int = 0, low: bool = False) -> torch.Tensor:
    wave = torch.randn(1, 1, round(length_s * RATE), generator=torch.Generator().manual_seed(seed)) * 0.1
    if low:  # rumble: neighbouring samples, and sounds a little apart, are alike
        wave = torch.nn.functional.avg_pool1d(wave, 65, 1, 32)
    return wave


def levels(wave: torch.Tensor, window_s: float) -> torch.Tensor:
    """The level in dB of consecutive windows of the first channel of the first item."""
    window = round(window_s * RATE)
    mono = wave[0, 0, : wave.shape[-1] // window * window].double()
    return 10 * torch.log10(mono.reshape(-1, window).square().mean(1) + 1e-12)


def onsets(wave: torch.Tensor) -> list[float]:
    """Where the level, over 4 ms, rises by 12 dB over that of the 12 ms before, and is not faint."""
    level = levels(wave, 0.004)
    found: list[float] = []
    for k in range(len(level)):
        before = level[max(k - 3, 0) : k].max() if k else torch.tensor(-120.0)
        if level[k] > -40 and level[k] > before + 12 and (not found or k * 0.004 - found[-1] > 0.02):
            found.append(k * 0.004)
    return found


def place_of(wave: torch.Tensor, burst: torch.Tensor) -> tuple[int, float]:
    """Where `burst` fits best in `wave`, and the normalised correlation there."""
    signal, pattern = wave[0, 0][None, None], burst[None, None]
    products = torch.nn.functional.conv1d(signal, pattern)[0, 0]
    energy = torch.nn.functional.conv1d(signal.square(), torch.ones_like(pattern))[0, 0]
    likeness = products / (energy * burst.square().sum()).clamp(min=1e-9).sqrt()
    best = int(likeness.argmax())
    return best, float(likeness[best])


def moved(wave: torch.Tensor, knots: list[tuple[float, float]], strength: float = 1.0) -> torch.Tensor:
    out = Alignment([knots], [1.0]).apply(AudioData(wave, RATE), strength)
    assert out.shape == wave.shape
    assert out.sample_rate == RATE
    return out.waveform


CASES = {
    "widened": [(0.5, 0.4), (1.0, 1.1), (1.5, 1.7)],
    "narrowed": [(0.5, 0.7), (1.0, 1.05), (1.5, 1.35)],
    "widened beyond what there is": [(0.5, 0.3), (1.0, 1.5), (1.5, 3.0)],
    "as one": [(0.5, 0.9), (1.0, 1.4), (1.5, 1.9)],
    "every other": [(0.5, 0.45), (1.0, 1.0), (1.5, 1.62)],
    "one alone": [(1.0, 1.08)],
}


class TestTransients:
    @pytest.mark.parametrize("knots", CASES.values(), ids=CASES)
    @pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
    def test_each_moves_its_way_times_the_strength_with_its_waveform(self, knots, strength):
        wave = clicks([0.5, 1.0, 1.5])
        out = moved(wave, knots, strength)
        for source_s, target_s in knots:
            begin = round(source_s * RATE)
            at, likeness = place_of(out, wave[0, 0, begin : begin + round(0.03 * RATE)])
            assert abs(at / RATE - (source_s + strength * (target_s - source_s))) <= 0.5 / RATE + 1e-9
            assert likeness >= 0.99

    @pytest.mark.parametrize("decay_s", [0.02, 0.06, 0.15])
    @pytest.mark.parametrize("knots", CASES.values(), ids=CASES)
    def test_none_is_doubled_and_none_is_lost(self, knots, decay_s):
        wave = clicks([0.5, 1.0, 1.5], decay_s=decay_s)
        assert len(onsets(wave)) == 3
        assert len(onsets(moved(wave, knots))) == 3

    @pytest.mark.parametrize("gap_s", [0.06, 0.08, 0.12])
    @pytest.mark.parametrize("factor", [0.6, 1.5, 3.0])
    def test_close_ones_stay_apart(self, gap_s, factor):
        times = [0.5 + k * gap_s for k in range(6)]
        knots = [(time_s, 0.5 + (time_s - 0.5) * factor) for time_s in times]
        wave = clicks(times, decay_s=0.008)
        out = moved(wave, knots)
        assert len(onsets(out)) == len(times)
        for source_s, target_s in knots:
            begin = round(source_s * RATE)
            at, likeness = place_of(out, wave[0, 0, begin : begin + round(0.012 * RATE)])
            assert abs(at / RATE - target_s) <= 1 / RATE
            assert likeness >= 0.99

    def test_where_two_would_meet_the_later_one_is_heard(self):
        wave = clicks([1.0, 1.5])
        out = moved(wave, [(1.0, 1.2), (1.5, 1.2)])
        assert len(onsets(out)) == 1
        at, likeness = place_of(out, wave[0, 0, round(1.5 * RATE) : round(1.53 * RATE)])
        assert at == round(1.2 * RATE)
        assert likeness >= 0.99

    @pytest.mark.parametrize("shift_s", [-0.3, 0.3])
    def test_one_at_the_very_edge_keeps_its_attack(self, shift_s):
        time_s = max(-shift_s, 0.0)
        wave = clicks([time_s], 1.0)
        out = moved(wave, [(time_s, time_s + shift_s)])
        begin, end = round(time_s * RATE), round((time_s + shift_s) * RATE)
        count = round(0.1 * RATE)
        assert torch.equal(out[0, 0, end : end + count], wave[0, 0, begin : begin + count])


class TestTextures:
    @pytest.mark.parametrize("low", [False, True], ids=["hiss", "rumble"])
    @pytest.mark.parametrize(
        "knots",
        [
            [(1.0, 1.0), (2.0, 2.25), (3.0, 3.0)],
            [(1.0, 1.0), (2.0, 2.8), (3.0, 3.5)],
            [(1.0, 1.0), (1.1, 1.9), (3.0, 3.0)],
            [(1.0, 1.0), (1.06, 1.0601), (1.12, 1.1202), (3.0, 3.001)],
            [(1.0, 1.0), (2.0, 1.3), (3.0, 3.0)],
            [(0.0, 0.0), *((k / 5, k / 5 + 0.03 * math.sin(k)) for k in range(1, 20))],
        ],
    )
    def test_the_level_stays(self, knots, low):
        window_s = 0.1 if low else 0.02
        jumps = []
        for seed in range(12):  # one noise varies by itself: what a join does shows in the mean of several
            wave = noise(4.0, seed, low)
            jumps.append(levels(moved(wave, knots), window_s) - levels(wave, window_s).mean())
        change = torch.stack(jumps)[:, 1:-1]
        assert change.mean(0).abs().max() < 1.0
        assert change.min() > -6.0

    @pytest.mark.parametrize("move_s", [0.001, 0.01, 0.1, -0.001, -0.01, -0.1])
    def test_a_tone_is_never_much_louder_and_never_holed(self, move_s):
        time_s = torch.arange(3 * RATE) / RATE
        for hz in (110.0, 333.0, 1001.0):
            wave = 0.5 * torch.sin(2 * math.pi * hz * time_s)[None, None]
            out = moved(wave, [(1.0, 1.0), (2.0, 2.0 + move_s)])
            assert out.abs().max() <= 0.5 * math.sqrt(2) + 1e-6
        steady = torch.full((1, 1, 3 * RATE), 0.5)  # what is wholly alike is cross-faded without a trace
        out = moved(steady, [(1.0, 1.0), (2.0, 2.0 + move_s)])[..., RATE : 2 * RATE]
        torch.testing.assert_close(out, steady[..., RATE : 2 * RATE])

    def test_silence_stays_silence(self):
        wave = torch.zeros(1, 2, 2 * RATE)
        assert not moved(wave, [(0.5, 0.6), (1.0, 1.5)]).any()

    def test_what_is_moved_in_from_outside_is_silence_without_a_click(self):
        steady = torch.full((1, 1, RATE), 0.5)
        for shift_s in (0.2, -0.2):
            out = moved(steady, [(0.5, 0.5 + shift_s)])[0, 0]
            inside = out[round(0.2 * RATE) :] if shift_s > 0 else out[: round(0.8 * RATE)]
            outside = out[: round(0.2 * RATE)] if shift_s > 0 else out[round(0.8 * RATE) :]
            assert not outside.any()
            assert inside.max() == 0.5
            assert torch.diff(out).abs().max() < 0.5 * math.pi / 2 / (0.005 * RATE) * 1.01


class TestApplying:
    def test_strength_nought_returns_the_very_same(self):
        audio = AudioData(noise(1.0), RATE)
        assert Alignment([[(0.2, 0.7)]], [1.0]).apply(audio, 0) is audio

    @pytest.mark.parametrize("knots", [[], [(0.2, 0.2), (0.5, 0.5)], [(5.0, 6.0)], [(-1.0, 0.5)]])
    def test_where_nothing_moves_it_is_the_very_same(self, knots):
        audio = AudioData(noise(1.0), RATE)
        assert Alignment([knots], [1.0]).apply(audio) is audio

    def test_full_strength_is_the_default(self):
        wave, knots = clicks([0.5, 1.0]), [(0.5, 0.6), (1.0, 0.95)]
        assert torch.equal(Alignment([knots], [1.0]).apply(AudioData(wave, RATE)).waveform, moved(wave, knots, 1.0))

    def test_a_batch_is_its_items_one_by_one_and_channels_move_together(self):
        wave = torch.cat([noise(1.0, 1), noise(1.0, 2), noise(1.0, 3)]).repeat(1, 2, 1)
        knots = [[(0.3, 0.4), (0.6, 0.6)], [], [(0.5, 0.3)]]
        audio = AudioData(wave, RATE, {"notes": ["a note"]})
        out = Alignment(knots, [1.0, 0.0, 0.5]).apply(audio)
        assert out.metadata == audio.metadata
        for b, item in enumerate(knots):
            assert torch.equal(out.waveform[b : b + 1], moved(wave[b : b + 1], item))
        assert torch.equal(out.waveform[:, 0], out.waveform[:, 1])
        assert torch.equal(out.waveform[1], wave[1])

    def test_the_input_is_left_as_it_was(self):
        wave = noise(1.0)
        before = wave.clone()
        moved(wave, [(0.3, 0.5), (0.6, 0.7)])
        assert torch.equal(wave, before)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
    def test_the_type_is_kept(self, dtype):
        assert moved(noise(1.0).to(dtype), [(0.3, 0.5), (0.6, 0.7)]).dtype == dtype

    times = st.floats(-1, 3) | st.floats(allow_nan=False, allow_infinity=False)

    @given(
        pairs=st.lists(st.tuples(times, times), max_size=12),
        strength=st.floats(0, 1),
        rate=st.sampled_from([1, 7, 100, 8000]),
        length=st.integers(0, 3000),
    )
    def test_any_knots_give_a_sound_of_that_length_within_bounds(self, pairs, strength, rate, length):
        sources = sorted({source for source, _ in pairs})
        targets = sorted(target for _, target in pairs)
        knots = list(zip(sources, targets, strict=False))
        wave = torch.rand(1, 2, length, generator=torch.Generator().manual_seed(length)) * 2 - 1
        out = Alignment([knots], [1.0]).apply(AudioData(wave, rate), strength)
        assert out.shape == wave.shape
        assert out.waveform.isfinite().all()
        if length:
            assert out.waveform.abs().max() <= math.sqrt(2) * wave.abs().max() + 1e-5


def test_within_leaves_out_the_items_that_move_further():
    near, far = [(0.2, 0.3), (0.5, 0.5)], [(0.2, 0.3), (0.5, 0.9)]
    left = Alignment([near, far, []], [0.1, 0.2, 0.3]).within(0.2)
    assert (left.knots, left.confidence) == ([near, [], []], [0.1, 0.2, 0.3])


class TestMaking:
    @pytest.mark.parametrize(
        ("knots", "confidence", "words"),
        [
            ([[]], [], "1 lists of knots for 0 confidences"),
            ([[]], [1.5], r"confidence must lie in \[0, 1\], not 1.5"),
            ([[]], [math.nan], r"confidence must lie in \[0, 1\], not nan"),
            ([[]], ["high"], "not 'high'"),
            ([[(0.0, math.inf)]], [1.0], r"finite \(source_s, target_s\) .* \(0.0, inf\)"),
            ([[(math.nan, 0.0)]], [1.0], r"\(nan, 0.0\)"),
            ([[0.5]], [1.0], "item 0 has 0.5"),
            ([[], [(1, 2, 3)]], [1.0, 1.0], r"item 1 has \(1, 2, 3\)"),
            ([[(0.5, 0.5), (0.5, 0.6)]], [1.0], r"\(0.5, 0.6\) follows \(0.5, 0.5\)"),
            ([[(0.5, 0.5), (0.6, 0.4)]], [1.0], r"must not fall in target time; \(0.6, 0.4\) follows"),
        ],
    )
    def test_what_is_no_alignment_is_refused(self, knots, confidence, words):
        with pytest.raises(InvalidInputError, match=words):
            Alignment(knots, confidence)

    def test_what_cannot_be_applied_is_refused(self):
        audio = AudioData(noise(1.0), RATE)
        for strength in (-0.1, 1.1, math.nan, "much"):
            with pytest.raises(InvalidInputError, match=r"strength must lie in \[0, 1\], not"):
                Alignment([[]], [1.0]).apply(audio, strength)
        with pytest.raises(InvalidInputError, match="2 items cannot move a batch of 1"):
            Alignment([[], []], [1.0, 1.0]).apply(audio)

    def test_it_prints_how_far_and_how_sure(self):
        assert repr(Alignment([[(1.0, 1.05), (2.0, 1.9)], []], [0.5, 0.0])) == (
            "Alignment(largest move ['100.0 ms', '0.0 ms'], confidence [0.5, 0.0])"
        )
