"""Sound: a waveform and its rate."""

from __future__ import annotations

from typing import Any

import attrs
import torch

from versasound_core.device import place_for
from versasound_core.errors import InvalidInputError

from ._checks import as_dict, float_tensor, whole


@attrs.frozen(eq=False, repr=False)
class AudioData:
    """A batch of sounds of one length.

    Args:
        waveform: `[B, C, T]`, floating point, full scale at +-1.
        sample_rate: Hz.
        metadata: What made it and how; `metadata["notes"]` holds sentences for the user.

    Raises:
        InvalidInputError: If the rank, the type, a value or the rate is wrong.
    """

    waveform: torch.Tensor
    sample_rate: int = 16000
    metadata: dict[str, Any] = attrs.field(default=None, converter=as_dict)

    def __attrs_post_init__(self) -> None:
        float_tensor(self.waveform, "waveform", "B, C, T")
        if self.waveform.shape[1] == 0:
            raise InvalidInputError(f"waveform [B, C, T] has no channels: {list(self.waveform.shape)}.")
        object.__setattr__(self, "sample_rate", whole(self.sample_rate, "sample_rate", "Hz"))

    def __repr__(self) -> str:
        shape = list(self.waveform.shape)
        return f"AudioData([B, C, T]={shape}, {self.sample_rate} Hz, {self.duration:.3f} s, {self.waveform.device})"

    @property
    def shape(self) -> torch.Size:
        """`[B, C, T]`."""
        return self.waveform.shape

    @property
    def device(self) -> torch.device:
        """Where the waveform lies."""
        return self.waveform.device

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[-1] / self.sample_rate

    @property
    def num_channels(self) -> int:
        """How many channels each sound has."""
        return self.waveform.shape[1]

    def to(self, device: str | torch.device) -> AudioData:
        """Return the same sound on `device`."""
        return attrs.evolve(self, waveform=self.waveform.to(place_for(device)))

    def to_mono(self) -> AudioData:
        """Return the average of the channels, `[B, 1, T]`."""
        if self.num_channels == 1:
            return self
        return attrs.evolve(self, waveform=self.waveform.mean(dim=1, keepdim=True))

    def to_stereo(self) -> AudioData:
        """Return `[B, 2, T]`: one channel is doubled, two are kept.

        Raises:
            InvalidInputError: If there are more than two channels; which goes where is not ours to guess.
        """
        if self.num_channels > 2:  # noqa: PLR2004
            raise InvalidInputError(f"{self.num_channels} channels cannot be made stereo.", "Call .to_mono() first.")
        if self.num_channels == 2:  # noqa: PLR2004
            return self
        return attrs.evolve(self, waveform=self.waveform.repeat(1, 2, 1))

    def resample(self, new_sample_rate: int) -> AudioData:
        """Return the sound at `new_sample_rate` Hz, `round(T * new / old)` samples long.

        libsoxr at its very high quality: passband flat and aliases below -100 dB. Not differentiable.

        Raises:
            InvalidInputError: If the rate is not a whole number above 0.
        """
        rate = whole(new_sample_rate, "new_sample_rate", "Hz")
        if rate == self.sample_rate:
            return self
        import numpy as np
        import soxr

        precision = torch.float64 if self.waveform.dtype == torch.float64 else torch.float32
        signal = self.waveform.detach().to("cpu", precision).flatten(0, 1).numpy().T
        out = np.zeros((round(signal.shape[0] * rate / self.sample_rate), signal.shape[1]), signal.dtype)
        if out.size:
            new = soxr.resample(signal, self.sample_rate, rate, quality="VHQ")[: len(out)]
            out[: len(new)] = new
        waveform = torch.from_numpy(np.ascontiguousarray(out.T)).reshape(*self.waveform.shape[:2], len(out))
        waveform = waveform.to(self.waveform.device, self.waveform.dtype)
        return attrs.evolve(self, waveform=waveform, sample_rate=rate)
