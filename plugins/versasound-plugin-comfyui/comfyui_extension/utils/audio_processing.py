"""Sound files and effects, by the core's media functions and the refiner `mastering`."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, cast

import attrs
import torch

from comfyui_extension.backends import create
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError
from versasound_core.media.audio import load_audio, save_audio

if TYPE_CHECKING:
    import os

    from versasound_core.containers import AudioData
    from versasound_core.contracts import Refiner


class AudioProcessor:
    """Loads, saves and treats sound; every method returns new `AudioData`."""

    def load_audio(self, path: str | os.PathLike[str], sample_rate: int | None = None, mono: bool = False) -> AudioData:
        """Read a sound file, or the sound of a video, `[1, C, T]`; see `versasound_core.media.audio.load_audio`."""
        return load_audio(path, sample_rate=sample_rate, mono=mono)

    def save_audio(self, audio: AudioData, path: str | os.PathLike[str], sample_rate: int | None = None) -> None:
        """Write a sound file, whole or not at all; see `versasound_core.media.audio.save_audio`."""
        save_audio(audio, path, sample_rate=sample_rate)

    def resample(self, audio: AudioData, original_rate: int | None = None, target_rate: int = 44100) -> AudioData:
        """Return the sound at another rate.

        Args:
            audio: `[B, C, T]`.
            original_rate: What its rate is, if `audio.sample_rate` is not to be believed.
            target_rate: Hz.

        Raises:
            InvalidInputError: A rate that is not a whole number above 0.
        """
        if original_rate is not None:
            audio = attrs.evolve(audio, sample_rate=original_rate)
        return audio.resample(target_rate)

    def normalize(self, audio: AudioData, target_level: float = -20.0) -> AudioData:
        """Bring each sound to a level: the root mean square over its channels, dB of full scale.

        Nothing is clipped: where the level would carry a peak past full scale the sound stops there, with a
        `UserWarning`. Silence stays silence. For loudness as it is heard (LUFS) there is the refiner `mastering`.

        Raises:
            InvalidInputError: A level that is no number of at most 0 dB.
        """
        if not (math.isfinite(target_level) and target_level <= 0):
            raise InvalidInputError(f"target_level must be a number of at most 0 dB, not {target_level!r}.")
        wave = audio.waveform
        level = wave.square().mean((1, 2), keepdim=True).sqrt()
        peak = wave.abs().amax((1, 2), keepdim=True)
        wanted = torch.where(level > 0, 10 ** (target_level / 20) / level, torch.ones_like(level))
        gain = torch.minimum(wanted, torch.where(peak > 0, 1 / peak, wanted))
        short_db = float(20 * torch.log10(wanted / gain).max())
        if short_db > 0.01:  # noqa: PLR2004
            text = f"The sound peaks too high for {target_level:g} dB; it was left {short_db:.1f} dB below."
            warnings.warn(text, stacklevel=2)
        return attrs.evolve(audio, waveform=wave * gain)

    def denoise(self, audio: AudioData, strength: float = 0.5) -> AudioData:
        """Lower steady background noise: 0 leaves it, 1 takes up to 24 dB off."""
        return _treated(audio, denoise_strength=strength)

    def enhance_frequencies(self, audio: AudioData, bass_boost: float = 1.0, treble_boost: float = 1.0) -> AudioData:
        """Multiply what lies below 150 Hz and above 6 kHz; 1 leaves it, 1.2 is 20 % more."""
        return _treated(audio, bass_boost=bass_boost, treble_boost=treble_boost)

    def compress(self, audio: AudioData, ratio: float = 0.7) -> AudioData:
        """Bring loud and soft together: dB out for each dB in above the sound's own loudness; 1 leaves it."""
        return _treated(audio, compression_ratio=ratio)


def _treated(audio: AudioData, **effect: float) -> AudioData:
    """Run one effect of the refiner `mastering` at the sound's own level; it holds true peaks below full scale."""
    options = {name: float(value) for name, value in effect.items()}
    refiner = cast("Refiner", create("refiner", "mastering", {"normalize": False, "ceiling_db": 0.0, **options}))
    return refiner.refine(audio, RunContext())
