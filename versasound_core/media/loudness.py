"""How loud a sound is, after ITU-R BS.1770 and EBU R 128."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import numpy as np

from versasound_core.containers import AudioData

from .filters import FilterGraph, samples_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import av

_GATING_BLOCK_S = 0.4
# BS.1770's absolute gate: nothing at or below it counts as sound.
_ABSOLUTE_GATE_LUFS = -70.0


@attrs.frozen
class Loudness:
    """A sound's level.

    Args:
        integrated_lufs: Gated loudness of the whole sound in LUFS; -inf if nothing of it is above -70 LUFS.
        true_peak_db: The highest value between and on the samples (at 192 kHz), in dB of full scale (dBTP); -inf for
            digital silence.
    """

    integrated_lufs: float
    true_peak_db: float


def measure(sound: AudioData | Iterable[AudioData], filters: Sequence[str] = ()) -> Loudness:
    """Measure one sound by FFmpeg's `ebur128`, in constant memory.

    A mono sound is measured as one channel, 3 LU less than the same signal on two. A sound shorter than BS.1770's
    gating block of 0.4 s is measured with silence after it, up to that length. The true peak is told to 0.0005 of
    full scale, and is never less than the highest sample.

    Args:
        sound: `[1, C, T]`, or its consecutive blocks.
        filters: FFmpeg filters to apply first, as on its command line.

    Raises:
        InvalidInputError: More than one sound or more than two channels.
    """
    meter: _Meter | None = None
    for block in [sound] if isinstance(sound, AudioData) else sound:
        if meter is None:
            meter = _Meter(filters, block.sample_rate, block.num_channels)
        meter.add(samples_of(block))
    return meter.result() if meter else Loudness(-math.inf, -math.inf)


class _Meter:
    def __init__(self, filters: Sequence[str], sample_rate: int, channels: int) -> None:
        self._graph = FilterGraph([*filters, "ebur128=metadata=1:peak=true"], sample_rate, channels)
        # Silence enough to complete a gating block, and with it the last step of which the peak is told.
        self._tail = np.zeros((channels, math.ceil(_GATING_BLOCK_S * sample_rate) + 1), np.float32)
        self._peak = 0.0
        self._told: dict[str, str] = {}

    def add(self, samples: np.ndarray) -> None:
        self._read(self._graph.push(samples))

    def result(self) -> Loudness:
        lufs = self._lufs()
        self.add(self._tail)
        self._read(self._graph.finish())
        peak = max(self._peak, float(self._told["lavfi.r128.true_peak"]) if self._peak else 0.0)
        return Loudness(
            # The silence after the end counts only where nothing else can be measured.
            integrated_lufs=lufs if lufs > -math.inf else self._lufs(),
            true_peak_db=20 * math.log10(peak) if peak else -math.inf,
        )

    def _read(self, frames: Iterable[av.AudioFrame]) -> None:
        for frame in frames:
            self._told = frame.metadata or self._told
            samples = frame.to_ndarray()
            self._peak = max(self._peak, float(samples.max()), -float(samples.min()))

    def _lufs(self) -> float:
        told = float(self._told.get("lavfi.r128.I", _ABSOLUTE_GATE_LUFS))
        return told if told > _ABSOLUTE_GATE_LUFS else -math.inf
