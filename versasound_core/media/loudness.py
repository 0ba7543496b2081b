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
    from collections.abc import Callable, Iterable

PEAK_HOP = 48
_GATING_BLOCK = 4  # steps
_STEP_S = 0.1
# BS.1770's gates: nothing at or below the first counts as sound, nor what lies so far below the rest.
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_LUFS_OF_ONE = -0.691  # of a mean square of 1 behind the filters
_OVERSAMPLING = 4


@attrs.frozen(eq=False)
class Loudness:
    """A sound's level.

    Args:
        integrated_lufs: Gated loudness of the whole sound in LUFS; -inf if nothing of it is above -70 LUFS.
        peaks: True peak of every `PEAK_HOP` samples, `[ceil(T / PEAK_HOP)]`, linear, over all channels.
        powers: What each of them adds to the loudness: sum of squares behind BS.1770's filters, over all channels.
        sample_rate: Hz.
    """

    integrated_lufs: float
    peaks: np.ndarray = attrs.field(repr=False)
    powers: np.ndarray = attrs.field(repr=False)
    sample_rate: int = 48000

    @property
    def true_peak_db(self) -> float:
        """Highest value on and between the samples (four times oversampled), dBTP; -inf for digital silence."""
        peak = float(self.peaks.max(initial=0.0))
        return 20 * math.log10(peak) if peak else -math.inf

    def lufs_after(self, gain: np.ndarray) -> float:
        """Return the integrated loudness that the sound would have times a gain that moves slowly.

        Args:
            gain: Linear gain at the borders of all hops of `PEAK_HOP` samples, `[K + 1]`; lines between.
        """
        start, end = gain[:-1], gain[1:]
        return _gated(self.powers * ((start * start + start * end + end * end) / 3), self.sample_rate)


def measure(sound: AudioData | Iterable[AudioData]) -> Loudness:
    """Measure one sound in one pass: its loudness by ITU-R BS.1770, its peaks by libsoxr; an hour takes 30 MB.

    A mono sound is measured as one channel, 3 LU less than the same signal on two. A sound shorter than BS.1770's
    gating block of 0.4 s is measured with silence after it, up to that length.

    Args:
        sound: `[1, C, T]`, or its consecutive blocks.

    Raises:
        InvalidInputError: More than one sound or more than two channels.
    """
    powers: _PowerMeter | None = None
    peaks: _PeakMeter | None = None
    rate = 0
    with ThreadPoolExecutor(1) as beside:
        for block in [sound] if isinstance(sound, AudioData) else sound:
            if powers is None or peaks is None:
                powers, rate = _PowerMeter(block), block.sample_rate
                peaks = _PeakMeter(rate, block.num_channels)
            samples = samples_of(block)
            heard = beside.submit(powers.add, samples)
            peaks.add(samples)
            heard.result()
    if powers is None or peaks is None:
        return Loudness(-math.inf, np.zeros(0, np.float32), np.zeros(0, np.float32))
    heard_powers = powers.result()
    return Loudness(_gated(heard_powers, rate), peaks.result(), heard_powers, rate)


def integrated_lufs(blocks: Iterable[AudioData]) -> float:
    """Measure the loudness alone, as `measure` does, in a third of its time."""
    meter: _PowerMeter | None = None
    for block in blocks:
        meter = meter or _PowerMeter(block)
        meter.add(samples_of(block))
    return _gated(meter.result(), meter.sample_rate) if meter else -math.inf


def _gated(powers: np.ndarray, sample_rate: int) -> float:
    """BS.1770's mean over the gating blocks, which overlap by three quarters; LUFS."""
    length, step = len(powers), _STEP_S * sample_rate / PEAK_HOP  # both in hops
    total = np.concatenate([[0.0], np.cumsum(powers, dtype=np.float64)])
    # A sound in no whole block, one too short or a click at the very end, is measured with silence after it.
    for steps in (int(length / step), math.ceil(length / step)):
        borders = np.arange(max(steps, _GATING_BLOCK) + 1) * step
        until = np.interp(borders, np.arange(length + 1), total)
        blocks = (until[_GATING_BLOCK:] - until[:-_GATING_BLOCK]) / (_GATING_BLOCK * _STEP_S * sample_rate)
        blocks = blocks[blocks > 10 ** ((_ABSOLUTE_GATE_LUFS - _LUFS_OF_ONE) / 10)]
        if len(blocks):
            loud = blocks[blocks > blocks.mean() * 10 ** (_RELATIVE_GATE_LU / 10)]
            return _LUFS_OF_ONE + 10 * math.log10(loud.mean())
    return -math.inf


