"""From a sentence to the sounds it names."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[,;:.!?&+/|\n()]")
_ARTICLES = frozenset({"a", "an", "the"})
_SHORTEST_STEM = 3


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound that has a name.

    Attributes:
        name: Its one name, such as ``footsteps``.
        family: What it belongs to, such as ``impact``, ``rain`` or ``ambience``.
        words: Words and phrases that mean it.
        material: What it is made on when nothing else is said; None where that means nothing.
        like: The sound it was derived from, in a person's own file.
        weak: Heard only where its clause names no other sound.
    """

    name: str
    family: str
    words: tuple[str, ...]
    material: str | None = None
    like: str | None = None
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A sound understood in a sentence.

    Attributes:
        sound: Which one.
        material: What it is made on; None where that means nothing.
        words: The words of the sentence that said so.
        material_said: Whether the sentence named the material; else it is the sound's usual one.
    """

    sound: Sound
    material: str | None
    words: tuple[str, ...] = ()
    material_said: bool = False

    @property
    def label(self) -> str:
        """Its name for people: ``footsteps (gravel)``."""
        return self.sound.name if self.material in {None, self.sound.name} else f"{self.sound.name} ({self.material})"


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """What a sentence says.

    Attributes:
        sounds: Sounds in the order in which they are named, each once.
        unwanted: Sounds that the sentence rules out ("without wind").
        unknown: Words not understood, in order, each once; small words and words of manner are not among them.
    """

    sounds: tuple[Match, ...] = ()
    unwanted: tuple[Match, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a vocabulary's phrases mean: ``(kind, name)`` by their tokens, and the length of the longest."""

    phrases: Mapping[tuple[str, ...], tuple[str, str]]
    longest: int
    sounds: Mapping[str, Sound]
    alone: Mapping[str, str]


@dataclass(slots=True)
class _Clause:
    negated: bool
    found: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)


def tokens(text: str) -> list[str]:
    """Lower-case words without accents, possessives and articles; punctuation that ends a clause stays."""
    plain = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return [word for t in _TOKEN.findall(plain) if (word := t.removesuffix("'s")) not in _ARTICLES]


def _stems(word: str) -> Iterator[str]:
    yield word
    for suffix in ("s", "es", "ing", "ed", "d", "er", "ers", "ings"):
        stem = word.removesuffix(suffix)
        if stem == word or len(stem) < _SHORTEST_STEM:
            continue
        yield stem
        if suffix != "s":
            yield stem + "e"
        if stem[-1] == stem[-2]:
            yield stem[:-1]


def _longest(words: list[str], at: int, terms: Terms) -> tuple[int, tuple[str, str] | None]:
    for length in range(min(terms.longest, len(words) - at), 0, -1):
        head = tuple(words[at : at + length - 1])
        for last in _stems(words[at + length - 1]):
            if (meaning := terms.phrases.get((*head, last))) is not None:
                return length, meaning
    return 1, None


def _clauses(words: list[str], terms: Terms) -> tuple[list[_Clause], list[str]]:
    clauses, unknown, at = [_Clause(negated=False)], [], 0
    while at < len(words):
        length, meaning = _longest(words, at, terms)
        said = tuple(words[at : at + length])
        kind, name = meaning or ("", "")
        if kind == "break" or not said[0][0].isalnum():
            clauses.append(_Clause(negated=False))
        elif kind == "negation":
            clauses.append(_Clause(negated=True))
        elif kind in {"sound", "material"}:
            clauses[-1].found.append((kind, name, said))
        elif kind != "ignored" and not said[0].isdigit():
            unknown.append(said[0])
        at += length
    return clauses, unknown


def _materials(clause: _Clause, kept: list[int]) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Give each material to the nearest sound before it that has none, else to the first after it that has none."""
    given: dict[int, tuple[str, tuple[str, ...]]] = {}
    for at, (kind, name, said) in enumerate(clause.found):
        if kind == "material":
            before = [i for i in kept if i < at][-1:]
            after = [i for i in kept if i > at][:1]
            free = [i for i in (*before, *after) if i not in given]
            if free:
                given[free[0]] = (name, said)
    return given


def _matches(clause: _Clause, terms: Terms) -> Iterator[Match]:
    heard = [i for i, (kind, _, _) in enumerate(clause.found) if kind == "sound"]
    strong = [i for i in heard if not terms.sounds[clause.found[i][1]].weak]
    kept = strong or heard[:1]
    if not kept:
        for _, name, said in clause.found:
            sound = terms.sounds[terms.alone[name]]
            yield Match(sound, name, said, material_said=True)
        return
    given = _materials(clause, kept)
    for at in kept:
        sound, said = terms.sounds[clause.found[at][1]], clause.found[at][2]
        material, more = given.get(at, (sound.material, ()))
        yield Match(sound, material, said + more, material_said=at in given)


def _once(matches: list[Match]) -> tuple[Match, ...]:
    """Each sound once: "walking, footsteps on gravel" walks on gravel only, with the words of both."""
    said = {match.sound.name: match.material for match in reversed(matches) if match.material_said}
    merged: dict[tuple[str, str | None], Match] = {}
    for match in matches:
        name = match.sound.name
        material = match.material if match.material_said else said.get(name, match.material)
        first = merged.get((name, material))
        words = match.words if first is None else first.words + match.words
        merged[name, material] = Match(match.sound, material, words, material_said=name in said)
    return tuple(merged.values())


def parse(text: str, terms: Terms) -> ParsedPrompt:
    """Understand a sentence: longest phrases first, clause by clause; never raises."""
    clauses, unknown = _clauses(tokens(text), terms)
    wanted = [m for c in clauses if not c.negated for m in _matches(c, terms)]
    unwanted = [m for c in clauses if c.negated for m in _matches(c, terms)]
    return ParsedPrompt(_once(wanted), _once(unwanted), tuple(dict.fromkeys(unknown)))
