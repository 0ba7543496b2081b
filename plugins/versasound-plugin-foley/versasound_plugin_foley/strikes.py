"""Sounds that begin at an instant: impacts, steps, things that break, splashes, blasts and whooshes.

One recipe serves them all: a body that rings (`modes`), the noise of the blow (`burst`), the grains it throws up (`spray`),
and later, softer contacts (`again`: toe after heel). A `sweep` instead swells towards its instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .grains import bank, levels, scatter
from .modal import brightness, struck
from .noise import Floats, band, burst, gain, overlap_add, peak, rng_for, spectra, without_dc

PEAK = 0.5
"""Peak of the strongest strike: about -6 dBFS."""
_ATTACK_S = 4e-4
_SWEEP_FRAME_S = 0.016


def strike(
    recipe: Mapping[str, Any], strength: float, seed: int, label: str, at_ms: int, sample_rate: int
) -> tuple[Floats, int]:
    """One sound of one event.

    It depends on its arguments alone, so the same event sounds the same in every segment that holds it.

    Returns:
        Samples `[N]`, and which of them belongs at the event's time (0 unless the sound swells towards it).
    """
    rng = rng_for(seed, label, at_ms)
    if "sweep" in recipe:
        sound, lead = _sweep(recipe["sweep"], strength, rng, sample_rate)
    else:
        sound, lead = _contact(recipe, strength, seed, label, rng, sample_rate), 0
    sound = without_dc(sound)
    loudest = peak(sound)
    level = PEAK * strength**0.8 * gain(recipe.get("level_db", 0.0) + rng.uniform(-0.4, 0.4))
    return sound * np.float32(level / loudest if loudest > 0 else 0), lead


def _contact(
    recipe: Mapping[str, Any], strength: float, seed: int, label: str, rng: np.random.Generator, sample_rate: int
) -> Floats:
    parts: list[tuple[int, Floats]] = []
    for delay_s, softer in [(0.0, 1.0), *recipe.get("again", ())]:
        late = delay_s * (1 + 0.15 * rng.uniform(-1, 1))
        sounds = [
            part
            for part in (
                _modes(recipe, strength * softer, rng_for(seed, label, "body"), rng, sample_rate),
                _burst(recipe, strength * softer, rng, sample_rate),
                _spray(recipe, strength * softer, rng, sample_rate),
            )
            if part is not None
        ]
        parts += [(int(late * sample_rate), np.float32(softer) * part) for part in sounds]
    sound = np.zeros(max((start + part.size for start, part in parts), default=1), np.float32)
    for start, part in parts:
        sound[start : start + part.size] += part
    return sound


def _unit(sound: Floats, db: float) -> Floats:
    return sound * np.float32(gain(db) / max(peak(sound), 1e-9))


def _modes(
    recipe: Mapping[str, Any], strength: float, body: np.random.Generator, place: np.random.Generator, sample_rate: int
) -> Floats | None:
    params = recipe.get("modes")
    return _unit(struck(params, strength, body, place, sample_rate), params["db"]) if params else None


def _burst(recipe: Mapping[str, Any], strength: float, rng: np.random.Generator, sample_rate: int) -> Floats | None:
    """Noise of the blow itself: a band that opens with strength, there at once and gone in milliseconds."""
    params = recipe.get("burst")
    if not params:
        return None
    length = 1 << int(np.ceil(np.log2(max(64, 6 * params["decay_s"] * sample_rate))))
    hz = max(40.0, params["hz"] * brightness(strength) ** 0.7)
    sound = burst(rng, length, band(length, sample_rate, round(hz), params["octaves"]))
    t = np.arange(length, dtype=np.float32) / sample_rate
    sound *= np.exp(t * np.float32(-1 / params["decay_s"])) * np.minimum(1, t / _ATTACK_S)
    sound[-(length // 8) :] *= np.linspace(1, 0, length // 8, dtype=np.float32)
    return _unit(sound, params["db"])


def _spray(recipe: Mapping[str, Any], strength: float, rng: np.random.Generator, sample_rate: int) -> Floats | None:
    """PhISEM: collisions of shaken grains, their rate constant in the mean and their energy falling from the blow on."""
    params = recipe.get("spray")
    if not params:
        return None
    grains = bank(params["grain"], sample_rate)
    lasts_s = params["lasts_s"] * (0.6 + 0.4 * strength)
    count = max(3, int(params["count"] * (0.4 + 0.6 * strength)))
    times = np.sort(rng.uniform(0, 1, count) ** params.get("early", 1.0)) * lasts_s
    times[0] = 0.0
    loud = levels(rng, count, params.get("range_db", 18.0)) * np.exp(-2.5 * times / lasts_s)
    loud[1:] *= 0.75
    loud[0] = 1.0
    at = (times * sample_rate).astype(np.int64)
    sound = np.zeros((1, int(at[-1]) + max(grain.size for grain in grains)), np.float32)
    signs = rng.choice((-1.0, 1.0), count)
    scatter(sound, grains, at, rng.integers(0, len(grains), count), (loud * signs).astype(np.float32)[:, None])
    return _unit(sound[0], params["db"])


def _sweep(
    params: Mapping[str, Any], strength: float, rng: np.random.Generator, sample_rate: int
) -> tuple[Floats, int]:
    """Air around a moving thing: a band of noise whose pitch and level follow its speed, fastest at the event.

    Level and pitch go with speed as for aeolian noise (vortex shedding, ``f = 0.2 v / d``; level with a high power of v).
    """
    frame = 1 << int(np.log2(2 * _SWEEP_FRAME_S * sample_rate))
    hop = frame // 2
    steps = int(params["length_s"] * rng.uniform(0.85, 1.15) * sample_rate / hop)
    peak_at = int(steps * params.get("peak", 0.55))
    speed = np.interp(np.arange(steps), [0, peak_at, steps - 1], [0, 1, 0])
    speed = np.sin(0.5 * np.pi * speed) ** 2
    hz = params["hz"] * (0.5 + 0.5 * strength) * (0.35 + 0.65 * speed)
    bins = np.arange(1, hop + 1) * (sample_rate / frame)
    shape = np.zeros((steps, hop + 1), np.float32)
    shape[:, 1:] = speed[:, None] ** 2.5 * np.exp(-0.5 * (np.log2(bins / hz[:, None]) / params["octaves"]) ** 2)
    shape[:, -1] = 0
    sound = overlap_add(np.fft.irfft(shape * spectra(rng, shape.shape), frame)[:, None])[0]
    return sound, (peak_at + 1) * hop
