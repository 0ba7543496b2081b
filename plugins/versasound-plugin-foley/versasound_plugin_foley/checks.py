"""Refusing parameters in a person's own file that could not be played, by file and key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versasound_core.errors import InvalidInputError

from .grains import KINDS
from .modal import RATIOS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_CHOICES: dict[str, tuple[str, ...]] = {"ratios": tuple(RATIOS), "kind": tuple(KINDS)}
_SIGNED = frozenset({"db", "level_db"})
_MAY_BE_ZERO = frozenset(
    {"friction", "spread", "tilt", "sway", "follow", "width", "wobble", "rough", "rise", "range_db", "peak"}
)
_AT_MOST = {
    "follow": 1.0,
    "width": 1.0,
    "peak": 1.0,
    "db": 60.0,
    "level_db": 60.0,
    "count": 1000.0,
    "per_second": 2000.0,
    "decay_s": 2.0,
    "lasts_s": 4.0,
    "length_s": 4.0,
}
_SMALLEST, _LARGEST = 1e-4, 1e5
_NEEDED = {
    "modes": ("frequency_hz", "spread", "ratios", "friction", "loss", "tilt", "brightness_hz", "db"),
    "burst": ("hz", "octaves", "decay_s", "db"),
    "spray": ("grain", "count", "lasts_s", "db"),
    "sweep": ("hz", "octaves", "length_s"),
    "bands": ("hz", "octaves", "db"),
    "grains": ("grain", "per_second", "db"),
    "tone": ("hz", "up_to_hz", "tilt", "db"),
}
_NEEDED_BY_GRAIN = {
    "tick": ("hz", "decay_ms"),
    "ping": ("hz", "ratios", "loss", "friction"),
    "bubble": ("radius_mm",),
    "syllable": ("hz",),
}


def check_params(path: Path, key: str, params: Mapping[str, Any], tables: Mapping[str, Any]) -> None:
    """Refuse parameters that no recipe of ours has in that place, so that a slip of the pen is not silence.

    Args:
        path: The file, to be named.
        key: Where `params` stand in it.
        params: What to check.
        tables: Our recipes, `{section: {name: recipe}}`: what they hold may be changed, by values of the same kind.

    Raises:
        InvalidInputError: The message names the file and the key.
    """
    known = {
        place: value for table in tables.values() for recipe in table.values() for place, value in _places("", recipe)
    }
    _check(path, key, params, "", known)


def _places(within: str, recipe: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, value in recipe.items():
        yield (within, name), value
        if name == "by_material":
            for variant in value.values():
                yield from _places("", variant)
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from _places(name, item)


def _check(path: Path, key: str, params: Mapping[str, Any], within: str, known: Mapping[tuple[str, str], Any]) -> None:
    for name, value in params.items():
        where = f"{key}.{name}"
        if (within, name) not in known:
            names = ", ".join(sorted(inner for outer, inner in known if outer == within))
            raise InvalidInputError(f"In {path}, {where} is no parameter (known here: {names or 'none'}).")
        if value is None:
            continue
        _check_value(path, where, value, known[within, name])
        if name == "by_material":
            for material, variant in value.items():
                _check_value(path, f"{where}.{material}", variant, {})
                _check(path, f"{where}.{material}", variant, "", known)
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                _check(path, where, item, name, known)


def _check_value(path: Path, key: str, value: object, example: object) -> None:
    name = key.rpartition(".")[2]
    wanted = f"like {example!r}"
    right = type(value) is type(example)
    if isinstance(example, (int, float)) and not isinstance(example, bool):
        highest = _AT_MOST.get(name, _LARGEST)
        lowest = -_LARGEST if name in _SIGNED else 0.0 if name in _MAY_BE_ZERO else _SMALLEST
        right = isinstance(value, (int, float)) and not isinstance(value, bool) and lowest <= value <= highest
        wanted = f"a number from {lowest:g} to {highest:g}"
    elif name in _CHOICES:
        right, wanted = value in _CHOICES[name], "one of " + ", ".join(_CHOICES[name])
    elif isinstance(example, list) and isinstance(value, list):
        if not value or (isinstance(example[0], float | int) and len(value) != len(example)):
            right = False
        for item in value:
            _check_value(path, key, item, example[0])
    if not right:
        raise InvalidInputError(f"In {path}, {key} must be {wanted}, got {value!r}.")


def check_complete(path: Path, label: str, recipe: Mapping[str, Any]) -> None:
    """Refuse a recipe that lacks what its parts need.

    Raises:
        InvalidInputError: The message names the file, the sound and the key.
    """
    for part, needed in _NEEDED.items():
        value = recipe.get(part, [])
        for item in value if isinstance(value, list) else [value]:
            grain = item.get("grain", {})
            lacking = [name for name in needed if name not in item]
            if "grain" in item:
                parts = ("kind", *_NEEDED_BY_GRAIN.get(grain.get("kind"), ()))
                lacking += [f"grain.{name}" for name in parts if name not in grain]
            if lacking:
                raise InvalidInputError(f"With {path}, the recipe of {label} lacks {part}.{lacking[0]}.")
