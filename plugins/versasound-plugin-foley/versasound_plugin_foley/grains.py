"""Very short sounds, made once and scattered in great numbers.

Gravel, leaves, rain, bubbles and crackling are all many small collisions at random times (P. R. Cook, "Physically
Informed Sonic Modeling (PhISM): Synthesis of Percussive Sounds", Computer Music Journal 21(3), 1997): what differs is
the sound of one collision and how their rate and energy change. A bank holds the collisions of one kind, and depends on
nothing but its parameters and the sample rate, so it is made once in a process.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .modal import RATIOS, render
from .noise import Floats, band, burst, peak, rng_for, without_dc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

_BANK_SIZE = 40
_FORMANTS = ((300, 850, 120.0), (900, 2300, 200.0), (2400, 3000, 300.0))  # Hz: from, to, width
Bank = tuple[Floats, ...]


def _tick(params: Mapping[str, Any], rng: np.random.Generator, sample_rate: int) -> Floats:
    """A click of two hard grains: noise through a broad resonance, dying in milliseconds."""
    decay_s = params["decay_ms"] * 1e-3 * rng.uniform(0.5, 1.5)
    length = max(16, int(7 * decay_s * sample_rate)) // 2 * 2
    octaves = params.get("octaves", 0.5)
    hz = params["hz"] * 2 ** (params.get("spread", 0.7) * rng.uniform(-1, 1))
    sound = burst(rng, length, band(length, sample_rate, round(hz), octaves))
    t = np.arange(length, dtype=np.float32) / sample_rate
    shape = np.exp(-t / decay_s) * np.minimum(1, t / 2e-4) * np.linspace(1, 0, length) ** 0.25
    return np.asarray(sound * shape, np.float32)


def _ping(params: Mapping[str, Any], rng: np.random.Generator, sample_rate: int) -> Floats:
    """A small body that rings: shards of glass, a drop on a tin roof."""
    f = params["hz"] * 2 ** (params.get("spread", 0.7) * rng.uniform(-1, 1)) * np.array(RATIOS[params["ratios"]])
    alpha = params["loss"] + np.pi * f * params["friction"]
    return render(f, alpha, rng.uniform(0.2, 1.0, f.size) * (f / f[0]) ** -0.4, sample_rate)


def _bubble(params: Mapping[str, Any], rng: np.random.Generator, sample_rate: int) -> Floats:
    """A bubble of air in water.

    Pitch ``f = 3 / r`` (M. Minnaert, 1933), damping ``d = 0.13 / r + 0.0072 r^-1.5`` and a rise of pitch while it
    comes up, ``f (1 + xi d t)``, as in K. van den Doel, "Physically Based Models for Liquid
    Sounds", ACM TAP 2(4), 2005.
    """
    small, large = params["radius_mm"]
    radius_m = 1e-3 * small * (large / small) ** rng.uniform()
    hz = min(3.0 / radius_m, 0.35 * sample_rate)
    decay = 0.13 / radius_m + 0.0072 * radius_m**-1.5
    rise = rng.uniform(0, params.get("rise", 0.1)) * decay
    t = np.arange(int(min(6.0 / decay, 0.3) * sample_rate) + 8) / sample_rate
    end = np.minimum(1, (t[-1] - t) / 2e-3)
    sound = np.sin(2 * np.pi * hz * (t + 0.5 * rise * t * t)) * np.exp(-decay * t) * np.minimum(1, t / 5e-4) * end
    return np.asarray(sound * (radius_m / (1e-3 * large)) ** 0.5, np.float32)


def _syllable(params: Mapping[str, Any], rng: np.random.Generator, sample_rate: int) -> Floats:
    """A voiced syllable: harmonics of a gliding voice under three formants (G. Fant, 1960)."""
    pitch = params["hz"] * 2 ** (params.get("spread", 0.6) * rng.uniform(-1, 1))
    formants = [(rng.uniform(low, high), width) for low, high, width in _FORMANTS]
    h = np.arange(1, int(min(3600, 0.45 * sample_rate) / pitch) + 1)
    a = sum(1 / (1 + ((h * pitch - f) / width) ** 2) for f, width in formants) / h**0.6
    length = int(rng.uniform(0.1, 0.26) * sample_rate)
    table = np.fft.irfft(np.concatenate([[0], a * np.exp(2j * np.pi * rng.uniform(size=h.size))]), 1024) * 512
    t = np.arange(length) / sample_rate
    phase = pitch * (t + rng.uniform(-0.6, 0.3) * t * t + 0.002 * np.sin(2 * np.pi * 5 * t))
    shape = np.sin(np.pi * t * sample_rate / length) ** 2
    return np.asarray(table[(phase * 1024).astype(np.int64) & 1023] * shape, np.float32)


KINDS: dict[str, Callable[[Mapping[str, Any], np.random.Generator, int], Floats]] = {
    "tick": _tick, "ping": _ping, "bubble": _bubble, "syllable": _syllable,
}  # fmt: skip


@cache
def _bank(params: tuple[tuple[str, Any], ...], sample_rate: int) -> Bank:
    settings = dict(params)
    rng = rng_for("bank", params)
    made = [without_dc(KINDS[settings["kind"]](settings, rng, sample_rate)) for _ in range(_BANK_SIZE)]
    loudest = max(map(peak, made)) or 1.0
    return tuple(sound / np.float32(loudest) for sound in made)


def bank(params: Mapping[str, Any], sample_rate: int) -> Bank:
    """Grains of one kind, the loudest of peak 1."""
    return _bank(tuple(sorted((k, tuple(v) if isinstance(v, list) else v) for k, v in params.items())), sample_rate)


def scatter(out: Floats, grains: Bank, at: NDArray[np.int64], which: NDArray[np.int64], gains: Floats) -> None:
    """Add grains to `out` `[C, N]`, in place: grain `which[i]` at sample `at[i]` with `gains[i]`, one for each channel.

    What lies outside of `out` is cut off.
    """
    length = out.shape[-1]
    for start, index, level in zip(at.tolist(), which.tolist(), gains[:, :, None], strict=True):
        grain = grains[index]
        skip = max(0, -start)
        end = min(start + grain.size, length)
        if start + skip < end:
            out[:, start + skip : end] += level * grain[skip : end - start]


def levels(rng: np.random.Generator, count: int, range_db: float) -> NDArray[np.float64]:
    """Loudness of collisions: uniform in decibels, so that few are loud and most are soft."""
    return 10 ** (rng.uniform(-range_db, 0, count) / 20)
