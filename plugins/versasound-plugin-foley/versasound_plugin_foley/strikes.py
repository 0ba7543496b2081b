"""Sounds that begin at an instant: impacts, steps, things that break, splashes, blasts and whooshes.

One recipe serves them all: a body that rings (`modes`), the noise of the blow (`burst`), the grains it throws up
(`spray`), and later, softer contacts (`again`: toe after heel). A `sweep` instead swells towards its instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .grains import bank, levels, scatter
from .modal import brightness, struck
from .noise import Floats, band, burst, gain, inverse, overlap_add, peak, rng_for, spectra, without_dc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .scene import Event

Key = tuple[int, str]
PEAK = 0.5
"""Peak of the strongest strike: about -6 dBFS."""
_ATTACK_S = 4e-4
_SWEEP_FRAME_S = 0.016
_BURST_PERIOD = 16384


def strike(recipe: Mapping[str, Any], event: Event, key: Key, sample_rate: int) -> tuple[Floats, int]:
    """One sound of one event.

    It depends on its arguments alone, so the same event sounds the same in every segment that holds it.

    Args:
        recipe: How to make it.
        event: When and how strongly; its time is only a key.
        key: Seed of the item, and label of the sound.
        sample_rate: Hz.

    Returns:
        Samples `[N]`, and which of them belongs at the event's time (0 unless the sound swells towards it).
    """
    rng = rng_for(*key, event.key_ms)
    if "sweep" in recipe:
        sound, lead = _sweep(recipe["sweep"], event.strength, rng, sample_rate)
    else:
        sound, lead = _contact(recipe, event.strength, key, rng, sample_rate), 0
    sound = without_dc(sound)
    level = PEAK * event.strength**0.8 * gain(recipe.get("level_db", 0.0) + rng.uniform(-0.4, 0.4))
    return sound * np.float32(level / max(peak(sound), 1e-9)), lead


def _contact(
    recipe: Mapping[str, Any], strength: float, key: Key, rng: np.random.Generator, sample_rate: int
) -> Floats:
    parts: list[tuple[int, Floats]] = []
    for delay_s, softer in [(0.0, 1.0), *recipe.get("again", ())]:
        start = int(delay_s * (1 + 0.15 * rng.uniform(-1, 1)) * sample_rate)
        force = strength * softer
        if "modes" in recipe:
            ringing = struck(recipe["modes"], force, rng_for(*key, "body"), rng, sample_rate)
            parts.append((start, _unit(ringing, recipe["modes"]["db"], softer)))
        if "burst" in recipe:
            parts.append(
                (start, _unit(_burst(recipe["burst"], force, rng, sample_rate), recipe["burst"]["db"], softer))
            )
        if "spray" in recipe:
            parts.append(
                (start, _unit(_spray(recipe["spray"], force, rng, sample_rate), recipe["spray"]["db"], softer))
            )
    sound = np.zeros(max((start + part.size for start, part in parts), default=1), np.float32)
    for start, part in parts:
        sound[start : start + part.size] += part
    return sound


def _unit(sound: Floats, db: float, softer: float) -> Floats:
    return sound * np.float32(softer * gain(db) / max(peak(sound), 1e-9))


def _burst(params: Mapping[str, Any], strength: float, rng: np.random.Generator, sample_rate: int) -> Floats:
    """Noise of the blow itself: a band that opens with strength, there at once and gone in milliseconds."""
    period = 1 << (max(64, min(_BURST_PERIOD, int(5.5 * params["decay_s"] * sample_rate))) - 1).bit_length()
    length = max(period, int(5.5 * params["decay_s"] * sample_rate))
    shape = band(period, sample_rate, params["hz"] * brightness(strength) ** 0.7, params["octaves"])
    sound = np.resize(burst(rng, period, shape), length)  # seamless: such noise is periodic
    t = np.arange(length, dtype=np.float32) / sample_rate
    sound *= np.exp(t * np.float32(-1 / params["decay_s"]))
    start, end = min(length, int(_ATTACK_S * sample_rate)), length // 8
    sound[:start] *= np.linspace(0, 1, start, dtype=np.float32)
    sound[-end:] *= np.linspace(1, 0, end, dtype=np.float32)
    return sound


def _spray(params: Mapping[str, Any], strength: float, rng: np.random.Generator, sample_rate: int) -> Floats:
    """PhISEM: collisions of shaken grains, their rate steady in the mean and their energy falling from the blow on."""
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
    return np.asarray(sound[0], np.float32)


def _sweep(
    params: Mapping[str, Any], strength: float, rng: np.random.Generator, sample_rate: int
) -> tuple[Floats, int]:
    """Air around a moving thing: a band of noise whose pitch and level follow its speed, fastest at the event.

    Level and pitch go with speed as for aeolian noise (``f = 0.2 v / d``; level with a high power of v).
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
    sound = overlap_add(inverse(shape * spectra(rng, shape.shape), frame)[:, None])[0]
    return sound, (peak_at + 1) * hop
