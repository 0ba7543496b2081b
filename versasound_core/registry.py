"""Which backends there are: found by entry points and cards, imported only when one is asked for.

Listing reads package metadata and each plugin's `versasound.yaml`; it imports no plugin module, so that one broken
distribution can neither slow the list down nor stop it.
"""

from __future__ import annotations

import difflib
import enum
import importlib.metadata
import importlib.util
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from .cards import API_VERSIONS, CARD_FILE, ROLES, BackendCard, Role, read_card
from .errors import (
    AmbiguousBackendError,
    BrokenPluginError,
    IncompatiblePluginError,
    InvalidInputError,
    PluginError,
    UnknownBackendError,
    VersaSoundError,
)
from .hooks import Hooks

# A plugin's import may end in anything, SystemExit included; Ctrl-C must still get through.
PLUGIN_FAILURES = (Exception, SystemExit)


class State(enum.StrEnum):
    """What can be done with a backend."""

    READY = "ready"
    LOADED = "loaded"
    BROKEN = "broken"
    INCOMPATIBLE = "incompatible"
    DISABLED = "disabled"


@attrs.define(kw_only=True, eq=False)
class Backend:
    """One backend as the registry knows it.

    Args:
        role: Encoder, generator, aligner or refiner.
        name: What it is called by; `distribution:name` where two distributions claim one name.
        distribution: Who brought it.
        version: Of the distribution.
        target: Where its class is, as `module:attribute`.
        card: What it says of itself; None if that could not be read.
        state: What can be done with it.
        reason: Why it is broken, incompatible or disabled.
    """

    role: Role
    name: str
    distribution: str
    version: str = ""
    target: str = ""
    card: BackendCard | None = None
    state: State = State.READY
    reason: str = ""
    _load: Callable[[], Any] = attrs.field(alias="load", repr=False)
    _error: BaseException | None = attrs.field(default=None, alias="error", repr=False)

    @property
    def owner(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()

    def __str__(self) -> str:
        return f"{self.role} {self.name} ({self.owner})"


class Registry:
    """The backends that are installed or registered.

    Attributes:
        hooks: The life cycle that plugins may take part in.
    """

    def __init__(self) -> None:
        self.hooks = Hooks()
        self._lock = threading.RLock()
        self._found: list[Backend] | None = None
        self._registered: list[Backend] = []

    def backends(self, role: Role | None = None) -> list[Backend]:
        """List the backends of one role or of all, by role and name. Imports none of them.

        Raises:
            PluginError: Only with `VERSASOUND_STRICT=1`, for the first that cannot be used.
        """
        with self._lock:
            if self._found is None:
                self._found = _discover()
            everything = _tell_apart([*self._found, *self._registered])
        return [backend for backend in everything if role in {None, backend.role}]

    def refresh(self) -> None:
        """Look again at what is installed."""
        with self._lock:
            importlib.invalidate_caches()
            loaded = {(b.role, b.distribution, b.target): b for b in self._found or [] if b.state is State.LOADED}
            self._found = [loaded.get((b.role, b.distribution, b.target), b) for b in _discover()]

    def register(self, role: Role, name: str, target: Callable[..., Any], card: Mapping[str, Any] | None = None) -> None:
        """Add a backend at run time. The same name from the same package replaces the earlier one.

        Args:
            role: Its role.
            name: What it is called by.
            target: The class, or anything that makes a backend when called with the options.
            card: The fields of a card; without it, a summary from the docstring and no options.

        Raises:
            InvalidInputError: If the role is unknown or the card malformed.
        """
        if role not in ROLES:
            raise InvalidInputError(f"there is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
        if not callable(target):
            raise InvalidInputError(f"{role} {name}: {target!r} cannot be called to make a backend.")
        module = getattr(target, "__module__", "") or "registered"
        summary = (getattr(target, "__doc__", None) or name).strip().splitlines()[0]
        backend = Backend(
            role=role,
            name=name,
            distribution=module.partition(".")[0],
            target=f"{module}:{getattr(target, '__qualname__', name)}",
            card=BackendCard(**{"summary": summary, **(card or {})}),
            load=lambda: target,
        )
        with self._lock:
            key = (role, name, backend.distribution)
            self._registered = [b for b in self._registered if (b.role, b.name, b.distribution) != key] + [backend]
        _apply_disable(backend)

    def get(self, role: Role, name: str) -> Backend:
        """Find one backend that can be used, without importing it.

        Raises:
            UnknownBackendError: If nothing offers it.
            AmbiguousBackendError: If two distributions do.
            BrokenPluginError, IncompatiblePluginError: If it cannot be used.
        """
        candidates = self.backends(role)
        matches = [b for b in candidates if b.name == name]
        if not matches:
            rivals = [b.name for b in candidates if b.name.partition(":")[2] == name]
            if rivals:
                raise AmbiguousBackendError(
                    f"{len(rivals)} distributions offer the {role} {name!r}.", f"Say which: {' or '.join(rivals)}."
                )
            names = [b.name for b in candidates]
            near = difflib.get_close_matches(name, names, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise UnknownBackendError(
                f"there is no {role} {name!r}.",
                f"{hint}Installed: {', '.join(names) or 'none'}. A plugin adds one: pip install versasound-plugin-{name}",
            )
        backend = matches[0]
        if backend.state in {State.READY, State.LOADED}:
            return backend
        if backend.state is State.INCOMPATIBLE:
            raise IncompatiblePluginError(f"{backend} cannot be used: {backend.reason}")
        if backend.state is State.DISABLED:
            raise PluginError(f"{backend} is disabled.", "Take it out of VERSASOUND_DISABLE.")
        raise BrokenPluginError(
            f"{backend} is broken: {backend.reason}",
            f"pip install --force-reinstall {backend.distribution} may mend it, pip uninstall removes it.",
        ) from backend._error  # noqa: SLF001

    def create(self, role: Role, name: str, **options: Any) -> Any:  # noqa: ANN401
        """Make a backend with these options, and the card's defaults for the rest.

        Raises:
            PluginError: If it does not exist or fails.
            InvalidInputError: If an option is not on its card or has a value that it cannot take.
        """
        backend = self.get(role, name)
        card = backend.card or BackendCard(summary="")
        try:
            values = card.complete(options)
        except InvalidInputError as error:
            raise InvalidInputError(f"{role} {name}: {error.message}", error.hint) from error
        factory = self._import(backend)
        try:
            return factory(**values)
        except VersaSoundError:
            raise
        except PLUGIN_FAILURES as error:
            if _strict():
                raise
            raise BrokenPluginError(f"{backend} failed when it was made: {_words(error)}") from error

    def _import(self, backend: Backend) -> Callable[..., Any]:
        try:
            factory: Callable[..., Any] = backend._load()  # noqa: SLF001
        except PLUGIN_FAILURES as error:
            backend.state, backend.reason, backend._error = State.BROKEN, _words(error), error  # noqa: SLF001
            if _strict():
                raise
            self.get(backend.role, backend.name)  # raises, now that it is known to be broken
            raise  # pragma: no cover
        if backend.state is not State.LOADED:
            backend.state = State.LOADED
            self.hooks.call("versasound_backend_loaded", backend=backend)
        return factory


def _discover() -> list[Backend]:
    found: dict[tuple[str, str, str], Backend] = {}
    for role in ROLES:
        for entry in importlib.metadata.entry_points(group=f"versasound.{role}s"):
            dist = entry.dist
            owner = _normal(dist.name) if dist is not None and dist.name else "unknown"
            backend = Backend(
                role=role,
                name=entry.name,
                distribution=owner,
                version=dist.version if dist is not None else "",
                target=entry.value,
                load=entry.load,
            )
            # sys.path may lead to one distribution twice; the first is the one that is imported
            if found.setdefault((role, entry.name, owner), backend) is backend:
                _read(backend, entry.value)
    return list(found.values())


def _read(backend: Backend, target: str) -> None:
    """Fill in the card and the state of a backend, from files alone."""
    if _apply_disable(backend):
        return
    try:
        package = target.partition(":")[0].partition(".")[0].strip()
        spec = importlib.util.find_spec(package)  # of the top-level name only: a dotted one would import its parent
        if spec is None:
            raise InvalidInputError(f"its entry point {target!r} leads nowhere: there is no module {package!r}.")  # noqa: TRY301
        places = list(spec.submodule_search_locations or [])
        if not places:
            raise InvalidInputError(f"{package!r} must be a package with its card {CARD_FILE} in it.")  # noqa: TRY301
        api, backend.card = read_card(Path(places[0]) / CARD_FILE, backend.role, backend.name)
        if api not in API_VERSIONS:
            backend.card = None
            backend.state = State.INCOMPATIBLE
            side = "pip install -U versasound-core" if api >= API_VERSIONS.stop else f"pip install -U {backend.distribution}"
            spoken = ", ".join(str(version) for version in API_VERSIONS)
            backend.reason = f"it is written for api {api}, and this core speaks {spoken}. Try: {side}"
            if _strict():
                raise IncompatiblePluginError(f"{backend}: {backend.reason}")
    except IncompatiblePluginError:
        raise
    except PLUGIN_FAILURES as error:
        backend.state, backend.reason, backend._error = State.BROKEN, _words(error), error  # noqa: SLF001
        if _strict():
            raise BrokenPluginError(f"{backend} is broken: {backend.reason}") from error


def _tell_apart(backends: list[Backend]) -> list[Backend]:
    """Name backends `distribution:name` where several distributions claim one name."""
    claims: dict[tuple[str, str], list[Backend]] = {}
    for backend in backends:
        bare = backend.name.rpartition(":")[2]
        claims.setdefault((backend.role, bare), []).append(backend)
    for (_, bare), rivals in claims.items():
        for backend in rivals:
            backend.name = f"{backend.distribution}:{bare}" if len(rivals) > 1 else bare
    return sorted(backends, key=lambda b: (ROLES.index(b.role), b.name))


def _apply_disable(backend: Backend) -> bool:
    disabled = {word.strip() for word in os.environ.get("VERSASOUND_DISABLE", "").split(",")}
    if disabled & {backend.name, backend.distribution, f"{backend.distribution}:{backend.name}"}:
        backend.state, backend.reason = State.DISABLED, "named in VERSASOUND_DISABLE"
    return backend.state is State.DISABLED


def _strict() -> bool:
    return os.environ.get("VERSASOUND_STRICT", "") not in {"", "0"}


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, VersaSoundError) else f"{type(error).__name__}: {error}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


default_registry = Registry()
backends = default_registry.backends
create = default_registry.create
get = default_registry.get
refresh = default_registry.refresh
register = default_registry.register
