"""Sound with clicks at known times, in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from versasound_core.containers import AudioData

RATE = 48000


def click(rate: int = RATE) -> np.ndarray:
    time = np.arange(rate // 100) / rate
    return (0.8 * np.sin(2 * np.pi * 2000 * time) * np.exp(-400 * time)).astype(np.float32)


def clicks(duration_s: float, at_s: tuple[float, ...], rate: int = RATE, channels: int = 2) -> torch.Tensor:
    """Silence `[1, C, T]` with a click at each time."""
    sound = np.zeros((1, channels, round(duration_s * rate)), np.float32)
    for time in at_s:
        start = round(time * rate)
        sound[..., start : start + rate // 100] = click(rate)
    return torch.from_numpy(sound)


def blocks(sound: torch.Tensor, rate: int = RATE, length: int = 10_000) -> Iterator[AudioData]:
    return (AudioData(part, rate) for part in sound.split(length, dim=-1))
