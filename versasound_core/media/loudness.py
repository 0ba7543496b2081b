"""How loud a sound is, after ITU-R BS.1770 and EBU R 128, and how high it peaks."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import attrs
import numpy as np
import soxr

from versasound_core.containers import AudioData

from .filters import FRAME, FilterGraph, layout_of, samples_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import av

PEAK_HOP = 48
_GATING_BLOCK_S = 0.4
_STEP_S = 0.1
# BS.1770's absolute gate: nothing at or below it counts as sound.
_ABSOLUTE_GATE_LUFS = -70.0
_OVERSAMPLING = 4


@attrs.frozen(eq=False)
class Loudness:
    """A sound's level.

    Args:
        integrated_lufs: Gated loudness of the whole sound in LUFS; -inf if nothing of it is above -70 LUFS.
        peaks: True peak of every `PEAK_HOP` samples, `[ceil(T / PEAK_HOP)]`, linear, over all channels.
    """

    integrated_lufs: float
    peaks: np.ndarray = attrs.field(repr=False)

    @property
    def true_peak_db(self) -> float:
        """Highest value on and between the samples (four times oversampled), dBTP; -inf for digital silence."""
        peak = float(self.peaks.max(initial=0.0))
        return 20 * math.log10(peak) if peak else -math.inf


def measure(sound: AudioData | Iterable[AudioData]) -> Loudness:
    """Measure one sound by FFmpeg's `ebur128` and libsoxr, in one pass; an hour takes 15 MB, for its peaks.

    A mono sound is measured as one channel, 3 LU less than the same signal on two. A sound shorter than BS.1770's
    gating block of 0.4 s is measured with silence after it, up to that length.

    Args:
        sound: `[1, C, T]`, or its consecutive blocks.

    Raises:
        InvalidInputError: More than one sound or more than two channels.
    """
    loudness: _LoudnessMeter | None = None
    peaks: _PeakMeter | None = None
    with ThreadPoolExecutor(1) as beside:
        for block in [sound] if isinstance(sound, AudioData) else sound:
            if loudness is None or peaks is None:
                loudness = _LoudnessMeter(block)
                peaks = _PeakMeter(block.sample_rate, block.num_channels)
            samples = samples_of(block)
            heard = beside.submit(loudness.add, samples)
            peaks.add(samples)
            heard.result()
    if loudness is None or peaks is None:
        return Loudness(-math.inf, np.zeros(0, np.float32))
    return Loudness(loudness.result(), peaks.result())


def integrated_lufs(blocks: Iterable[AudioData]) -> float:
    """Measure the loudness alone, as `measure` does, in less than half of its time."""
    meter: _LoudnessMeter | None = None
    for block in blocks:
        meter = meter or _LoudnessMeter(block)
        meter.add(samples_of(block))
    return meter.result() if meter else -math.inf


class _LoudnessMeter:
    def __init__(self, first: AudioData) -> None:
        self._graph = FilterGraph(["ebur128=metadata=1"], first.sample_rate, layout_of(first))
        self._rate, self._channels, self._length = first.sample_rate, first.num_channels, 0
        self._told: dict[str, str] = {}

    def add(self, samples: np.ndarray) -> None:
        self._length += samples.shape[1]
        self._read(self._graph.push(samples))

    def result(self) -> float:
        if self._lufs() == -math.inf:
            # Silence after the end, for a sound in no whole gating block: one too short, or a click at the very end.
            steps = max(math.ceil(self._length / self._rate / _STEP_S), round(_GATING_BLOCK_S / _STEP_S))
            missing = math.ceil(steps * _STEP_S * self._rate) - self._length
            self.add(np.zeros((self._channels, max(0, missing)), np.float32))
        self._read(self._graph.finish())
        return self._lufs()

    def _read(self, frames: Iterable[av.AudioFrame]) -> None:
        for frame in frames:
            self._told = frame.metadata or self._told

    def _lufs(self) -> float:
        told = float(self._told.get("lavfi.r128.I", _ABSOLUTE_GATE_LUFS))
        return told if told > _ABSOLUTE_GATE_LUFS else -math.inf


class _PeakMeter:
    """The peak of every hop, on the samples and between them: the resampler's low-pass may round off a sample."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._channels = channels
        self._resampler = soxr.ResampleStream(sample_rate, _OVERSAMPLING * sample_rate, channels, quality="MQ")
        self._on_samples = _HopPeaks(PEAK_HOP, channels)
        self._between = _HopPeaks(PEAK_HOP * _OVERSAMPLING, channels)

    def add(self, samples: np.ndarray) -> None:
        for start in range(0, samples.shape[1], FRAME):
            part = np.ascontiguousarray(samples[:, start : start + FRAME].T)
            self._on_samples.add(part)
            self._between.add(self._resampler.resample_chunk(part))

    def result(self) -> np.ndarray:
        nothing = np.zeros((0, self._channels), np.float32)
        self._between.add(self._resampler.resample_chunk(nothing, last=True))
        on_samples, between = self._on_samples.result(), self._between.result()
        if not on_samples.any():
            return on_samples
        between = np.pad(between, (0, max(0, len(on_samples) - len(between))))
        higher: np.ndarray = np.maximum(on_samples, between[: len(on_samples)])
        return higher


class _HopPeaks:
    def __init__(self, hop: int, channels: int) -> None:
        self._hop = hop
        self._rest = np.zeros((0, channels), np.float32)
        self._peaks: list[np.ndarray] = []

    def add(self, samples: np.ndarray) -> None:
        """Take samples `[N, C]`."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._hop * self._hop
        hops = np.abs(samples[:whole]).reshape(-1, self._hop * samples.shape[1])
        self._peaks.append(hops.max(axis=1))
        self._rest = samples[whole:]

    def result(self) -> np.ndarray:
        rest = np.abs(self._rest).max(keepdims=True)[0] if len(self._rest) else self._rest[:, 0]
        return np.concatenate([*self._peaks, rest])
