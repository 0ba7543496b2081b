"""Which sounds a request calls for, and the sentences that tell the user why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from versasound_core.vocabulary import Match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versasound_core.containers import GenerationRequest

    from .recipes import Recipes
    from .scene import Scene

_LIKELY = 0.2
_BUSY_PER_S = 0.2
_MOVING = 0.12


@dataclass(frozen=True)
class Choice:
    """Sounds to make, in order, what to say about them, and whether room tone may lie under them."""

    sounds: tuple[Match, ...]
    notes: list[str] = field(default_factory=list)
    room: bool = True


def _list(words: Sequence[str]) -> str:
    return ", ".join(f"“{word}”" for word in words)


def choose(recipes: Recipes, request: GenerationRequest, labels: Sequence[tuple[str, float]], scene: Scene) -> Choice:
    """Choose from the prompt, else from the labels, else from the motion; then take away what is not wanted.

    Args:
        recipes: The words and recipes.
        request: With the prompt and the negative prompt.
        labels: What the encoder saw, best first.
        scene: What strikes and moves.
    """
    prompt = request.prompt
    parse = recipes.vocabulary.parse
    notes: list[str] = []
    sounds: tuple[Match, ...] = ()
    unwanted: tuple[Match, ...] = ()
    if prompt is not None and prompt.strip():
        said = parse(prompt)
        sounds, unwanted = said.sounds, said.unwanted
        if sounds:
            notes.append("Understood: " + "; ".join(f"{_list(m.words)} as {m.label}" for m in sounds) + ".")
        if said.unknown:
            notes.append(f"Not understood: {_list(said.unknown)}; a lexicon file of your own can teach these words.")
    if not sounds:
        sounds, why = _from_labels(recipes, labels)
        if not sounds:
            sounds, why = _from_motion(recipes, scene.onsets_per_s, scene.mean_motion)
        given = "The prompt names no sound that is known here" if prompt and prompt.strip() else "No prompt was given"
        notes.append(f"{given}; {why}.")
    return _without(recipes, Choice(sounds, notes), request.negative_prompt, unwanted)


def _from_labels(recipes: Recipes, labels: Sequence[tuple[str, float]]) -> tuple[tuple[Match, ...], str]:
    for text, score in labels:
        if score >= _LIKELY and (sounds := recipes.vocabulary.parse(text).sounds):
            return sounds, f"the picture looks like “{text}”, so it gets {' and '.join(m.label for m in sounds)}"
    return (), ""


def _from_motion(recipes: Recipes, onsets_per_s: float | None, motion: float) -> tuple[tuple[Match, ...], str]:
    if onsets_per_s is not None and onsets_per_s >= _BUSY_PER_S:
        return _named(recipes, "impact"), "things strike in the picture, so it gets impacts on wood at those moments"
    if motion >= _MOVING:
        return _named(recipes, "wind"), "the picture moves without striking, so it gets wind that follows the motion"
    why = "nothing was looked at" if onsets_per_s is None else "hardly anything moves in the picture"
    return _named(recipes, "room"), f"{why}, so it gets a quiet room tone"


def _named(recipes: Recipes, name: str) -> tuple[Match, ...]:
    sound = recipes.vocabulary.sounds[name]
    return (Match(sound, sound.material),)


def _without(recipes: Recipes, choice: Choice, negative: str | None, unwanted: tuple[Match, ...]) -> Choice:
    """Take away sounds ruled out by name, and by family where the word means all of it ("no impacts")."""
    said = recipes.vocabulary.parse(negative or "")
    out = (*unwanted, *said.sounds, *said.unwanted)
    if said.unknown:
        choice.notes.append(f"Not understood in the negative prompt: {_list(said.unknown)}.")
    kept = tuple(m for m in choice.sounds if not any(_rules_out(o, m) for o in out))
    gone = [m.label for m in choice.sounds if m not in kept]
    if gone:
        choice.notes.append(f"Left out as asked: {', '.join(gone)}.")
    (room,) = _named(recipes, "room")
    return Choice(kept, choice.notes, room=not any(_rules_out(o, room) for o in out))


def _rules_out(ruled: Match, match: Match) -> bool:
    """`no impacts` takes every impact, `no metal` those on metal, `no rain` any rain, `no rain on metal` that alone."""
    same = match.sound.family == ruled.sound.family if ruled.sound.weak else match.sound.name == ruled.sound.name
    return same and (not ruled.material_said or ruled.material == match.material)
