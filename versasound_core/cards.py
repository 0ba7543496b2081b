"""Cards: what a backend is and which options it has, read from YAML without importing it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeGuard

import attrs

from .errors import InvalidInputError
from .yaml_files import read_yaml

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


def _is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a number that a float can hold; NaN is none."""
    return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _must_be(words: str, right: Callable[[Any], bool]) -> Any:  # noqa: ANN401  (what attrs.field takes as validator)
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if not right(value):
            raise InvalidInputError(f"{field.name} must be {words}, not {value!r}.")

    return check


def _as_tuple(given: Any) -> Any:  # noqa: ANN401
    return tuple(given) if isinstance(given, list) else given


_TEXT = _must_be("text", lambda value: isinstance(value, str))
_NUMBER = _must_be("a number", _is_number)
_FLAG = _must_be("true or false", lambda value: isinstance(value, bool))
_MAPPING = _must_be("a mapping", lambda value: isinstance(value, Mapping))
_BOUND = attrs.validators.optional(_NUMBER)
_CHOICES = _must_be("a list of values", lambda value: value is None or (isinstance(value, tuple) and len(value) > 0))


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
    help: str = attrs.field(default="", validator=_TEXT)
    min: float | None = attrs.field(default=None, validator=_BOUND)
    max: float | None = attrs.field(default=None, validator=_BOUND)
    step: float | None = attrs.field(default=None, validator=_BOUND)
    unit: str = attrs.field(default="", validator=_TEXT)
    choices: tuple[Any, ...] | None = attrs.field(
        default=None,
        converter=_as_tuple,
        validator=_CHOICES,
    )

    def __attrs_post_init__(self) -> None:
        if self.type not in list(_TYPES):  # a list can be asked about anything, a dict not about a list
            raise InvalidInputError(f"type must be one of {', '.join(_TYPES)}, not {self.type!r}.")
        for choice in self.choices or ():
            if not self._fits(choice):
                raise InvalidInputError(f"choices: {choice!r} is not of type {self.type}, or out of bounds.")
        self.check(self.default)

    def _fits(self, value: Any) -> bool:  # noqa: ANN401
        """Whether the type and the bounds are right. Booleans are no numbers here, though Python says they are."""
        if not isinstance(value, _TYPES[self.type]) or (isinstance(value, bool) and self.type != "bool"):
            return False
        if self.type not in {"int", "float"}:
            return True
        return _is_number(value) and not (
            (self.min is not None and value < self.min) or (self.max is not None and value > self.max)
        )

    def check(self, value: Any) -> Any:  # noqa: ANN401
        """Return `value` if the option may take it.

        Raises:
            InvalidInputError: Saying what came and what is wanted.
        """
        if value is None and self.default is None:
            return None
        if not self._fits(value) or (self.choices is not None and value not in self.choices):
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


def _options(raw: object) -> dict[str, OptionSpec]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise InvalidInputError(f"options must be a mapping, not {raw!r}.")
    known = {field.name for field in attrs.fields(OptionSpec)} - {"name"}
    options = {}
    for name, fields in raw.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidInputError(f"option {name!r}: the name must be one that a constructor can take.")
        if not isinstance(fields, Mapping) or "type" not in fields:
            raise InvalidInputError(f"option {name} must be a mapping with `type:`, not {fields!r}.")
        try:
            options[name] = OptionSpec(name=name, **{key: value for key, value in fields.items() if key in known})
        except InvalidInputError as error:
            raise InvalidInputError(f"option {name}: {error}") from error
    return options


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
        isolated: Whether it runs in an environment of its own, because what it needs cannot live beside the rest.
        requirements: The file, beside the card, with what goes into that environment, as pip reads it.
        overrides: The file, beside the card, with the versions that replace what packages in there ask for, as uv
            reads it.
    """

    summary: str = attrs.field(validator=_TEXT)
    options: Mapping[str, OptionSpec] = attrs.field(factory=dict, converter=_options)
    variants: Mapping[str, Any] = attrs.field(factory=dict, validator=_MAPPING)
    weights: str = attrs.field(default="", validator=_TEXT)
    code_licence: str = attrs.field(default="", validator=_TEXT)
    weights_licence: str = attrs.field(default="", validator=_TEXT)
    download_gb: float = attrs.field(default=0.0, validator=_NUMBER)
    vram_gb: float = attrs.field(default=0.0, validator=_NUMBER)
    timed: bool = attrs.field(default=False, validator=_FLAG)
    isolated: bool = attrs.field(default=False, validator=_FLAG)
    requirements: str = attrs.field(default="", validator=_TEXT)
    overrides: str = attrs.field(default="", validator=_TEXT)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> BackendCard:
        """Make a card of the fields that a card file or `register` gives. Unknown ones are a newer core's: they pass.

        Raises:
            InvalidInputError: Naming the field that is missing or malformed.
        """
        if "summary" not in fields:
            raise InvalidInputError("it has no `summary:`.")
        known = {field.name for field in attrs.fields(cls)}
        return cls(**{key: value for key, value in fields.items() if key in known})

    def depends_on(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a result depends on: every option, and when a file or folder among them was last changed.

        Raises:
            InvalidInputError: As `complete`.
        """
        told = self.complete(given)
        for name, option in self.options.items():
            if option.type == "path" and told[name] is not None:
                with suppress(OSError, ValueError):  # what is not there is refused by whoever reads it
                    told[f"{name}, changed"] = Path(told[name]).expanduser().stat().st_mtime_ns
        return told

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


def read_card(path: Path, role: Role, name: str) -> tuple[int, BackendCard | None]:
    """Read the card of one backend.

    Returns:
        The contract version that the plugin is written for, and the card: None if that version is not this core's,
        for then nothing else in the file can be relied on.

    Raises:
        InvalidInputError: If the file is missing, is not a card or does not describe this backend.
    """
    try:
        raw = read_yaml(path)
    except InvalidInputError as error:
        raise InvalidInputError(f"its card {path.name} {error.message}") from error
    api = raw.get("api") if isinstance(raw, dict) else None
    if not isinstance(api, int) or isinstance(api, bool):
        raise InvalidInputError(f"its card {path.name} must be a mapping that begins with `api: 1`.")
    if api not in API_VERSIONS:
        return api, None
    section = raw.get(f"{role}s")
    fields = section.get(name) if isinstance(section, dict) else None
    if not isinstance(fields, dict):
        raise InvalidInputError(f"its card {path.name} does not describe it: there is no `{role}s: {name}:`.")
    try:
        return api, BackendCard.from_fields(fields)
    except InvalidInputError as error:
        raise InvalidInputError(f"its card {path.name}, {role}s: {name}: {error}") from error
