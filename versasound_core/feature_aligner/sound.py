"""What an aligner that was trained on features hears: how loud each band is, in each quarter of a feature's moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from versasound_core.events.sound import mel_bands

if TYPE_CHECKING:
    from versasound_core.containers import AudioData

_PARTS = 4  # as many as an adapter is shown of the events
_RATE, _SIZE = 16000, 512
_FLOOR = 1e-4  # of full scale
_AT_A_TIME = 3000
SOUND_CHANNELS = 40 * _PARTS


def sound_inputs(audio: AudioData, fps: float, count: int) -> torch.Tensor:
    """Return `[B, count, 160]`: the logarithm of the level in 40 mel bands, in each quarter of each moment.

    Args:
        audio: `[B, C, T]`, at any rate; what lies after its end is silent.
        fps: Features a second.
        count: How many features.
    """
    mono = audio.to_mono().resample(_RATE).waveform[:, 0].float().cpu()
    middles = ((torch.arange(count * _PARTS) + 0.5) * (_RATE / (_PARTS * fps))).round().long()
    padded = functional.pad(mono, (_SIZE // 2, max(0, int(middles[-1]) + _SIZE - mono.shape[1])))
    frames, bands = padded.unfold(1, _SIZE, 1), mel_bands(_RATE, _SIZE)
    window = torch.hann_window(_SIZE)
    levels = [
        torch.log(_FLOOR + (torch.fft.rfft(frames[:, part] * window).abs() * (2 / _SIZE)) @ bands)
        for part in torch.split(middles, _AT_A_TIME)
    ]
    return torch.cat(levels, 1).reshape(len(mono), count, SOUND_CHANNELS)
