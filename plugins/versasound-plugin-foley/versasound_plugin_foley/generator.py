"""The default generator: procedural foley, struck at the events of the picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from math import cos, log10, pi, sin
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from versasound_core.containers import AudioData
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
            ``generator``, ``sources`` (per item, the names of the sounds) and ``notes`` (sentences for the user).

        Raises:
            InvalidInputError: The lexicon file cannot be used.
            Cancelled: The user asked to stop.
        """
        items = 1 if features is None else features.shape[0]
        items = 1 if features is None else features.shape[0]
        made = np.zeros((items, 2, request.num_samples), np.float32)
        notes: list[str] = []
        sources: list[str] = []
        for item in range(items):
            scene = Scene(features, item, request)
            choice = self._choose(features, item, request, scene)
            choice.notes.extend(self._render(made[item], choice, scene, ctx.part(item / items, (item + 1) / items)))
            sources += [match.label for match in choice.sounds]
            notes += [note if items == 1 else f"Item {item}: {note}" for note in choice.notes]
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
        return Choice(sounds, choice.notes)

    def _render(self, out: Floats, choice: Choice, scene: Scene, ctx: RunContext) -> list[str]:
        """Fill `out` `[2, N]` and return what there is to say about the timing."""
        recipes = {match.label: self._recipes.recipe(match) for match in choice.sounds}
        going_on = {label: recipe for label, recipe in recipes.items() if continuous(recipe)}
        struck: dict[str, list[Event]] = {}
        notes: list[str] = []
        for match in choice.sounds:
            if match.label not in going_on:
                struck[match.label], note = scene.events_for(match.label, match.sound)
                notes += [note] if note else []
        if len(struck) > 1:
            notes.append(
                f"Nothing says which sound belongs to which event, so each event gets all of: {', '.join(struck)}."
            )
        if not going_on:
            self._add_room(going_on, notes, alone=not any(struck.values()))

        total = scene.blocks * max(1, len(going_on)) + sum(map(len, struck.values()))
        done = 0

        def tick() -> None:
            nonlocal done
            ctx.report(min(1.0, done / total), "Making the sound")
            done += 1

        for label, recipe in going_on.items():
            Texture(recipe, scene.seed, label, scene.sample_rate).add_to(out, scene.start, scene.motion, tick)
        late: list[tuple[int, Floats, Event]] = []
        for label, events in struck.items():
            for event in events:
                tick()
                sound, lead = strike(recipes[label], event, (scene.seed, label), scene.sample_rate)
                begin = event.sample - scene.start - lead
                if begin < 0:
                    _place(out, sound, begin, event.position)
                else:
                    late.append((begin, sound, event))
        edge = min(round(_EDGE_S * scene.sample_rate), out.shape[1] // 4)
        ramp = np.linspace(0, 1, edge, dtype=np.float32)
        out[:, :edge] *= ramp  # before what strikes inside is added: its attack is its own
        for begin, sound, event in late:
            _place(out, sound, begin, event.position)
        _limit(out)
        out[:, out.shape[1] - edge :] *= ramp[::-1]
        return notes

    def _add_room(self, going_on: dict[str, Recipe], notes: list[str], *, alone: bool) -> None:
        """Lay room tone under struck sounds, as loud as asked; where there is nothing else, it is all that is heard."""
        room = self._recipes.recipe(Match(self._recipes.vocabulary.sounds["room"], None))
        if alone:
            notes.append("Nothing else is heard here than a quiet room tone.")
            going_on["room"] = room
        elif self._ambience > 0:
            level = room.get("level_db", 0.0) + _ROOM_AT_FULL_DB + 20 * log10(self._ambience)
            going_on["room"] = room | {"level_db": level}


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
