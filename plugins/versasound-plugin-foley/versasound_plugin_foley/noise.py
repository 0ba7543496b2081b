"""Seeds and noise: where every random number of the synthesiser comes from."""

from __future__ import annotations

from functools import cache, lru_cache
from hashlib import blake2b
from math import log2

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def rng_for(*key: object) -> np.random.Generator:
    """A generator of random numbers that depends on its key alone, not on what was drawn before."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest, "little")))


@cache
def _phasors() -> NDArray[np.complex64]:
    phasors: NDArray[np.complex64] = np.exp(2j * np.pi * np.arange(4096) / 4096).astype(np.complex64)
    return phasors


def spectra(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    """Spectra of unit magnitude and random phase: the cheapest noise that can be shaped freely."""
    drawn = np.frombuffer(rng.bytes(2 * int(np.prod(shape))), np.uint16) & 4095
    return _phasors().take(drawn).reshape(shape)


def band(frame: int, sample_rate: int, hz: float, octaves: float) -> Floats:
    """Magnitudes `[frame // 2 + 1]` of a bell around `hz`, `octaves` wide to each side, whose noise has RMS 1.

    A band above the Nyquist frequency is folded to just below it, so that no sample rate falls silent. `hz` is
    taken to the nearest twelfth of an octave.
    """
    return _band(frame, sample_rate, round(12 * log2(min(hz, 0.4 * sample_rate))), octaves)


@lru_cache(maxsize=256)
def _band(frame: int, sample_rate: int, twelfths: int, octaves: float) -> Floats:
    bins = np.arange(1, frame // 2 + 1) * (sample_rate / frame)
    magnitude = np.zeros(frame // 2 + 1)
    magnitude[1:] = np.exp(-0.5 * (np.log2(bins / 2 ** (twelfths / 12)) / octaves) ** 2)
    magnitude[-1] = 0.0
    magnitude[1:] *= bins / np.hypot(bins, 25.0)  # nothing below hearing
    return np.asarray(magnitude * (frame / np.sqrt(2 * np.sum(magnitude**2))), np.float32)


def inverse(spectrum: NDArray[np.complex64], length: int) -> Floats:
    """The real signal of a half spectrum, in single precision whatever the version of NumPy."""
    return np.fft.irfft(spectrum, length).astype(np.float32, copy=False)


def burst(rng: np.random.Generator, length: int, shape: Floats) -> Floats:
    """A stretch of noise with the given magnitudes (`length // 2 + 1` of them)."""
    return inverse(spectra(rng, shape.shape) * shape, length)


def gain(db: float) -> float:
    """An amplitude from decibels."""
    return float(10 ** (db / 20))


_ARCH = 8192


@cache
def _arch(length: int) -> Floats:
    t = np.linspace(0, 1, length)
    arch = t * (1 - t)
    return np.asarray(arch / max(arch.sum(), 1e-9), np.float32)


def without_dc(sound: Floats) -> Floats:
    """Take out the mean of a sound that begins and ends near zero with a slow arch that does the same, in place."""
    arch = _arch(_ARCH) if sound.size >= _ARCH else _arch(min(sound.size, 1 << (sound.size.bit_length() - 1)))
    sound[: arch.size] -= arch * sound.sum()
    return sound


def peak(sound: Floats) -> float:
    """Largest magnitude; 0 of nothing."""
    return max(float(sound.max(initial=0)), -float(sound.min(initial=0)))


@cache
def _window(frame: int) -> Floats:
    return np.sin(np.pi * (np.arange(frame, dtype=np.float32) + 0.5) / frame)


def overlap_add(frames: Floats) -> Floats:
    """Join frames `[F, C, 2 * hop]` of independent noise that overlap by half: power stays constant.

    Returns:
        `[C, (F + 1) * hop]`.
    """
    count, channels, frame = frames.shape
    hop = frame // 2
    windowed = (frames * _window(frame)).transpose(1, 0, 2)
    joined = np.zeros((channels, count + 1, hop), np.float32)
    joined[:, :-1] += windowed[:, :, :hop]
    joined[:, 1:] += windowed[:, :, hop:]
    return joined.reshape(channels, -1)
