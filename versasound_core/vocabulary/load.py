"""The vocabulary from YAML: ours, and what a person adds to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.errors import InvalidInputError
from versasound_core.yaml_files import read_yaml

from .parse import ParsedPrompt, Sound, Terms, parse, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = Path(__file__).with_name("sounds.yaml")
_ENTRY = {"words": list, "family": str, "material": str, "like": str, "weak": bool, "alone": str, "params": dict}
_HINT = "See the commented file versasound_core/vocabulary/sounds.yaml for the form."


def read_words(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Read a vocabulary file: ``{"sounds": {name: entry}, "materials": {name: entry}, ...}``.

    An entry's ``params`` belong to whoever makes the sound and are passed through unread.

    Raises:
        InvalidInputError: The file cannot be read, or a key in it has the wrong form; file and key are named.
    """
    try:
        loaded = read_yaml(path)
    except InvalidInputError as error:
        raise InvalidInputError(f"The vocabulary file {path} {error.message}", _HINT) from error
    read: dict[str, Any] = _mapping(path, "the file", {} if loaded is None else loaded)
    for section, content in read.items():
        if section not in {"sounds", "materials", "breaks", "negations", "ignored"}:
            raise _wrong(path, section, "is no section (sounds, materials, breaks, negations, ignored)")
        if section in {"sounds", "materials"}:
            for name, entry in _mapping(path, section, content).items():
                _check_entry(path, f"{section}.{name}", entry)
        else:
            _check_words(path, section, content)
    return read


def _wrong(path: Path, key: str, why: str) -> InvalidInputError:
    return InvalidInputError(f"In the vocabulary file {path}, {key} {why}.", _HINT)


def _mapping(path: Path, key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise _wrong(path, key, "must be a mapping with names as keys")
    return value


def _check_words(path: Path, key: str, words: object) -> None:
    if not isinstance(words, list) or not all(isinstance(w, str) and tokens(w) for w in words):
        raise _wrong(path, key, f"must be a list of words, got {words!r} (quote words such as 'on', 'no' and 'yes')")


def _check_entry(path: Path, key: str, entry: object) -> None:
    for name, value in _mapping(path, key, entry).items():
        if name not in _ENTRY:
            raise _wrong(path, f"{key}.{name}", f"is not known (known: {', '.join(_ENTRY)})")
        if not isinstance(value, _ENTRY[name]):
            raise _wrong(path, f"{key}.{name}", f"must be of type {_ENTRY[name].__name__}, got {value!r}")
    if isinstance(entry, dict) and "words" in entry:
        _check_words(path, f"{key}.words", entry["words"])


@dataclass(frozen=True)
class Vocabulary:
    """Sounds and materials by name, and the small words that mean neither.

    Attributes:
        sounds: Every sound by its name.
        materials: Words of every material by its name.
        alone: The sound meant by a material that stands alone.
        other: Words by their part: ``break``, ``negation``, ``ignored``.
    """

    sounds: Mapping[str, Sound]
    materials: Mapping[str, tuple[str, ...]]
    alone: Mapping[str, str]
    other: Mapping[str, tuple[str, ...]]

    @staticmethod
    def load(extra: Path | None = None) -> Vocabulary:
        """Our vocabulary, extended by a person's own file when there is one.

        In the file, an entry under an existing name adds its words; a new name needs ``like`` (a sound or a
        material) or, for a sound, ``family``. Added words win over ours.

        Raises:
            InvalidInputError: The file cannot be used; the message names the file and the key.
        """
        ours = _ours()
        return ours if extra is None else _extend(ours, Path(extra), read_words(Path(extra)))

    def parse(self, text: str) -> ParsedPrompt:
        """The sounds that a sentence names, in order, and the words not understood. Never raises."""
        return parse(text, self._terms)

    @cached_property
    def _terms(self) -> Terms:
        phrases: dict[tuple[str, ...], tuple[str, str]] = {}
        for part, words in self.other.items():
            phrases.update((tuple(tokens(word)), (part, part)) for word in words if tokens(word))
        for name, words in self.materials.items():
            phrases.update((tuple(tokens(word)), ("material", name)) for word in words)
        for name, sound in self.sounds.items():
            phrases.update((tuple(tokens(word)), ("sound", name)) for word in sound.words)
        return Terms(phrases, max(map(len, phrases), default=1), self.sounds, self.alone)


@cache
def _ours() -> Vocabulary:
    return _extend(Vocabulary({}, {}, {}, {}), _OURS, read_words(_OURS))


def _extend(base: Vocabulary, path: Path, read: Mapping[str, Any]) -> Vocabulary:
    materials, alone, sounds = dict(base.materials), dict(base.alone), dict(base.sounds)
    for name, entry in read.get("materials", {}).items():
        if (like := entry.get("like")) is not None and like not in materials:
            raise _wrong(path, f"materials.{name}.like", f"names no material: {like!r}")
        words = tuple(entry.get("words", ()))
        _release(words, sounds, materials)
        materials[name] = materials.get(name, ()) + words
        alone[name] = entry.get("alone", alone.get(name, alone.get(like or "", "impact")))
    for name, entry in read.get("sounds", {}).items():
        words = tuple(entry.get("words", ()))
        sound = _sound(path, name, entry, sounds, materials)
        _release(words, sounds, materials)
        mine = sounds[name].words if name in sounds else ()
        sounds[name] = replace(sound, words=mine + words)
    for name, target in alone.items():
        if target not in sounds:
            raise _wrong(path, f"materials.{name}.alone", f"names no sound: {target!r}")
    keys = {"break": "breaks", "negation": "negations", "ignored": "ignored"}
    other = {part: base.other.get(part, ()) + tuple(read.get(key, ())) for part, key in keys.items()}
    return Vocabulary(sounds, materials, alone, other)


def _release(words: tuple[str, ...], sounds: dict[str, Sound], materials: dict[str, tuple[str, ...]]) -> None:
    """Take words from whoever has them: the last entry to name a word owns it."""
    for name, sound in sounds.items():
        if not set(words).isdisjoint(sound.words):
            sounds[name] = replace(sound, words=tuple(w for w in sound.words if w not in words))
    for name, old in materials.items():
        materials[name] = tuple(w for w in old if w not in words)


def _sound(
    path: Path, name: str, entry: Mapping[str, Any], sounds: Mapping[str, Sound], materials: Mapping[str, Any]
) -> Sound:
    like, own = entry.get("like"), {k: entry[k] for k in ("family", "material", "weak") if k in entry}
    if own.get("material") is not None and own["material"] not in materials:
        raise _wrong(path, f"sounds.{name}.material", f"names no material: {own['material']!r}")
    if like is None and name in sounds:
        return replace(sounds[name], **own)
    if like is None:
        if "family" not in own:
            raise _wrong(path, f"sounds.{name}", "is new, so it needs `like:` (a sound or a material) or `family:`")
        return Sound(name, words=(), **own)
    if like in sounds:
        return replace(sounds[like], **({"name": name, "like": like, "weak": False} | own))
    if like in materials:
        return Sound(name, words=(), like="impact", **({"family": "impact", "material": like} | own))
    raise _wrong(path, f"sounds.{name}.like", f"names no sound and no material: {like!r}")