def _k_weighting(sample_rate: int) -> list[str]:
    """BS.1770's two filters, a shelf for the head and a high-pass, at any rate (as in libebur128)."""
    tangent, q, gain = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196, 10**0.19999219269866736
    some = gain**0.4996667741545416
    a0 = 1 + tangent / q + tangent**2
    ahead = gain + some * tangent / q + tangent**2, 2 * (tangent**2 - gain), gain - some * tangent / q + tangent**2
    shelf = (*ahead, a0, 2 * (tangent**2 - 1), 1 - tangent / q + tangent**2)
    tangent, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    a0 = 1 + tangent / q + tangent**2
    # The standard leaves the numerator at 1, -2, 1.
    high_pass = (a0, -2 * a0, a0, a0, 2 * (tangent**2 - 1), 1 - tangent / q + tangent**2)
    # Only in its transposed form does FFmpeg's filter give the same for blocks of any size.
    names = ("b0", "b1", "b2", "a0", "a1", "a2")
    return [
        "biquad=transform=tdii:" + ":".join(f"{name}={value!r}" for name, value in zip(names, values, strict=True))
        for values in (shelf, high_pass)
    ]


class _PowerMeter:
    """The power of every hop behind the filters."""

    def __init__(self, first: AudioData) -> None:
        self.sample_rate = first.sample_rate
        self._channels, self._length = first.num_channels, 0
        self._graph = FilterGraph(_k_weighting(first.sample_rate), first.sample_rate, layout_of(first))
        self._hops = _Hops(PEAK_HOP, first.num_channels, lambda hops: np.einsum("ij,ij->i", hops, hops))

    def add(self, samples: np.ndarray) -> None:
        self._length += samples.shape[1]
        for frame in self._graph.push(samples):
            self._hops.add(np.ascontiguousarray(frame.to_ndarray().T))

    def result(self) -> np.ndarray:
        count = math.ceil(self._length / PEAK_HOP)
        missing = round(_GATING_BLOCK * _STEP_S * self.sample_rate) - self._length
        if missing > 0:  # of a very short sound, what the filters ring on counts
            self.add(np.zeros((self._channels, missing), np.float32))
        powers = self._hops.result()
        powers[max(count - 1, 0)] += powers[count:].sum()
        return powers[:count]


class _PeakMeter:
    """The peak of every hop, on the samples and between them: the resampler's low-pass may round off a sample."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._channels = channels
        self._resampler = soxr.ResampleStream(sample_rate, _OVERSAMPLING * sample_rate, channels, quality="MQ")
        self._on_samples = _Hops(PEAK_HOP, channels, _highest)
        self._between = _Hops(PEAK_HOP * _OVERSAMPLING, channels, _highest)

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


def _highest(hops: np.ndarray) -> np.ndarray:
    highest: np.ndarray = np.abs(hops).max(axis=1)
    return highest


class _Hops:
    """One number for each hop of a sound: what `tell` makes of the samples `[K, hop * C]` of K hops."""

    def __init__(self, hop: int, channels: int, tell: Callable[[np.ndarray], np.ndarray]) -> None:
        self._hop = hop
        self._tell = tell
        self._rest = np.zeros((0, channels), np.float32)
        self._told: list[np.ndarray] = []

    def add(self, samples: np.ndarray) -> None:
        """Take samples `[N, C]`."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._hop * self._hop
        self._told.append(self._tell(samples[:whole].reshape(-1, self._hop * samples.shape[1])))
        self._rest = samples[whole:]

    def result(self) -> np.ndarray:
        rest = self._tell(self._rest.reshape(1, -1)) if len(self._rest) else self._rest[:, 0]
        return np.concatenate([*self._told, rest])
