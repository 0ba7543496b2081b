"""The default generator: procedural foley, struck at the events of the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import cos, log10, pi, sin
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from versasound_core.containers import AudioData
from versasound_core.device import one_thread
from versasound_core.vocabulary import Match

from .choice import Choice, choose
from .grains import scatter
from .recipes import Recipe, Recipes, continuous
from .scene import Event, Scene
from .strikes import strike
from .textures import Texture

if TYPE_CHECKING:
    from versasound_core.containers import GenerationRequest, VisualFeatures
    from versasound_core.context import RunContext

    from .noise import Floats

_ROOM_AT_FULL_DB = 10.0
_EDGE_S = 0.005
_KNEE, _CEILING = 0.7, 0.98


@dataclass(frozen=True)
class _Plan:
    """What is heard: recipes of what goes on, events and recipes of what is struck, and what to say about it."""

    going_on: dict[str, Recipe]
    struck: dict[str, list[Event]]
    recipes: dict[str, Recipe]
    notes: list[str]


class FoleyGenerator:
    """Impacts, footsteps, weather, water, fire, machines and crowds by synthesis alone.

    Args:
        material: What impacts are made of when the prompt names no material; ``auto`` leaves it to the sound.
        ambience: How much room tone lies under struck sounds, 0 to 1.
        lexicon: A person's own words and recipes (YAML).
    """

    def __init__(self, *, material: str, ambience: float, lexicon: str | Path | None) -> None:
        self._material = material
        self._ambience = ambience
        self._lexicon = Path(lexicon) if lexicon else None

    @cached_property
    def _recipes(self) -> Recipes:
        return Recipes(self._lexicon)

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Make sound for every item of the batch.

        Returns:
            Stereo `[B, 2, request.num_samples]`, peak at most 0.98, strongest impacts near -6 dBFS. ``metadata`` holds
            ``generator``, ``sources`` (names of the sounds) and ``notes`` (sentences for the user).

        Raises:
            InvalidInputError: The lexicon file cannot be used.
            Cancelled: The user asked to stop.
        """
        items = 1 if features is None else features.shape[0]
        made = np.zeros((items, 2, request.num_samples), np.float32)
        notes: list[str] = []
        sources: list[str] = []
        for item in range(items):
            scene = Scene(features, item, request)
            choice = self._choose(features, item, request, scene)
            plan = self._plan(choice, scene)
            with one_thread():
                _render(made[item], plan, scene, ctx.part(item / items, (item + 1) / items))
            sources += [*plan.struck, *plan.going_on]
            notes += [note if items == 1 else f"Item {item}: {note}" for note in plan.notes]
        metadata = {"generator": "foley", "sources": list(dict.fromkeys(sources)), "notes": notes}
        return AudioData(torch.from_numpy(made), request.sample_rate, metadata)

    def _choose(self, features: VisualFeatures | None, item: int, request: GenerationRequest, scene: Scene) -> Choice:
        labels = (features.labels[item] if features.labels else []) if features is not None else []
        choice = choose(self._recipes, request, labels, scene)
        if self._material == "auto":
            return choice
        sounds = tuple(
            replace(m, material=self._material) if m.sound.family == "impact" and not m.material_said else m
            for m in choice.sounds
        )
        return replace(choice, sounds=sounds)

    def _plan(self, choice: Choice, scene: Scene) -> _Plan:
        """Settle what is heard and when; where nothing else is, a quiet room tone."""
        plan = _Plan({}, {}, {}, choice.notes)
        for match in choice.sounds:
            recipe = self._recipes.recipe(match)
            if continuous(recipe):
                plan.going_on[match.label] = recipe
                continue
            events, note = scene.events_for(match.label, match.sound)
            plan.notes.extend([note] if note else [])
            if events:
                plan.struck[match.label], plan.recipes[match.label] = events, recipe
        if len(plan.struck) > 1:
            names = ", ".join(plan.struck)
            plan.notes.append(f"Nothing says which sound belongs to which event, so each event gets all of: {names}.")
        if not plan.going_on:
            self._add_room(plan, choice)
        return plan

    def _add_room(self, plan: _Plan, choice: Choice) -> None:
        """Lay room tone under struck sounds, as loud as asked; where nothing is left, it is all that is heard."""
        room = self._recipes.recipe(Match(self._recipes.vocabulary.sounds["room"], None))
        if choice.sounds:  # as loud between strikes as under them, so that segments with and without them join
            loudness = 20 * log10(self._ambience) if self._ambience else 0.0
            room = room | {"level_db": room.get("level_db", 0.0) + _ROOM_AT_FULL_DB + loudness}
        audible = choice.room and (self._ambience > 0 or not choice.sounds)
        if audible:
            plan.going_on["room"] = room
        if not plan.struck:
            plan.notes.append(
                "All that is heard is a quiet room tone." if audible else "Nothing is left: it is silent."
            )


def _render(out: Floats, plan: _Plan, scene: Scene, ctx: RunContext) -> None:
    """Fill `out` `[2, N]`."""
    total = max(1, scene.blocks * len(plan.going_on) + sum(map(len, plan.struck.values())))
    done = 0

    def tick() -> None:
        nonlocal done
        ctx.report(min(1.0, done / total), "Making the sound")
        done += 1

    for label, recipe in plan.going_on.items():
        Texture(recipe, scene.seed, label, scene.sample_rate).add_to(out, scene.start, scene.motion, tick)
    inside: list[tuple[Floats, int, float]] = []
    for label, events in plan.struck.items():
        for event in events:
            tick()
            sound, lead = strike(plan.recipes[label], event, (scene.seed, label), scene.sample_rate)
            begin = event.sample - scene.start - lead
            if begin < 0:
                _place(out, sound, begin, event.position)
            else:
                inside.append((sound, begin, event.position))
    edge = min(round(_EDGE_S * scene.sample_rate), out.shape[1] // 4)
    ramp = np.linspace(0, 1, edge, dtype=np.float32)
    out[:, :edge] *= ramp  # before what strikes inside is added: its attack is its own
    for sound, begin, position in inside:
        _place(out, sound, begin, position)
    _limit(out)
    out[:, out.shape[1] - edge :] *= ramp[::-1]


def _place(out: Floats, sound: Floats, begin: int, position: float) -> None:
    """Add a mono sound at sample `begin`, panned with constant power from -1 (left) to 1 (right)."""
    angle = 0.25 * pi * (1 + position)
    gains = np.array([[[cos(angle), sin(angle)]]], np.float32)[0] * np.float32(2**0.5)
    scatter(out, (sound,), np.array([begin]), np.array([0]), gains)


def _limit(out: Floats) -> None:
    """Bend what is above the knee below full scale, sample by sample, in place."""
    over = np.abs(out) > _KNEE
    if over.any():
        room = _CEILING - _KNEE
        loud = out[over]
        out[over] = np.sign(loud) * (_KNEE + room * np.tanh((np.abs(loud) - _KNEE) / room))
