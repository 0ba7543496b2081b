"""When something is heard to begin: the other half of every alignment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as nn

from versasound_core.device import one_thread

if TYPE_CHECKING:
    from versasound_core.containers import AudioData

_BANDS = 40
_LAG = 2  # steps between the spectra compared
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 14000.0
_FLOOR = 1e-4  # of full scale: what is quieter begins nothing


def onset_envelope(audio: AudioData, rate_hz: float = 100.0) -> torch.Tensor:
    """How much begins at each moment: half-wave rectified flux of a log-mel spectrum.

    Args:
        audio: `[B, C, T]`.
        rate_hz: Values per second; sample `n` of the result belongs to second `n / rate_hz`.

    Returns:
        `[B, N]`, `N = round(duration * rate_hz)`, >= 0. The flux of a click is largest at the click; in the first 20 to
        40 ms there is none.
    """
    mono = audio.waveform.detach().to("cpu", torch.float32).mean(1)
    rate = audio.sample_rate
    count = max(1, round(audio.duration * rate_hz))
    if rate < 2 * _LOWEST_HZ:
        return torch.zeros(len(mono), count)
    size = 2 ** math.ceil(math.log2(0.02 * rate))
    # The logarithm answers as soon as the later window's end touches an onset; half a lag late, that is on its sample.
    margin = size + 2 * math.ceil(rate / rate_hz)
    # Before the first whole window nothing is compared: a sound that goes on from its first sample begins nowhere.
    ends = ((torch.arange(count + _LAG) - _LAG / 2) * (rate / rate_hz)).round().long().clamp_min(size)
    padded = nn.pad(mono, (margin, margin))
    starts = ends + margin - size
    flux = torch.zeros(len(mono), count)
    bands = mel_bands(rate, size)
    window = torch.hann_window(size)
    with one_thread():
        step = 256  # what fits in the processor's cache takes half the time
        for first in range(0, count, step):
            part = starts[first : first + step + _LAG]
            frames = padded.unfold(1, size, 1)[:, part] * window
            level = torch.log(_FLOOR + (torch.fft.rfft(frames).abs() * (2 / size)) @ bands)
            flux[:, first : first + step] = (level[:, _LAG:] - level[:, :-_LAG]).clamp_min(0).mean(2)
    return flux


def mel_bands(rate: int, size: int) -> torch.Tensor:
    """Triangles `[size // 2 + 1, bands]`, evenly spaced on the mel scale (O'Shaughnessy 1987)."""
    top = min(_HIGHEST_HZ, 0.49 * rate)
    mel = torch.linspace(_mel(_LOWEST_HZ), _mel(top), _BANDS + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = torch.arange(size // 2 + 1, dtype=torch.float64)[:, None] * (rate / size)
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
