"""Cards: what a backend is and which options it has, read from YAML without importing it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from .errors import InvalidInputError

Role = Literal["encoder", "generator", "aligner", "refiner"]
ROLES: tuple[Role, ...] = ("encoder", "generator", "aligner", "refiner")
API_VERSIONS = range(1, 2)
CARD_FILE = "versasound.yaml"

_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "path": (str, Path),
}


@attrs.frozen(kw_only=True)
class OptionSpec:
    """One option of a backend: the flag, the widget, the YAML check and the line of the reference page.

    Args:
        name: As the constructor takes it.
        type: `bool`, `int`, `float`, `str` or `path`.
        default: Of that type, or None where the backend decides.
        help: What it does, in a sentence.
        min: Smallest number.
        max: Largest number.
        step: A sensible step of a slider.
        unit: Of the number.
        choices: The only values allowed.
    """

    name: str
    type: Literal["bool", "int", "float", "str", "path"]
    default: Any = None
    help: str = ""
    min: float | None = None
    max: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[Any, ...] | None = attrs.field(default=None, converter=lambda c: None if c is None else tuple(c))

    def __attrs_post_init__(self) -> None:
        if self.type not in _TYPES:
            raise InvalidInputError(f"option {self.name}: type must be one of {', '.join(_TYPES)}, not {self.type!r}.")
        self.check(self.default)

    def check(self, value: Any) -> Any:  # noqa: ANN401
        """Return `value` if the option may take it.

        Raises:
            InvalidInputError: Saying what came and what is wanted.
        """
        if value is None and self.default is None:
            return None
        kinds = _TYPES[self.type]
        right = isinstance(value, kinds) and (self.type == "bool" or not isinstance(value, bool))
        if not right or (isinstance(value, float) and not math.isfinite(value)):
            raise InvalidInputError(f"{self.name}={value!r}: wanted {self.wanted}.")
        low, high = self.min, self.max
        if (low is not None and value < low) or (high is not None and value > high):
            raise InvalidInputError(f"{self.name}={value!r}: wanted {self.wanted}.")
        if self.choices is not None and value not in self.choices:
            raise InvalidInputError(f"{self.name}={value!r}: wanted {self.wanted}.")
        return value

    @property
    def wanted(self) -> str:
        """The values allowed, in words."""
        if self.choices is not None:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        words = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "path": "a path"}
        text = words[self.type]
        if self.min is not None and self.max is not None:
            text += f" from {self.min:g} to {self.max:g}"
        elif self.min is not None:
            text += f" of at least {self.min:g}"
        elif self.max is not None:
            text += f" of at most {self.max:g}"
        return f"{text} {self.unit}".rstrip()


def _options(raw: Mapping[str, Any] | None) -> dict[str, OptionSpec]:
    known = {field.name for field in attrs.fields(OptionSpec)} - {"name"}
    return {
        name: OptionSpec(name=name, **{key: value for key, value in spec.items() if key in known})
        for name, spec in (raw or {}).items()
    }


@attrs.frozen(kw_only=True)
class BackendCard:
    """What a backend says of itself.

    Args:
        summary: One sentence.
        options: By name, in the order of the card.
        variants: Checkpoints of one family, name to repository.
        weights: Where the weights come from; empty if there are none.
        code_licence: Licence of the plugin's code.
        weights_licence: Licence of the weights.
        download_gb: How large a download is.
        vram_gb: What it needs on a GPU.
        timed: Whether a generator follows the events itself.
    """

    summary: str
    options: Mapping[str, OptionSpec] = attrs.field(factory=dict, converter=_options)
    variants: Mapping[str, Any] = attrs.field(factory=dict)
    weights: str = ""
    code_licence: str = ""
    weights_licence: str = ""
    download_gb: float = 0.0
    vram_gb: float = 0.0
    timed: bool = False

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option with its value: what is given, checked, and the defaults of the rest.

        Raises:
            InvalidInputError: For an option that is not on the card or a value it cannot take.
        """
        for name in given:
            if name not in self.options:
                near = difflib.get_close_matches(name, self.options, 1)
                hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(self.options) or 'none'}."
                raise InvalidInputError(f"there is no option {name!r}.", hint)
        return {name: spec.check(given.get(name, spec.default)) for name, spec in self.options.items()}


def read_card(path: Path, role: Role, name: str) -> tuple[int, BackendCard]:
    """Read the card of one backend.

    Returns:
        The contract version that the plugin is written for, and the card. A card for another version is read no
        further than that number.

    Raises:
        InvalidInputError: If the file is missing, is not a card or does not describe this backend.
    """
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(f"its card {path.name} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"its card {path.name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("api"), int):
        raise InvalidInputError(f"its card {path.name} must be a mapping that begins with `api: 1`.")
    if raw["api"] not in API_VERSIONS:
        return raw["api"], BackendCard(summary="")
    section = raw.get(f"{role}s")
    body = section.get(name) if isinstance(section, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("summary"), str):
        raise InvalidInputError(f"its card {path.name} has no `{role}s: {name}: summary:`.")
    known = {field.name for field in attrs.fields(BackendCard)}
    try:  # unknown fields are of a newer core: they cost nothing
        return raw["api"], BackendCard(**{key: value for key, value in body.items() if key in known})
    except InvalidInputError as error:
        raise InvalidInputError(f"its card {path.name}, {role}s: {name}: {error}") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise InvalidInputError(f"its card {path.name}, {role}s: {name}: malformed ({error}).") from error
