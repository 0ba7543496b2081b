"""The life cycle that plugins may take part in, on pluggy; none of them can stop a run."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

import pluggy

from .log import get_logger

if TYPE_CHECKING:
    from .registry import Backend, Registry

GROUP = "versasound.hooks"
hookspec = pluggy.HookspecMarker("versasound")
hookimpl = pluggy.HookimplMarker("versasound")
_log = get_logger(__name__)


class HookSpecs:
    """What a plugin may implement; an implementation may take any subset of the arguments."""

    @hookspec
    def versasound_register(self, registry: Registry) -> None:
        """Add backends with `registry.register(role, name, target, card)`."""

    @hookspec
    def versasound_register_commands(self, cli: Any) -> None:  # noqa: ANN401
        """Add commands to the command line: `cli` is argparse's sub-parsers; set `run` to a function of the arguments."""

    @hookspec
    def versasound_backend_loaded(self, backend: Backend) -> None:
        """A backend's code was imported for the first time."""

    @hookspec
    def versasound_run_started(self, clip: Any, recipe: Any) -> None:  # noqa: ANN401
        """A clip is about to be given its sound."""

    @hookspec
    def versasound_progress(self, fraction: float, message: str) -> None:
        """A run has come so far, 0 to 1."""

    @hookspec
    def versasound_run_finished(self, result: Any, error: BaseException | None) -> None:  # noqa: ANN401
        """A run ended with a result, or with an error."""


class Hooks:
    """The plugins that listen, each called behind a guard.

    Attributes:
        failures: One line for each plugin that failed to load or raised.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._manager = pluggy.PluginManager("versasound")
        self._manager.add_hookspecs(HookSpecs)
        self._registry: Registry | None = None

    def load(self, registry: Registry) -> None:
        """Load every plugin of the entry-point group `versasound.hooks`, once, and let each register its backends."""
        if self._registry is not None:
            return
        self._registry = registry
        disabled = {word.strip() for word in os.environ.get("VERSASOUND_DISABLE", "").split(",")}
        for entry in importlib.metadata.entry_points(group=GROUP):
            owner = entry.dist.name if entry.dist is not None else entry.name
            if {entry.name, owner} & disabled:
                continue
            try:
                self.register(entry.load(), name=f"{owner}:{entry.name}")
            except (Exception, SystemExit) as error:  # noqa: BLE001  (a broken plugin must not stop the others)
                self._fail(f"hooks of {owner}", error)

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add one plugin: a module or an object with hook implementations. Its backends are registered at once."""
        self._manager.register(plugin, name)
        for caller in self._manager.get_hookcallers(plugin) or []:
            if not caller.has_spec():
                self._fail(f"hooks of {name or plugin!r}", LookupError(f"there is no hook {caller.name!r}"))
        if self._registry is not None:
            self._call("versasound_register", {"registry": self._registry}, only=plugin)

    def call(self, hook: str, **arguments: Any) -> None:  # noqa: ANN401
        """Call every implementation of `hook`; one that raises is reported and the rest still run."""
        self._call(hook, arguments)

    def _call(self, hook: str, arguments: dict[str, Any], only: object = None) -> None:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if only is not None and implementation.plugin is not only:
                continue
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except (Exception, SystemExit) as error:  # noqa: BLE001
                self._fail(f"{implementation.plugin_name}.{hook}", error)

    def _fail(self, who: str, error: BaseException) -> None:
        if os.environ.get("VERSASOUND_STRICT", "") not in {"", "0"}:
            raise error
        line = f"{who}: {type(error).__name__}: {error}"
        if line not in self.failures:
            self.failures.append(line)
            _log.warning("%s", line)
