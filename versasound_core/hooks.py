"""The life cycle that plugins may take part in, on pluggy; none of them can stop a run."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

import pluggy

from .errors import in_words
from .log import get_logger
from .switches import is_disabled, is_strict

if TYPE_CHECKING:
    from .registry import Backend, Registry

GROUP = "versasound.hooks"
hookspec = pluggy.HookspecMarker("versasound")
hookimpl = pluggy.HookimplMarker("versasound")
# What a plugin's code may end in; Ctrl-C must still get through.
PLUGIN_FAILURES = (Exception, SystemExit)
_log = get_logger(__name__)


class HookSpecs:
    """What a plugin may implement; an implementation may take any subset of the arguments."""

    @hookspec
    def versasound_register(self, registry: Registry) -> None:
        """Add backends with `registry.register(role, name, target, card)`."""

    @hookspec
    def versasound_register_commands(self, cli: Any) -> None:  # noqa: ANN401
        """Add commands: `cli` is argparse's sub-parsers; set the default `run` to a function of the arguments."""

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
        self._reported: set[str] = set()
        self._manager = pluggy.PluginManager("versasound")
        self._manager.add_hookspecs(HookSpecs)
        self._registry: Registry | None = None

    def load(self, registry: Registry) -> None:
        """Load every plugin of the entry-point group `versasound.hooks`, once, and let each register its backends."""
        if self._registry is not None:
            return
        self._registry = registry
        self._call("versasound_register", {"registry": registry})  # of the plugins that came by `register`
        for entry in importlib.metadata.entry_points(group=GROUP):
            owner = entry.dist.name if entry.dist is not None else entry.name
            if is_disabled(entry.name, owner):
                continue
            try:
                self.register(entry.load(), name=f"{owner}:{entry.name}")
            except PLUGIN_FAILURES as error:
                self._fail(f"hooks of {owner}:{entry.name}", error)

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add one plugin: a module or an object with hook implementations.

        Its backends are registered at once, or when the other plugins are loaded if that is yet to come.

        Raises:
            ValueError: If it is registered already.
            pluggy.PluginValidationError: If an implementation wants an argument that its hook does not have.
        """
        self._manager.register(plugin, name)
        for caller in self._manager.get_hookcallers(plugin) or []:
            if not caller.has_spec():
                self._fail(f"{self._manager.get_name(plugin)}.{caller.name}", LookupError("there is no such hook"))
        if self._registry is not None:
            self._call("versasound_register", {"registry": self._registry}, only=plugin)

    def call(self, hook: str, **arguments: Any) -> None:  # noqa: ANN401
        """Call every implementation of `hook`; one that raises is reported, once, and the rest still run."""
        self._call(hook, arguments)

    def _call(self, hook: str, arguments: dict[str, Any], only: object = None) -> None:
        # One by one, and not through pluggy's own call: there, one that raises ends it for those that come after.
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            if only is not None and implementation.plugin is not only:
                continue
            try:
                if implementation.wrapper or implementation.hookwrapper:
                    raise TypeError("a hook here is told what happens and cannot wrap it")
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except PLUGIN_FAILURES as error:
                self._fail(f"{implementation.plugin_name}.{hook}", error)

    def _fail(self, who: str, error: BaseException) -> None:
        if is_strict():
            raise error
        if who not in self._reported:  # an observer of progress would say it a hundred times
            self._reported.add(who)
            self.failures.append(f"{who}: {in_words(error)}")
            _log.warning("%s", self.failures[-1])
