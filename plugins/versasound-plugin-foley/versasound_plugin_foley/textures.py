"""Sounds that go on: rain, wind, water, fire, engines, crowds, rooms.

One recipe serves them all: bands of noise that sway (`bands`), grains that fall at random (`grains`), and a periodic
tone (`tone`). Everything is a function of the clip's own time axis: noise comes in frames of about 85 ms and grains in
blocks of 24 hops (about a second), counted from the clip's beginning and each with random numbers of its own, so that a
stretch sounds the same whichever segment it is rendered in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grains import bank, levels, scatter
from .noise import Floats, band, gain, inverse, overlap_add, rng_for, spectra

_FRAME_S = 0.085
_BLOCK = 24
_TABLE = 8192
_KNOTS = 32
Motion = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Texture:
    """One continuous sound of one item.

    Args:
        recipe: `bands`, `grains`, `tone`; `level_db`; `follow` (how far it follows the motion) and `width`, both 0..1.
        seed: Of the item.
        label: Of the sound.
        sample_rate: Hz.
    """

    def __init__(self, recipe: Mapping[str, Any], seed: int, label: str, sample_rate: int) -> None:
        self._recipe = recipe
        self._key = (seed, label)
        self._rate = sample_rate
        self._frame = 1 << round(np.log2(_FRAME_S * sample_rate))
        self._hop = self._frame // 2

    def add_to(self, out: Floats, start: int, motion: Motion, tick: Callable[[], None]) -> None:
        """Add the sound to `out` `[2, N]`, in place.

        Args:
            out: What is heard from sample `start` of the clip on.
            start: On the clip's time axis, in samples.
            motion: Strength of the motion, 0..1, at times in seconds on the clip's axis.
            tick: Called before every block; may raise to stop the work.
        """
        first = max(0, (start // self._hop - 1) // _BLOCK)
        last = (start + out.shape[1] - 1) // (self._hop * _BLOCK)
        before = max(0, first - 1)  # whose grains may still sound
        hops = np.arange(before * _BLOCK, (last + 1) * _BLOCK + 2)
        times = hops * (self._hop / self._rate)
        follow = self._recipe.get("follow", 0.3)
        level = gain(self._recipe.get("level_db", 0.0)) * (1 - follow + follow * motion(times))
        for block in range(before, last + 1):
            tick()
            at = (block - before) * _BLOCK
            begin = block * _BLOCK * self._hop - start
            if "bands" in self._recipe and block >= first:
                _add(out, self._noise(block, times[at : at + _BLOCK], level[at : at + _BLOCK]), begin)
            if "tone" in self._recipe and block >= first:
                _add(out, self._tone(times[at : at + _BLOCK + 1], level[at : at + _BLOCK + 1]), begin)
            if "grains" in self._recipe:
                self._scatter(out, block, begin, times, level)

    def _noise(self, block: int, times: NDArray[np.float64], level: NDArray[np.float64]) -> Floats:
        bands = self._recipe["bands"]
        shapes = np.stack([band(self._frame, self._rate, b["hz"], b["octaves"]) for b in bands])
        gains = np.stack([gain(b["db"]) * 2 ** self._sway(i, b, times) for i, b in enumerate(bands)], axis=1)
        power = ((gains * level[:, None]) ** 2).astype(np.float32) @ shapes**2
        width = self._recipe.get("width", 1.0)
        noise = spectra(rng_for(*self._key, "noise", block), (_BLOCK, 2 if width else 1, shapes.shape[1]))
        noise *= np.sqrt(power)[:, None]
        joined = overlap_add(inverse(noise, self._frame))
        if 0 < width < 1:
            joined = np.array([[1 - width / 2, width / 2], [width / 2, 1 - width / 2]], np.float32) @ joined
            joined *= np.float32(1 / np.hypot(1 - width / 2, width / 2))
        return joined

    def _sway(self, index: int, settings: Mapping[str, Any], times: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far a band's level has wandered at these times, in octaves of amplitude (6 dB)."""
        depth = settings.get("sway", 0.0)
        if not depth:
            return np.zeros_like(times)
        at = times * settings.get("sway_hz", 1.0)
        knot = np.floor(at).astype(np.int64)
        groups = range(int(knot[0]) // _KNOTS, (int(knot[-1]) + 1) // _KNOTS + 1)
        values = np.concatenate([rng_for(*self._key, "sway", index, g).uniform(-1, 1, _KNOTS) for g in groups])
        knot -= groups[0] * _KNOTS
        blend = 0.5 - 0.5 * np.cos(np.pi * (at % 1))
        wandered: NDArray[np.float64] = depth * ((1 - blend) * values[knot] + blend * values[knot + 1])
        return wandered

    def _tone(self, times: NDArray[np.float64], level: NDArray[np.float64]) -> Floats:
        """A periodic wave whose pitch wanders by a sum of slow sines: its phase is known in closed form at any time.

        An engine's cycle holds several firings, none quite like another, which puts its pulse between the harmonics.
        """
        tone = self._recipe["tone"]
        rng = rng_for(*self._key, "tone")
        firings, hz = tone.get("firings", 1), tone["hz"] * 2 ** (tone.get("spread", 0.1) * rng.uniform(-1, 1))
        cycle = hz / firings
        h = np.arange(1, max(2, int(min(tone["up_to_hz"], 0.45 * self._rate) / cycle)))
        rough = np.where(h % firings == 0, 1.0, tone.get("rough", 0.3) * rng.uniform(0.3, 1, h.size))
        spectrum = np.concatenate(
            [[0], rough * (h / firings) ** -tone["tilt"] * np.exp(2j * np.pi * rng.uniform(size=h.size))]
        )
        table = np.fft.irfft(spectrum, _TABLE).astype(np.float32)
        table *= np.float32(gain(tone["db"]) / np.sqrt(np.mean(table**2)))
        phase = cycle * times
        for rate_hz in (0.31, 0.83, 2.3):
            phase += (
                cycle
                * tone.get("wobble", 0.0)
                * np.sin(2 * np.pi * (rate_hz * times + rng.uniform()))
                / (2 * np.pi * rate_hz)
            )
        step = np.arange(self._hop) / self._hop
        at = (phase[:-1, None] + np.diff(phase)[:, None] * step) * _TABLE
        sound = table[at.astype(np.int64) & (_TABLE - 1)]
        sound *= (level[:-1, None] + np.diff(level)[:, None] * step).astype(np.float32)
        return np.asarray(sound.reshape(1, -1), np.float32)

    def _scatter(
        self, out: Floats, block: int, begin: int, times: NDArray[np.float64], level: NDArray[np.float64]
    ) -> None:
        for index, settings in enumerate(self._recipe["grains"]):
            rng = rng_for(*self._key, "grains", index, block)
            grains = bank(settings["grain"], self._rate)
            seconds = _BLOCK * self._hop / self._rate
            wandered = 2.0 ** float(self._sway(100 + index, settings, np.array([block * seconds]))[0])
            count = rng.poisson(settings["per_second"] * seconds * wandered)
            at = rng.integers(0, _BLOCK * self._hop, count)
            when = block * seconds + at / self._rate
            loud = (
                gain(settings["db"])
                * levels(rng, count, settings.get("range_db", 18.0))
                * np.interp(when, times, level)
            )
            angle = 0.25 * np.pi * (1 + self._recipe.get("width", 1.0) * rng.uniform(-1, 1, count))
            gains = np.stack([np.cos(angle), np.sin(angle)], axis=1) * loud[:, None]
            scatter(out, grains, at + begin, rng.integers(0, len(grains), count), gains.astype(np.float32))


def _add(out: Floats, sound: Floats, begin: int) -> None:
    skip, end = max(0, -begin), min(begin + sound.shape[1], out.shape[1])
    if begin + skip < end:
        out[:, begin + skip : end] += sound[:, skip : end - begin]
