"""The refiner `mastering`: as loud as asked, never over the ceiling, and nothing else unless asked."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from versasound_core.containers import AudioData
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError
from versasound_core.media.audio import load_audio, save_audio
from versasound_core.media.blocks import joined
from versasound_core.media.loudness import measure
from versasound_core.registry import Registry

RATE = 48000
registry = Registry()
EVERYTHING = {"denoise_strength": 0.5, "bass_boost": 1.5, "treble_boost": 0.7, "compression_ratio": 0.7}


def master(audio: AudioData, **options: Any) -> AudioData:
    return registry.create("refiner", "mastering", **options).refine(audio, RunContext())


def sound(wave: torch.Tensor, rate: int = RATE) -> AudioData:
    return AudioData(wave.float()[None] if wave.ndim == 2 else wave.float(), rate)


def noise(seconds: float, channels: int = 2, seed: int = 0, rate: int = RATE) -> torch.Tensor:
    return torch.randn(channels, round(seconds * rate), generator=torch.Generator().manual_seed(seed))


def strikes(seconds: float = 6, decay_s: float = 0.06, channels: int = 2, rate: int = RATE) -> AudioData:
    """Bursts of noise, twice a second, over a faint floor."""
    t = torch.arange(round(seconds * rate)) / rate
    return sound(noise(seconds, channels, rate=rate) * (0.25 * torch.exp(-(t % 0.5) / decay_s) + 1e-4), rate)


def tone(hz: float, level_db: float = -20, seconds: float = 4) -> torch.Tensor:
    t = torch.arange(round(seconds * RATE)).double() / RATE
    return (10 ** (level_db / 20) * torch.sin(2 * torch.pi * hz * t))[None]


def true_peak_db(audio: AudioData) -> float:
    """On and between the samples, eight times oversampled."""
    fine = [soxr.resample(item.numpy().T, 1, 8, quality="VHQ") for item in audio.waveform]
    return 20 * np.log10(max(float(np.abs(item).max()) for item in fine))


def lufs(audio: AudioData) -> float:
    return measure(audio).integrated_lufs


def level_db(wave: torch.Tensor) -> float:
    return float(10 * torch.log10(wave.double().square().mean()))


def cut(audio: AudioData, length: int) -> list[AudioData]:
    return [AudioData(part, audio.sample_rate) for part in audio.waveform.split(length, dim=-1)]


@pytest.mark.parametrize("gain_db", [-45, -10, 0, 20])
@pytest.mark.parametrize("target", [-26.0, -20.0, -16.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_and_ceiling(gain_db: float, target: float, channels: int) -> None:
    came = strikes(channels=channels)
    came = AudioData(came.waveform * 10 ** (gain_db / 20), RATE)
    made = master(came, target_lufs=target)
    assert made.shape == came.shape
    if channels == 2 or target < -16:
        assert lufs(made) == pytest.approx(target, abs=0.3)
        assert "notes" not in made.metadata
    assert true_peak_db(made) <= -2 + 0.3


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000])
def test_any_rate(rate: int) -> None:
    made = master(strikes(rate=rate), **EVERYTHING)
    assert made.sample_rate == rate
    assert lufs(made) == pytest.approx(-23, abs=0.3)
    assert true_peak_db(made) <= -2 + 0.3


def test_without_limiting_it_is_one_gain() -> None:
    came = sound(noise(5) * 0.01)
    ratio = master(came).waveform / came.waveform
    assert torch.allclose(ratio, ratio.median().expand_as(ratio), rtol=1e-5)


@pytest.mark.parametrize("ceiling", [-1.0, -6.0])
def test_level_kept_but_for_the_peaks(ceiling: float) -> None:
    came = strikes()
    made = master(came, normalize=False, ceiling_db=ceiling)
    assert true_peak_db(made) <= ceiling + 0.3
    quiet = came.waveform.abs() < 1e-3
    assert torch.allclose(made.waveform[quiet], came.waveform[quiet], atol=1e-3)
    soft = sound(noise(2) * 0.05)
    assert torch.equal(master(soft, normalize=False).waveform, soft.waveform)


def test_limiting_is_a_smooth_gain_that_raises_nothing() -> None:
    came = strikes()
    gain = master(came, target_lufs=-16.0).waveform[0] / came.waveform[0]
    firm = came.waveform[0].abs() > 1e-4
    both = firm.all(dim=0)
    assert torch.allclose(gain[0, both], gain[1, both], rtol=1e-3)
    moves = (20 * torch.log10(gain[0, both].abs())).diff()[both.nonzero()[:, 0].diff() == 1]
    assert moves.abs().max() < 0.05


@pytest.mark.parametrize("suffix", [".m4a", ".ogg", ".mp3"])
def test_the_ceiling_leaves_room_for_lossy_coding(tmp_path: Path, suffix: str) -> None:
    save_audio(master(strikes(decay_s=0.03)), tmp_path / f"a{suffix}")
    assert true_peak_db(load_audio(tmp_path / f"a{suffix}")) <= -1


@pytest.mark.parametrize("options", [{}, {"target_lufs": -14.0}, EVERYTHING])
@pytest.mark.parametrize("length", [1000, RATE, 10 * RATE])
def test_block_size_changes_nothing(options: dict[str, float], length: int) -> None:
    came = strikes(4.3)
    refiner = registry.create("refiner", "mastering", **options)
    blocks = cut(came, length)
    made = list(refiner.refine_blocks(blocks, RunContext()))
    assert [block.shape for block in made] == [block.shape for block in blocks]
    assert torch.allclose(joined(made).waveform, refiner.refine(came, RunContext()).waveform, atol=1e-5)


def test_items_of_a_batch_do_not_touch() -> None:
    first, second, silence = strikes(2), sound(noise(2, seed=3) * 0.001), sound(torch.zeros(2, 2 * RATE))
    batch = AudioData(torch.cat([first.waveform, second.waveform, silence.waveform]), RATE)
    made = master(batch, **EVERYTHING).waveform
    for item, alone in enumerate((first, second, silence)):
        assert torch.allclose(made[item], master(alone, **EVERYTHING).waveform[0], atol=1e-6)


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"normalize": False}])
@pytest.mark.parametrize("length", [0, 1, 30000])
def test_silence_stays_silence(options: dict[str, float], length: int) -> None:
    silence = sound(torch.zeros(2, length))
    assert torch.equal(master(silence, **options).waveform, silence.waveform)


def test_silence_around_a_sound_stays_silence() -> None:
    wave = torch.zeros(2, 4 * RATE)
    wave[:, RATE : 2 * RATE] = noise(1) * 0.3
    made = master(sound(wave), target_lufs=-12.0)
    assert not made.waveform[..., :RATE].any()
    assert not made.waveform[..., 2 * RATE :].any()


def test_what_cannot_be_reached_is_told() -> None:
    made = master(strikes(decay_s=0.0005), target_lufs=-12.0)
    assert true_peak_db(made) <= -2 + 0.3
    (note,) = made.metadata["notes"]
    assert f"it is at {lufs(made):.1f} LUFS" in note
    faint = sound(noise(2) * 1e-5)
    made = master(faint)
    assert torch.equal(made.waveform, faint.waveform)
    assert "too quiet" in made.metadata["notes"][0]


@given(
    values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=300),
    repeat=st.sampled_from([1, 7, 200]),
    options=st.sampled_from([{}, EVERYTHING, {"normalize": False}, {"target_lufs": -8.0, "ceiling_db": 0.0}]),
)
@settings(max_examples=60, deadline=None)
def test_anything_finite_stays_finite_and_under_the_ceiling(
    values: list[float], repeat: int, options: dict[str, float]
) -> None:
    came = sound(torch.tensor(values).repeat(repeat)[None])
    made = master(came, **options)
    assert made.shape == came.shape
    assert bool(torch.isfinite(made.waveform).all())
    assert float(made.waveform.abs().max()) <= 10 ** (options.get("ceiling_db", -2) / 20)


@pytest.mark.parametrize(
    ("option", "inside_hz", "outside_hz"), [("bass_boost", 20, 3000), ("treble_boost", 19000, 500)]
)
@pytest.mark.parametrize("factor", [0.5, 1.2, 2.0])
def test_shelves(option: str, inside_hz: float, outside_hz: float, factor: float) -> None:
    for hz, expected in ((inside_hz, factor), (outside_hz, 1.0)):
        came = sound(tone(hz, -30))
        made = master(came, normalize=False, **{option: factor})
        inside = slice(RATE, 3 * RATE)
        gain_db = level_db(made.waveform[..., inside]) - level_db(came.waveform[..., inside])
        assert gain_db == pytest.approx(20 * np.log10(expected), abs=0.3), hz


@pytest.mark.parametrize("ratio", [0.7, 0.25])
def test_compression_makes_steps_smaller(ratio: float) -> None:
    # The loudness is that of the long first level; the two others lie 10 and 18 dB above it, past the knee.
    came = torch.cat([tone(1000, -40, 60), tone(1000, -30, 1), tone(1000, -22, 1)], dim=1)
    made = master(sound(came), compression_ratio=ratio, normalize=False).waveform[0]
    middle, top = (level_db(made[:, round(start * RATE) : round((start + 0.4) * RATE)]) for start in (60.5, 61.5))
    assert top - middle == pytest.approx(8 * ratio, abs=0.5)


def test_denoise_lowers_noise_and_keeps_the_sound_in_place() -> None:
    hiss = noise(6, seed=5) * 10 ** (-60 / 20)
    clean = strikes(6).waveform[0]
    t = torch.arange(6 * RATE) / RATE
    clean = clean * (t % 2 < 0.5)
    made = {s: master(sound(clean + hiss), normalize=False, denoise_strength=s).waveform[0] for s in (0.0, 0.5, 1.0)}
    pause = (t % 2 > 0.8) & (t % 2 < 1.8)
    lowered = {s: level_db(made[0.0][:, pause]) - level_db(wave[:, pause]) for s, wave in made.items()}
    assert lowered[0.5] == pytest.approx(12, abs=3)
    assert lowered[1.0] > lowered[0.5] + 5
    struck = t % 2 < 0.1
    assert level_db((made[0.5] - made[0.0])[:, struck]) < level_db(made[0.0][:, struck]) - 25


def test_denoise_takes_rain_for_rain() -> None:
    rain = sound(noise(5) * 0.05)
    made = master(rain, normalize=False, denoise_strength=0.5)
    assert level_db(made.waveform) == pytest.approx(level_db(rain.waveform), abs=0.5)


class Counted:
    """Blocks that know how many of them are alive at once."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.most = 0

    def __iter__(self) -> Iterator[AudioData]:
        for number in range(self.count):
            wave = strikes(1).waveform * (1 + number % 3)
            self.alive.add(wave)
            self.most = max(self.most, len(self.alive))
            yield AudioData(wave, RATE)


