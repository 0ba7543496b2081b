"""A gain for every moment: constant, or falling where peaks would pass the ceiling.

FFmpeg's `alimiter` looks at samples only: on noise, the peaks between them pass its limit by 2 to 4 dB, and run at four
times the rate it costs more than everything else here. The true peaks have been measured anyway, so they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch

from versasound_core.media.filters import samples_of
from versasound_core.media.loudness import PEAK_HOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from versasound_core.containers import AudioData

_ATTACK_DB_PER_S = 1500.0
_RELEASE_DB_PER_S = 150.0
# A moving gain shifts the peaks between samples by a trifle.
MARGIN_DB = 0.05


class Gained:
    """Blocks of one sound times a gain; may be iterated as often as the blocks.

    Args:
        blocks: Consecutive blocks of one sound, `[1, C, N]` each.
        gain: Linear gain at the borders of all hops of `PEAK_HOP` samples, `[ceil(T / PEAK_HOP) + 1]`; lines between.
    """

    def __init__(self, blocks: Iterable[AudioData], gain: np.ndarray) -> None:
        self._blocks = blocks
        self._gain = gain.astype(np.float32)

    def __iter__(self) -> Iterator[AudioData]:
        """Yield the blocks, louder or softer."""
        along = np.arange(PEAK_HOP, dtype=np.float32) / np.float32(PEAK_HOP)
        start = 0
        for block in self._blocks:
            end = start + block.shape[-1]
            first, last = start // PEAK_HOP, -(-end // PEAK_HOP)
            points = self._gain[first : last + 1]
            lines = (points[:-1, None] + np.diff(points)[:, None] * along).ravel()
            gained = samples_of(block) * lines[start - first * PEAK_HOP :][: end - start]
            yield attrs.evolve(block, waveform=torch.from_numpy(gained)[None].to(block.waveform))
            start = end


def limited_gain(peaks: np.ndarray, gain_db: float, ceiling_db: float, sample_rate: int) -> np.ndarray:
    """Return `gain_db`, lowered where `peaks` would pass the ceiling: ahead of them quickly, after them slowly.

    Args:
        peaks: True peak of every `PEAK_HOP` samples, linear, `[K]`.
        gain_db: The gain where nothing passes the ceiling.
        ceiling_db: dBTP.
        sample_rate: Hz.

    Returns:
        Linear gain at the borders of the hops, `[K + 1]`.
    """
    with np.errstate(divide="ignore"):
        allowed = np.minimum(ceiling_db - MARGIN_DB - 20 * np.log10(peaks.astype(np.float64)), gain_db)
    hop = np.arange(len(allowed)) * (PEAK_HOP / sample_rate)
    # The lowest of all straight lines that rise from every allowed point: first forwards, then backwards.
    rising = np.minimum.accumulate(allowed - _RELEASE_DB_PER_S * hop) + _RELEASE_DB_PER_S * hop
    falling = np.minimum.accumulate((rising + _ATTACK_DB_PER_S * hop)[::-1])[::-1] - _ATTACK_DB_PER_S * hop
    # Both ends of a hop are within what the hop allows, and so is the line between them.
    borders = np.minimum(np.append(falling, falling[-1]), np.insert(falling, 0, falling[0]))
    gain: np.ndarray = 10 ** (borders / 20)
    return gain
