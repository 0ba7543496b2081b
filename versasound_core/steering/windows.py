"""Sound longer than a model can make at once: windows of one length that overlap and are cross-faded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from versasound_core.containers import AudioData
from versasound_core.segments import Segment, joined_segments

if TYPE_CHECKING:
    from collections.abc import Sequence

_OVERLAP_S = 2.0


def windows(num_samples: int, longest: int, unit: int, sample_rate: int) -> list[Segment]:
    """Cut a sound into as few windows as can be, all of one length: the last is shorter by less than a unit.

    Args:
        num_samples: Length of the sound.
        longest: Most samples in a window.
        unit: Samples of one step of the model's own grid; windows begin on it, so that they can share its noise.
        sample_rate: Hz.

    Returns:
        Windows that overlap by at least 2 s, or a quarter of the longest window if that is less.
    """
    if num_samples <= longest:
        return [Segment(0, num_samples, num_samples)]
    longest = longest // unit * unit
    overlap = min(round(_OVERLAP_S * sample_rate), longest // 4) // unit * unit
    count = math.ceil((num_samples - overlap) / (longest - overlap))
    length = math.ceil((num_samples + (count - 1) * overlap) / (count * unit)) * unit
    last = math.ceil((num_samples - length) / unit)
    starts = [k * last // (count - 1) * unit for k in range(count)]
    return [
        Segment(start, following or num_samples, min(start + length, num_samples))
        for start, following in zip(starts, [*starts[1:], None], strict=True)
    ]


def joined(parts: list[Segment], sounds: Sequence[torch.Tensor], sample_rate: int) -> torch.Tensor:
    """Cross-fade the sounds `[C, T]` of windows into one, `[C, T]`; see `joined_segments`."""
    if len(parts) == 1:
        return sounds[0]
    made = dict(zip(parts, sounds, strict=True))
    blocks = joined_segments(parts, lambda part: AudioData(made[part][None].float(), sample_rate))
    return torch.cat([block.waveform[0] for block in blocks], -1)
