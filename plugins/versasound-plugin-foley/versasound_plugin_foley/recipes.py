"""From a sound that was understood to how it is made: our recipes, and what a person's own file changes in them."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.errors import InvalidInputError
from versasound_core.vocabulary import Match, Vocabulary, read_words

from .grains import KINDS
from .modal import RATIOS

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = Path(__file__).with_name("sounds.yaml")
_CONTINUOUS = frozenset({"bands", "grains", "tone"})
_CHOICES: dict[str, tuple[str, ...]] = {"ratios": tuple(RATIOS), "kind": tuple(KINDS)}
_SIGNED = frozenset({"db", "level_db"})
_MAY_BE_ZERO = frozenset(
    {"friction", "spread", "tilt", "sway", "follow", "width", "wobble", "rough", "rise", "range_db", "peak"}
)
_SMALLEST, _LARGEST = 1e-4, 1e5
Recipe = dict[str, Any]


@cache
def _ours() -> dict[str, dict[str, Recipe]]:
    import yaml

    text = _OURS.read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Recipe]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return loaded


def changed(base: Any, by: Any) -> Any:  # noqa: ANN401  (any YAML value)
    """`base` with `by` laid over it: mappings key by key, None takes a key away, anything else replaces."""
    if not (isinstance(base, dict) and isinstance(by, dict)):
        return deepcopy(by)
    merged = deepcopy(base)
    for key, value in by.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = changed(merged.get(key), value)
    return merged


def continuous(recipe: Recipe) -> bool:
    """Whether the sound goes on rather than beginning at an event."""
    return not _CONTINUOUS.isdisjoint(recipe)


class Recipes:
    """The words and the recipes together, from ours and, if there is one, from a person's own file.

    Raises:
        InvalidInputError: The file cannot be used; the message names the file and the key.
    """

    def __init__(self, lexicon: Path | None = None) -> None:
        self.vocabulary = Vocabulary.load(lexicon)
        own = {} if lexicon is None else read_words(lexicon)
        self._materials = dict(_ours()["materials"])
        self._sounds = dict(_ours()["sounds"])
        for section, table in (("materials", self._materials), ("sounds", self._sounds)):
            for name, entry in own.get(section, {}).items():
                params, like = entry.get("params", {}), entry.get("like")
                if section == "sounds" and like is None and name not in table:
                    message = (
                        f"In the vocabulary file {lexicon}, sounds.{name} cannot be made: it is like no other sound."
                    )
                    raise InvalidInputError(message, "Give it `like:` with a sound or a material.")
                if section == "sounds" and like in self._materials and like not in self._sounds:
                    like = "impact"
                base = table.get(name if name in table else like or "", {})
                table[name] = changed(base, params)
                if lexicon is not None and params:
                    _check(lexicon, f"{section}.{name}.params", params)

    def recipe(self, match: Match) -> Recipe:
        """How to make a sound on its material."""
        own = self._sounds[match.sound.name]
        base = self._materials.get(match.material or "", self._materials["wood"]) if own.get("struck") else {}
        made = changed(base, {key: value for key, value in own.items() if key not in {"struck", "on"}})
        recipe: Recipe = changed(made, own.get("on", {}).get(match.material, {}))
        modes = recipe.get("modes")
        if modes is not None and "ratios" not in modes:
            del recipe["modes"]  # the surface does not ring: there is nothing to change
        return recipe


def _check(path: Path, key: str, params: Mapping[str, Any], within: str = "") -> None:
    """Refuse parameters that no recipe of ours has in that place, so that a slip of the pen is not silence."""
    known = _known()
    for name, value in params.items():
        where = f"{key}.{name}"
        if within == "on":
            _check(path, where, value if isinstance(value, dict) else {})
            continue
        if (within, name) not in known:
            names = ", ".join(sorted(inner for outer, inner in known if outer == within))
            message = f"In the vocabulary file {path}, {where} is no parameter (known here: {names or 'none'})."
            raise InvalidInputError(message)
        if value is not None:
            _check_value(path, where, name, value, known[within, name])
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                _check(path, where, item, name)


def _check_value(path: Path, key: str, name: str, value: object, example: object) -> None:
    if isinstance(example, (int, float)) and not isinstance(example, bool):
        lowest = -_LARGEST if name in _SIGNED else 0.0 if name in _MAY_BE_ZERO else _SMALLEST
        right = isinstance(value, (int, float)) and not isinstance(value, bool) and lowest <= value <= _LARGEST
        wanted = f"a number from {lowest:g} to {_LARGEST:g}"
    elif name in _CHOICES:
        right, wanted = value in _CHOICES[name], "one of " + ", ".join(_CHOICES[name])
    else:
        right, wanted = type(value) is type(example), f"like {example!r}"
    if not right:
        raise InvalidInputError(f"In the vocabulary file {path}, {key} must be {wanted}, got {value!r}.")


@cache
def _known() -> dict[tuple[str, str], Any]:
    """Every parameter of our recipes by the part it stands in, with an example of its value."""
    known: dict[tuple[str, str], Any] = {("", "on"): {}}

    def note(within: str, recipe: Recipe) -> None:
        for name, value in recipe.items():
            if name == "on":
                for variant in value.values():
                    note("", variant)
                continue
            known.setdefault((within, name), value)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    note(name, item)

    for table in _ours().values():
        for recipe in table.values():
            note("", recipe)
    return known
