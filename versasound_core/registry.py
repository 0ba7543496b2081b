"""Which backends there are: found by entry points and cards, imported only when one is asked for.

Listing reads package metadata and each plugin's `versasound.yaml`; it imports no plugin module, so that one broken
distribution can neither slow the list down nor stop it.
"""

from __future__ import annotations

import difflib
import enum
import importlib.metadata
import importlib.util
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    in_words,
)
from .hooks import PLUGIN_FAILURES, Hooks
from .switches import canonical, is_disabled, is_strict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
        bare_name: What it is called on its card, and by whoever registered it.
        distribution: Who brought it; the top-level package if it was registered at run time.
        version: Of the distribution.
        target: Where its class is, as `module:attribute`.
        folder: Where its card is, and the files that the card names; None if it was registered at run time.
        card: What it says of itself; None if that could not be read.
        state: What can be done with it.
        reason: Why it is broken, incompatible or disabled.
    """

    role: Role
    name: str = attrs.field(init=False)
    bare_name: str
    distribution: str
    version: str = ""
    target: str = ""
    folder: Path | None = None
    card: BackendCard | None = None
    state: State = State.READY
    reason: str = ""
    _load: Callable[[], Any] = attrs.field(alias="load", repr=False)
    _error: BaseException | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.name = self.bare_name

    @property
    def full_name(self) -> str:
        """`distribution:name`, which nothing else is called."""
        return f"{self.distribution}:{self.bare_name}"

    @property
    def owner(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()

    def __str__(self) -> str:
        return f"{self.role} {self.name} ({self.owner})"


class Registry:
    """The backends that are installed or registered.

    Args:
        isolate: Whether backends whose card says `isolated` are made in an environment of their own. Inside of that
            environment they are not.

    Attributes:
        hooks: The life cycle that plugins may take part in.
    """

    def __init__(self, *, isolate: bool = True) -> None:
        self.hooks = Hooks()
        self._isolate = isolate
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
            merged = {(b.role, b.full_name): b for b in [*self._found, *self._registered]}  # the later one replaces
            everything = _tell_apart(list(merged.values()))
        return [backend for backend in everything if role in {None, backend.role}]

    def refresh(self) -> None:
        """Look again at what is installed."""
        with self._lock:
            importlib.invalidate_caches()
            loaded = {(b.role, b.distribution, b.target): b for b in self._found or [] if b.state is State.LOADED}
            self._found = [loaded.get((b.role, b.distribution, b.target), b) for b in _discover()]

    def register(
        self, role: Role, name: str, target: Callable[..., Any], card: Mapping[str, Any] | None = None
    ) -> None:
        """Add a backend at run time. It replaces what its own package called by that name before.

        Args:
            role: Its role.
            name: What it is called by.
            target: The class, or anything that makes a backend when called with the options.
            card: The fields of a card; without it, a summary from the docstring and no options.

        Raises:
            InvalidInputError: If the role is unknown, the target cannot be called or the card is malformed.
        """
        if role not in ROLES:
            raise InvalidInputError(f"there is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
        if not name or ":" in name:
            raise InvalidInputError(f"a {role} cannot be called {name!r}.", "A colon parts a distribution from a name.")
        if not callable(target):
            raise InvalidInputError(f"{role} {name}: {target!r} cannot be called to make a backend.")
        module = getattr(target, "__module__", None) or "registered"
        summary = (getattr(target, "__doc__", None) or "").strip().partition("\n")[0] or name
        try:
            read = BackendCard.from_fields({"summary": summary, **(card or {})})
        except InvalidInputError as error:
            raise InvalidInputError(f"{role} {name}: {error.message}", error.hint) from error
        backend = Backend(
            role=role,
            bare_name=name,
            distribution=canonical(module.partition(".")[0]).strip("-"),
            target=f"{module}:{getattr(target, '__qualname__', name)}",
            card=read,
            load=lambda: target,
        )
        _apply_disable(backend)
        with self._lock:
            rest = [b for b in self._registered if (b.role, b.full_name) != (role, backend.full_name)]
            self._registered = [*rest, backend]

    def get(self, role: Role, name: str) -> Backend:
        """Find one backend that can be used, without importing it.

        Raises:
            UnknownBackendError: If nothing offers it.
            AmbiguousBackendError: If two distributions do.
            BrokenPluginError, IncompatiblePluginError: If it cannot be used.
        """
        candidates = self.backends(role)
        matches = [b for b in candidates if name in {b.name, b.full_name}]
        if not matches:
            rivals = [b for b in candidates if b.bare_name == name]
            matches = [b for b in rivals if b.state is not State.DISABLED]
            if len(matches) > 1:
                raise AmbiguousBackendError(
                    f"{len(matches)} distributions offer the {role} {name!r}.",
                    f"Say which: {' or '.join(b.name for b in matches)}.",
                )
            matches = matches or rivals
        if not matches:
            raise _unknown(role, name, [b.name for b in candidates])
        backend = matches[0]
        if backend.state not in {State.READY, State.LOADED}:
            raise _refusal(backend) from backend._error
        return backend

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
            if is_strict():
                raise
            raise BrokenPluginError(f"{backend} failed when it was made: {in_words(error)}") from error

    def _is_elsewhere(self, backend: Backend) -> bool:
        return self._isolate and backend.card is not None and backend.card.isolated

    def _import(self, backend: Backend) -> Callable[..., Any]:
        try:
            factory: Callable[..., Any] = backend._load() if not self._is_elsewhere(backend) else _proxy(backend)
            if not callable(factory):
                raise TypeError(f"{backend.target} is {factory!r}, which makes no backend")
        except PLUGIN_FAILURES as error:
            backend.state, backend.reason, backend._error = State.BROKEN, in_words(error), error
            if is_strict():
                raise
            raise _refusal(backend) from error
        if backend.state is not State.LOADED:
            backend.state = State.LOADED
            self.hooks.call("versasound_backend_loaded", backend=backend)
        return factory


def _discover() -> list[Backend]:
    found: dict[tuple[str, str], Backend] = {}
    installed = importlib.metadata.entry_points()
    for role in ROLES:
        for entry in installed.select(group=f"versasound.{role}s"):
            dist = entry.dist
            backend = Backend(
                role=role,
                bare_name=entry.name,
                distribution=canonical((dist and dist.name) or "unknown"),
                version=(dist and dist.version) or "",
                target=entry.value,
                load=entry.load,
            )
            # sys.path may lead to one distribution twice; the first is the one that is imported
            if found.setdefault((role, backend.full_name), backend) is backend:
                _examine(backend)
    return list(found.values())


def _examine(backend: Backend) -> None:
    """Fill in the card and the state of a backend, from files alone."""
    if _apply_disable(backend):
        return
    try:
        card = _card_of(backend.target)
        backend.folder = card.parent
        api, backend.card = read_card(card, backend.role, backend.bare_name)
    except PLUGIN_FAILURES as error:
        backend.state, backend.reason, backend._error = State.BROKEN, in_words(error), error
        if is_strict():
            raise _refusal(backend) from error
        return
    if api not in API_VERSIONS:
        late = "versasound-core" if api >= API_VERSIONS.stop else backend.distribution
        spoken = ", ".join(str(version) for version in API_VERSIONS)
        backend.state = State.INCOMPATIBLE
        backend.reason = f"it is written for api {api}, and this core speaks {spoken}. Try: pip install -U {late}"
        if is_strict():
            raise _refusal(backend)


def _proxy(backend: Backend) -> Callable[..., Any]:
    from .worker.proxy import proxy

    return proxy(backend)


def _card_of(target: str) -> Path:
    package = target.partition(":")[0].partition(".")[0].strip()
    spec = importlib.util.find_spec(package)  # of the top-level name only: a dotted one would import its parent
    if spec is None:
        raise InvalidInputError(f"its entry point {target!r} leads nowhere: there is no module {package!r}.")
    if not spec.submodule_search_locations:
        raise InvalidInputError(f"{package!r} must be a package with its card {CARD_FILE} in it.")
    return Path(next(iter(spec.submodule_search_locations))) / CARD_FILE


def _tell_apart(backends: list[Backend]) -> list[Backend]:
    """Name backends `distribution:name` where several distributions claim one name."""
    claims = Counter((backend.role, backend.bare_name) for backend in backends)
    for backend in backends:
        shared = claims[backend.role, backend.bare_name] > 1
        backend.name = backend.full_name if shared else backend.bare_name
    return sorted(backends, key=lambda b: (ROLES.index(b.role), b.name))


def _apply_disable(backend: Backend) -> bool:
    if is_disabled(backend.bare_name, backend.distribution):
        backend.state, backend.reason = State.DISABLED, "named in VERSASOUND_DISABLE"
    return backend.state is State.DISABLED


def _unknown(role: Role, name: str, names: list[str]) -> UnknownBackendError:
    near = difflib.get_close_matches(name, names, 1)
    hint = f"Did you mean {near[0]}? " if near else ""
    hint += (
        f"Installed: {', '.join(names)}." if names else 'Get the default ones: pip install "versasound-core[default]"'
    )
    return UnknownBackendError(f"there is no {role} {name!r}.", hint)


def _refusal(backend: Backend) -> PluginError:
    if backend.state is State.DISABLED:
        return PluginError(f"{backend} is disabled: {backend.reason}.", "Take it out of there to use it.")
    if backend.state is State.INCOMPATIBLE:
        return IncompatiblePluginError(f"{backend} cannot be used: {backend.reason}")
    return BrokenPluginError(
        f"{backend} is broken: {backend.reason.removesuffix('.')}.",
        f"pip install --force-reinstall {backend.distribution} may mend it, pip uninstall removes it.",
    )


default_registry = Registry()
backends = default_registry.backends
create = default_registry.create
get = default_registry.get
refresh = default_registry.refresh
register = default_registry.register
