"""The clip's own sound, replaced, mixed or ducked under."""

from __future__ import annotations

import pytest
import torch

from versasound_core.containers import AudioData
from versasound_core.errors import InvalidInputError
from versasound_core.media.blocks import joined
from versasound_core.media.loudness import measure
from versasound_core.media.mixing import mix_original

RATE = 48000


def noise(seconds: float, level: float, channels: int = 2, seed: int = 0) -> AudioData:
    generator = torch.Generator().manual_seed(seed)
    return AudioData(torch.randn(1, channels, round(seconds * RATE), generator=generator) * level, RATE)


def cut(audio: AudioData, seconds: float) -> list[AudioData]:
    return [AudioData(part, RATE) for part in audio.waveform.split(round(seconds * RATE), dim=-1)]


def lufs(wave: torch.Tensor) -> float:
    return measure(AudioData(wave, RATE)).integrated_lufs


def test_replace_is_the_new_sound() -> None:
    blocks = cut(noise(2, 0.1), 0.5)
    assert mix_original(blocks, cut(noise(2, 0.1, seed=1), 0.5), "replace", 0.0) is blocks


@pytest.mark.parametrize("level_db", [-12.0, 0.0, 6.0])
@pytest.mark.parametrize(("channels", "original_channels"), [(1, 1), (2, 2), (1, 2), (2, 1)])
def test_the_original_is_so_much_louder(level_db: float, channels: int, original_channels: int) -> None:
    new, original = noise(3, 0.1, channels), noise(3, 0.003, original_channels, seed=1)
    mixed = joined(mix_original(cut(new, 1), cut(original, 0.7), "mix", level_db))
    assert mixed.num_channels == max(channels, original_channels)
    kept = mixed.waveform - new.waveform
    wide = new.waveform.expand_as(mixed.waveform)
    assert lufs(kept) - lufs(wide) == pytest.approx(level_db, abs=0.1)
    # Nothing but a gain was done to it.
    ratio = kept / original.waveform
    assert ratio.median() == pytest.approx(float(ratio.flatten().quantile(0.9)), rel=1e-3)


@pytest.mark.parametrize("mode", ["mix", "duck"])
@pytest.mark.parametrize("seconds", [0.5, 2.0, 3.3])
def test_as_long_as_the_new_sound(mode: str, seconds: float) -> None:
    new = noise(2, 0.1)
    mixed = joined(mix_original(cut(new, 0.3), cut(noise(seconds, 0.1, seed=1), 1), mode, 0.0))
    assert mixed.shape == new.shape
    if seconds == 0.5 and mode == "mix":
        assert torch.equal(mixed.waveform[..., RATE:], new.waveform[..., RATE:])


@pytest.mark.parametrize("mode", ["mix", "duck"])
def test_silence_on_either_side_leaves_the_other_alone(mode: str) -> None:
    sound, silence = noise(2, 0.1), AudioData(torch.zeros(1, 2, 2 * RATE), RATE)
    hiss = noise(2, 1e-5)
    assert torch.equal(joined(mix_original([sound], [silence], mode, 0.0)).waveform, sound.waveform)
    assert torch.equal(joined(mix_original([silence], [sound], mode, 0.0)).waveform, sound.waveform)
    assert torch.equal(joined(mix_original([sound], [], mode, 0.0)).waveform, sound.waveform)
    # Hiss below the gate is no sound to bring up, and none to give way to.
    mixed = joined(mix_original([sound], [hiss], mode, 0.0)).waveform
    assert torch.allclose(mixed, sound.waveform, atol=1e-3)


def ducking_gain(new: AudioData, original: AudioData, block_s: float) -> torch.Tensor:
    """What happened to a constant: the original is on the other channel only."""
    mixed = joined(mix_original(cut(new, block_s), cut(original, 0.4), "duck", 0.0))
    return mixed.waveform[0, 0] / new.waveform[0, 0]


@pytest.mark.parametrize("block_s", [0.13, 1.0, 8.0])
def test_the_new_sound_gives_way_to_speech(block_s: float) -> None:
    t = torch.arange(8 * RATE) / RATE
    hum = 0.1 * torch.cos(2 * torch.pi * 1000 * t) + 0.2
    new = AudioData(torch.stack([hum, hum])[None], RATE)
    speech = noise(8, 0.1, 1, seed=1).waveform[0, 0]
    # Words of 0.2 s with pauses of 0.1 s, from 2 to 5 s, over faint room noise.
    speaking = ((t >= 2) & (t < 5) & (t % 0.3 < 0.2)).float() + 0.003
    original = AudioData(torch.stack([torch.zeros_like(t), speech * speaking])[None], RATE)
    gain = ducking_gain(new, original, block_s)
    down = 10 ** (-12 / 20)
    assert gain[: 2 * RATE - 960].min() == pytest.approx(1, abs=1e-4)
    during = gain[round(2.25 * RATE) : 5 * RATE]
    assert during.min() == pytest.approx(down, abs=1e-3)
    assert during.max() == pytest.approx(down, abs=1e-3)
    assert gain[6 * RATE :].min() == pytest.approx(1, abs=1e-4)
    # No step: from one sample to the next the gain moves by less than 0.01 dB.
    assert (20 * torch.log10(gain)).diff().abs().max() < 0.01
    assert torch.allclose(gain, ducking_gain(new, original, 0.5), atol=1e-5)


def test_a_batch_is_mixed_item_by_item() -> None:
    first, second, original = noise(2, 0.1), noise(2, 0.01, seed=2), noise(2, 0.05, seed=1)
    both = AudioData(torch.cat([first.waveform, second.waveform]), RATE)
    mixed = joined(mix_original(cut(both, 0.5), [original], "duck", -3.0))
    for item, single in enumerate((first, second)):
        alone = joined(mix_original([single], [original], "duck", -3.0))
        assert torch.allclose(mixed.waveform[item], alone.waveform[0], atol=1e-6)


def test_may_be_iterated_again() -> None:
    mixture = mix_original(cut(noise(2, 0.1), 0.5), cut(noise(2, 0.1, seed=1), 0.7), "duck", 0.0)
    assert torch.equal(joined(mixture).waveform, joined(mixture).waveform)


def test_what_cannot_be_mixed() -> None:
    blocks = [noise(1, 0.1)]
    with pytest.raises(InvalidInputError, match="replace, mix, duck"):
        mix_original(blocks, blocks, "blend", 0.0)
    with pytest.raises(InvalidInputError, match="level_db"):
        mix_original(blocks, blocks, "mix", float("nan"))
    with pytest.raises(InvalidInputError, match="only once"):
        mix_original(iter(blocks), blocks, "mix", 0.0)
    other = [AudioData(torch.ones(1, 1, 100), 16000)]
    with pytest.raises(InvalidInputError, match="16000 Hz"):
        joined(mix_original(blocks, other, "mix", 0.0))
