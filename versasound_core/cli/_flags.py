"""Flags for the options of backends, made from the cards of those that a command line names."""

from __future__ import annotations

import argparse
import difflib
from typing import TYPE_CHECKING, Any, cast

import attrs

from versasound_core.cards import ROLES, OptionSpec, Role
from versasound_core.config import BACKEND_KEYS, Config, load_config
from versasound_core.errors import InvalidInputError, PluginError, UnknownBackendError
from versasound_core.recipe import Recipe
from versasound_core.registry import Backend, default_registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._parser import Parser

OPTIONAL_ROLES: tuple[Role, ...] = ("aligner", "refiner")
_METAVARS = {"int": "N", "float": "X", "str": "TEXT", "path": "PATH"}


def add_backend_flags(parser: Parser, words: list[str], roles: tuple[Role, ...] = ROLES) -> None:
    """Add a group of flags for each backend that `words` or the configuration they name choose.

    What is chosen is left in the defaults `backends` and `configuration` of the parser.

    Raises:
        InvalidInputError: If the configuration cannot be read.
        PluginError: If a backend cannot be used.
    """
    look = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("config", *roles):
        look.add_argument(f"--{name}")
    try:
        given = look.parse_known_args(words)[0]
    except argparse.ArgumentError:  # a flag without its value: the parser itself says so
        return
    asks_for_help = not words or "-h" in words or "--help" in words
    config = None if given.config is None else load_config(given.config)
    chosen: dict[Role, Backend | None] = {}
    for role in roles:
        name = getattr(given, role) or (config.backend(role)[0] if config else getattr(Recipe(), role))
        try:
            chosen[role] = None if role in OPTIONAL_ROLES and name == "none" else _find(role, name)
        except PluginError as error:
            if not asks_for_help:
                raise _left_out(error, role, name) if config and not getattr(given, role) else error from error
            chosen[role] = None
    for role, backend in chosen.items():
        _refuse_others(parser, words, role, backend)
        if backend and backend.card and backend.card.options:
            group = parser.add_argument_group(f"{role} {backend.name}", backend.card.summary)
            for spec in backend.card.options.values():
                _add_flag(group, role, spec)
    parser.set_defaults(backends=chosen, configuration=config)


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Return the recipe that a command line describes: the defaults or the configuration, and what was given.

    Raises:
        InvalidInputError: If a value cannot be used.
    """
    given = {f.name: getattr(args, f.name) for f in attrs.fields(Recipe) if f.name not in ROLES and f.name in args}
    config: Config | None = args.configuration
    base = Recipe()
    if config is not None:
        for role, backend in args.backends.items():
            name = backend.name if backend else "none"
            if name != config.backend(role)[0]:
                section = config.section(role)
                section[BACKEND_KEYS[role][1]], section["options"] = name, {}
        base = Recipe.from_config(config)
    for role, backend in args.backends.items():
        given[role] = backend.name if backend else None
        options = {} if backend is None else getattr(base, f"{role}_options")
        given[f"{role}_options"] = options | {
            key.partition(".")[2]: value for key, value in vars(args).items() if key.startswith(f"{role}.")
        }
    return attrs.evolve(base, **given)


def _left_out(error: PluginError, role: Role, name: str) -> PluginError:
    """Say where the name of a backend comes from that a configuration chooses, perhaps by leaving it out."""
    key, default = ".".join(BACKEND_KEYS[role]), Config().backend(role)[0]
    if name != default:
        return error
    why = f"A configuration that leaves {key} out has {default}; without weights, {getattr(Recipe(), role)} works."
    return type(error)(error.message, f"{why} {error.hint or ''}".rstrip())


def _find(role: Role, name: str) -> Backend:
    try:
        return default_registry.get(role, name)
    except UnknownBackendError:
        default_registry.hooks.load(default_registry)  # a plugin may add it at run time
        return default_registry.get(role, name)


def _add_flag(group: argparse._ArgumentGroup, role: Role, spec: OptionSpec) -> None:
    flag = _flag(role, spec.name)
    dest = f"{role}.{spec.name}"
    text = spec.help
    if spec.default is not None and spec.default != "":
        default = ("on" if spec.default else "off") if spec.type == "bool" else spec.default
        text = f"{text} (default: {default} {spec.unit}".rstrip() + ")"
    text = text.replace("%", "%%")
    if spec.type == "bool":
        group.add_argument(flag, dest=dest, help=text, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        return
    metavar = (
        "{" + ",".join(map(str, spec.choices)) + "}" if spec.choices else spec.unit.upper() or _METAVARS[spec.type]
    )
    group.add_argument(flag, dest=dest, help=text, metavar=metavar, type=_reader(spec), default=argparse.SUPPRESS)


def _flag(role: Role, name: str) -> str:
    return f"--{role}-{name.replace('_', '-')}"


def _reader(spec: OptionSpec) -> Callable[[str], Any]:
    convert = cast("Callable[[str], Any]", {"int": int, "float": float}.get(spec.type, str))

    def read(text: str) -> Any:  # noqa: ANN401
        try:
            return spec.check(convert(text))
        except (ValueError, InvalidInputError):
            raise argparse.ArgumentTypeError(f"{text!r}: wanted {spec.wanted}") from None

    return read


def _refuse_others(parser: Parser, words: list[str], role: Role, backend: Backend | None) -> None:
    """Say whose option it is that the chosen backend does not have."""
    own = backend.card.options if backend and backend.card else {}
    flags = [_flag(role, name) for name in own]
    for word in words[: words.index("--")] if "--" in words else words:
        flag = word.partition("=")[0]
        if flag.startswith(f"--no-{role}-"):
            flag = f"--{flag.removeprefix('--no-')}"
        if not flag.startswith(f"--{role}-") or flag in flags:
            continue
        name = flag.removeprefix(f"--{role}-").replace("-", "_")
        owners = [b.name for b in default_registry.backends(role) if b.card and name in b.card.options]
        near = difflib.get_close_matches(name, own, 1)
        if owners:
            hint = f"It belongs to --{role} {' or '.join(owners)}."
        elif near:
            hint = f"Did you mean {_flag(role, near[0])}?"
        else:
            hint = f"It has: {', '.join(flags) or 'none'}."
        who = (
            f"the {role} {backend.name} has no option {name!r}" if backend else f"no {role} runs that could take {flag}"
        )
        parser.error(f"{who}. {hint}")
