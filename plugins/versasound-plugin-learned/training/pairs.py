"""Pictures and sounds that belong together, made wrong by a known amount: what the confidence is fitted on."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import numpy as np
import torch
from camera import film
from versasound_plugin_learned.evidence import Pair, pairs

from versasound_core import registry
from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.containers.view import EventView
from versasound_core.context import RunContext

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "benchmarks" / "sync"))
from typing import TYPE_CHECKING

import cases
from cases import FAULTS, Delay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIRST_SEED = 7_000_000  # of scenes that the network was not trained on
_BATCH, _PICTURES = 16, 120
_MATERIALS = ("wood", "metal", "glass", "ceramic", "stone", "concrete", "plastic")
_RATE = 24000
_WINDOW_S = 4.0
_LEAST = 3  # strikes
_SILENT, _OFF_SCREEN_HZ = 0.08, 0.3  # strikes that make no sound; sounds a second of things that are not seen


@attrs.frozen(eq=False)
class Made:
    """One pair.

    Args:
        fault: What is wrong with it; `window` is a shift in a part of 4 s.
        pair: Picture and sound.
        heard_s: `[K]`, where its strikes are heard.
        belong_s: `[K]`, where they belong.
    """

    fault: str
    pair: Pair
    heard_s: np.ndarray
    belong_s: np.ndarray


@attrs.frozen(eq=False)
class Filmed:
    """A picture, and what is drawn for it.

    Args:
        number: Of the batch, and in it.
        view: The picture.
        struck_s: When something strikes in it.
    """

    number: tuple[int, int]
    view: EventView
    struck_s: np.ndarray


def filmed(batches: int, first: int = 0) -> Iterator[Filmed]:
    """Make up sixteen pictures a batch."""
    for batch in range(first, first + batches):
        clips = film(_BATCH, _PICTURES, torch.Generator().manual_seed(_FIRST_SEED + batch))
        for item in range(_BATCH):
            count = int(clips.counts[item])
            view = EventView(clips.cells[item, :count], clips.times_s[item, : count + 1].double())
            struck_s = clips.strikes[item].double().numpy()
            yield Filmed((batch, item), view, struck_s[struck_s < float(view.times_s[-1])])


def made(pictures: Iterable[Filmed], fault: str | None = None) -> Iterator[Made]:
    """Give pictures in which enough strikes their sounds: all with one fault, or with each in turn."""
    for picture in pictures:
        wrong = fault or (*FAULTS, "window")[picture.number[1] % 4]
        found = _pair(picture.view, picture.struck_s, wrong, np.random.default_rng(picture.number))
        if found is not None:
            yield found


def unstruck(pictures: Iterable[Filmed]) -> Iterator[Pair]:
    """Pictures in which things move and nothing strikes, without a sound."""
    for picture in pictures:
        if not len(picture.struck_s):
            duration_s = float(picture.view.times_s[-1])
            track = EventTrack(torch.zeros(1, round(duration_s * 100)), 100.0, [[]], views=[picture.view])
            yield from pairs(track, AudioData(torch.zeros(1, 1, round(duration_s * _RATE)), _RATE))


def _pair(view: EventView, struck_s: np.ndarray, fault: str, rng: np.random.Generator) -> Made | None:
    end_s = float(view.times_s[-1])
    struck_s = struck_s[np.diff(struck_s, prepend=-1.0) > 0.06]  # noqa: PLR2004  (seconds: closer ones are one sound)
    if len(struck_s) < _LEAST:
        return None
    delay = Delay.draw("shift" if fault == "window" else fault, end_s, rng)
    start_s = 0.0
    if fault == "window":
        start_s = rng.uniform(0, max(0.0, end_s - _WINDOW_S))
        end_s = min(start_s + _WINDOW_S, end_s)
        view = view.window(start_s, end_s)
    others_s = rng.uniform(0, end_s, rng.poisson(_OFF_SCREEN_HZ * end_s * (rng.random() < 0.3)))  # noqa: PLR2004
    sounds = rng.random(len(struck_s)) > _SILENT
    heard_s = struck_s + delay(struck_s)
    inside = sounds & (heard_s >= start_s) & (heard_s < end_s - 0.05)
    if inside.sum() < _LEAST - 1:
        return None
    at_s = np.concatenate([heard_s[inside], others_s[(others_s > start_s) & (others_s < end_s - 0.05)]]) - start_s
    duration_s = end_s - start_s
    track = EventTrack(
        torch.zeros(1, round(duration_s * 100)),
        100.0,
        [sorted(zip(at_s.tolist(), rng.uniform(0.3, 1, len(at_s)).tolist(), strict=True))],
    )
    options = {"material": str(rng.choice(_MATERIALS)), "ambience": float(rng.uniform(0, 0.6))}
    foley = registry.create("generator", "foley", **options)
    request = GenerationRequest(
        duration_s=duration_s, prompt="impact", seed=int(rng.integers(2**31)), sample_rate=_RATE
    )
    audio = foley.generate(VisualFeatures(torch.zeros(1, 10, 1), {"fps": 10.0}, track), request, RunContext())
    picture = EventTrack(track.envelope, track.rate_hz, [[]], views=[view])
    return Made(fault, next(pairs(picture, audio)), heard_s[inside] - start_s, struck_s[inside] - start_s)


def rendered(count: int) -> Iterator[Pair]:
    """The pairs of the benchmark's rendered columns, `count` each."""
    for fault in FAULTS:
        for case in cases.rendered(fault, count):
            yield from pairs(case.features.events, case.audio)
