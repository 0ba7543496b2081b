"""What the aligners are measured on: a picture, a sound that is wrong by a known amount, and where it belongs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import torch
import yaml

from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VideoClip, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.events import onset_envelope
from versasound_core.media.audio import load_audio
from versasound_core.registry import default_registry
from versasound_core.scenes import random_scene, write_scene

Fault = Literal["shift", "warp", "both"]
FAULTS: tuple[Fault, ...] = ("shift", "warp", "both")
FIRST_SEED = 10_000  # no scene from here on is ever trained on
SHIFT_S, WARP_S = 1.0, 0.2
_WARP_KNOT_S = 2.0  # the warp turns as often as this
_RATE = 48000
_FPS = (24.0, 25.0, 30.0, 50.0)
_HEIGHT = 180
_MATERIALS = ("wood", "metal", "glass", "ceramic", "stone", "concrete", "plastic")
# How far the sound lags the picture in the clips that the project is developed with. Another folder says so in a
# `lags.yaml`: `name.mp4: 33` a line, in milliseconds.
_LAGS_MS = {"hitting_bag_15fps.mp4": 33.0, "hitting_metal_15fps.mp4": 34.0, "drummer_21fps.mp4": 46.0}


@attrs.frozen(eq=False)
class Case:
    """One sound to bring to its picture.

    Args:
        name: Of the picture.
        features: What the default encoder sees.
        audio: The sound with its fault.
        heard_s: `[K]`, where its strikes are heard.
        belong_s: `[K]`, where they belong.
    """

    name: str
    features: VisualFeatures
    audio: AudioData
    heard_s: np.ndarray
    belong_s: np.ndarray


@attrs.frozen(eq=False)
class Delay:
    """How late the sound is, `shift_s + warp(t)` at second `t` of the picture."""

    shift_s: float
    knots_s: np.ndarray
    warp_s: np.ndarray

    @classmethod
    def draw(cls, fault: Fault, duration_s: float, rng: np.random.Generator) -> Delay:
        """Draw a shift within `SHIFT_S` and a smooth warp within `WARP_S`."""
        shift_s = float(rng.uniform(-SHIFT_S, SHIFT_S))
        knots_s = np.arange(-_WARP_KNOT_S, duration_s + 2 * _WARP_KNOT_S, _WARP_KNOT_S)
        knots_s = knots_s + rng.uniform(0, _WARP_KNOT_S)
        warp_s = rng.uniform(-WARP_S, WARP_S, len(knots_s))
        return cls(shift_s * (fault != "warp"), knots_s, warp_s * (fault != "shift"))

    def __call__(self, time_s: np.ndarray) -> np.ndarray:
        """Seconds of delay; a half cosine leads from knot to knot."""
        place = np.interp(time_s, self.knots_s, np.arange(len(self.knots_s)))
        whole = np.minimum(place.astype(int), len(self.knots_s) - 2)
        rise = 0.5 - 0.5 * np.cos(np.pi * (place - whole))
        return self.shift_s + self.warp_s[whole] * (1 - rise) + self.warp_s[whole + 1] * rise


def features_of(path: Path) -> VisualFeatures:
    """What the default encoder makes of a clip."""
    encoder = default_registry.create("encoder", "motion")
    return encoder.encode(VideoClip.open(path), RunContext())


@cache
def _scene(seed: int) -> tuple[VisualFeatures, np.ndarray, np.ndarray]:
    scene = random_scene(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = write_scene(scene, Path(folder) / "scene.mp4", fps=_FPS[seed % len(_FPS)], height=_HEIGHT)
        features = features_of(path)
    return features, np.array([s.time_s for s in scene.strikes]), np.array([s.strength for s in scene.strikes])


def rendered(fault: Fault, count: int) -> Iterator[Case]:
    """Scenes with foley struck at the true strike times, each as late as the fault makes it."""
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        features, times_s, strength = _scene(seed)
        rng = np.random.default_rng([seed, FAULTS.index(fault)])
        duration_s = features.events.duration_s
        heard_s = times_s + Delay.draw(fault, duration_s, rng)(times_s)
        inside = (heard_s >= 0) & (heard_s < duration_s - 0.05)
        if not inside.any():
            continue
        struck = EventTrack(
            envelope=torch.zeros(1, features.events.envelope.shape[1]),
            rate_hz=features.events.rate_hz,
            onsets=[sorted(zip(heard_s[inside].tolist(), strength[inside].tolist(), strict=True))],
        )
        foley = default_registry.create(
            "generator", "foley", material=str(rng.choice(_MATERIALS)), ambience=float(rng.uniform(0, 0.6))
        )
        request = GenerationRequest(duration_s=duration_s, prompt="impact", seed=seed, sample_rate=_RATE)
        audio = foley.generate(attrs.evolve(features, events=struck), request, RunContext())
        yield Case(f"scene {seed}", features, audio, heard_s[inside], times_s[inside])


@cache
def _clips(folder: Path) -> list[tuple[str, VisualFeatures, AudioData, float]]:
    lags = folder / "lags.yaml"
    known = yaml.safe_load(lags.read_text(encoding="utf-8")) if lags.exists() else _LAGS_MS
    return [
        (name, features_of(folder / name), load_audio(folder / name).to_mono(), lag / 1000)
        for name, lag in sorted(known.items())
        if (folder / name).exists()
    ]


def real(fault: Fault, count: int, folder: Path, window_s: float | None = None) -> Iterator[Case]:
    """Clips whose own sound is made as late as the fault says, on top of the lag that it is known to have.

    Args:
        fault: What is wrong.
        count: How many cases to make of all clips together.
        folder: Where the clips are.
        window_s: Look at so much of a clip only; the whole if not given.
    """
    clips = _clips(folder)
    for k in range(count if clips else 0):
        name, features, own, lag_s = clips[k % len(clips)]
        rng = np.random.default_rng([k, FAULTS.index(fault), 7])
        picture_s = features.events.duration_s
        start_s = 0.0 if window_s is None else float(rng.uniform(0, max(0.0, picture_s - window_s)))
        end_s = picture_s if window_s is None else min(start_s + window_s, picture_s)
        delay = Delay.draw(fault, picture_s, rng)
        rate = own.sample_rate
        # The delay is a function of the true time: each moment plays what is so much earlier in the clip's own.
        fine_s = np.arange(-2.0, picture_s + 2.0, 0.001)
        grid_s = np.arange(round((end_s - start_s) * rate)) / rate + start_s
        source_s = np.interp(grid_s, fine_s + delay(fine_s), fine_s)
        wave = own.waveform[0, 0].numpy()
        moved = np.interp(source_s * rate, np.arange(len(wave)), wave, 0.0, 0.0).astype(np.float32)
        times_s = _attacks(own)
        heard_s = times_s + delay(times_s)
        inside = (heard_s >= start_s) & (heard_s < end_s - 0.05)
        if inside.any():
            yield Case(
                f"{name} {k}",
                features if window_s is None else features.window(start_s, end_s),
                AudioData(torch.from_numpy(moved)[None, None], rate),
                heard_s[inside] - start_s,
                times_s[inside] - lag_s - start_s,
            )


def _attacks(audio: AudioData) -> np.ndarray:
    """Where the sound's strong onsets are, in seconds."""
    heard = onset_envelope(audio)[0].numpy()
    around = np.lib.stride_tricks.sliding_window_view(np.pad(heard, 5), 11).max(1)
    return np.nonzero((heard >= around) & (heard > heard.mean() + 2 * heard.std()))[0] / 100.0


def controls(folder: Path) -> Iterator[Case]:
    """The clips in the folder that have a sound and no label."""
    labelled = {name for name, *_ in _clips(folder)}
    for path in sorted(folder.glob("*.mp4")):
        if path.name not in labelled and VideoClip.open(path).has_audio:
            none = np.zeros(0)
            yield Case(path.name, features_of(path), load_audio(path).to_mono(), none, none)
