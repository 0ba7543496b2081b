"""Backends by name, with the arguments of the published API that their cards know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versasound_core.errors import UnknownBackendError
from versasound_core.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versasound_core.cards import Role
    from versasound_core.registry import Backend

# VersaSound's own, each a distribution of its own.
_OWN: dict[Role, tuple[str, ...]] = {
    "encoder": ("motion", "videomae", "clip", "dinov2"),
    "generator": ("foley", "audioldm2", "stable_audio", "audiocraft"),
    "aligner": ("cross_correlation", "dtw", "learned"),
    "refiner": ("mastering",),
}


def find(role: Role, name: str) -> Backend:
    """Find a backend that can be used.

    Raises:
        UnknownBackendError: Nothing offers it; says what is installed and what may be installed.
        PluginError: It is broken, incompatible or disabled.
    """
    default_registry.hooks.load(default_registry)
    try:
        return default_registry.get(role, name)
    except UnknownBackendError as error:
        raise UnknownBackendError(error.message, f"{error.hint} {_to_install(role, name)}".rstrip()) from None


def _to_install(role: Role, name: str) -> str:
    there = {backend.bare_name for backend in default_registry.backends(role)}
    missing = [own for own in _OWN[role] if own not in there]
    commands = [f"pip install versasound-plugin-{own.replace('_', '-')}" for own in missing]
    if name in missing:
        return f"Get it: {commands[missing.index(name)]}"
    return f"There are also, to install: {'; '.join(commands)}" if commands else ""


def create(role: Role, name: str, wanted: Mapping[str, Any]) -> Any:  # noqa: ANN401  (a backend inherits nothing)
    """Make a backend with those of the wanted options that its card has.

    The published arguments are the same for all backends, and no backend has all of them.

    Raises:
        PluginError: As `find`.
        InvalidInputError: A value that the option cannot take.
    """
    card = find(role, name).card
    options = card.options if card else {}
    return default_registry.create(role, name, **{key: value for key, value in wanted.items() if key in options})