@pytest.mark.parametrize("options", [{}, EVERYTHING])
def test_a_few_blocks_are_held_at_once(options: dict[str, float]) -> None:
    blocks = Counted(40)
    for _ in registry.create("refiner", "mastering", **options).refine_blocks(blocks, RunContext()):
        pass
    assert blocks.most <= 5


def test_progress_and_cancelling() -> None:
    told: list[float] = []
    blocks = cut(strikes(4), RATE)
    refiner = registry.create("refiner", "mastering")
    list(refiner.refine_blocks(blocks, RunContext(progress=lambda fraction, _: told.append(fraction))))
    assert told == sorted(told)
    assert len(told) > 8
    assert told[-1] == 1
    for after in (0, 2, len(told) - 2):
        token = CancelToken()

        def stop(_: float, __: str, token: CancelToken = token, count: list[int] = [after]) -> None:  # noqa: B006
            count[0] -= 1
            if count[0] < 0:
                token.cancel()

        with pytest.raises(Cancelled):
            list(refiner.refine_blocks(blocks, RunContext(progress=stop, cancel=token)))


def test_nothing_and_too_much() -> None:
    refiner = registry.create("refiner", "mastering")
    assert list(refiner.refine_blocks([], RunContext())) == []
    with pytest.raises(InvalidInputError, match="only once"):
        list(refiner.refine_blocks(iter([strikes(1)]), RunContext()))
    with pytest.raises(InvalidInputError, match="not 6"):
        master(sound(noise(1, 6)))
