"""The life cycle: each plugin loaded, and each observer called, behind a guard."""

from __future__ import annotations

import logging
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest

from versasound_core.hooks import HookSpecs, hookimpl
from versasound_core.registry import Registry

LOAD = """
from versasound_core.registry import default_registry as registry
registry.hooks.load(registry)
"""


@pytest.fixture(scope="module")
def site(install: Callable[..., Path]) -> Path:
    return install("observer", "hook_raises", "hook_import_raises", "hook_misspelt", "rival_a")


class TestInstalledObservers:
    def test_each_failure_to_load_is_reported_with_its_owner(self, ask, site):
        failures = ask(LOAD + "answer = registry.hooks.failures", site)
        for owner, words in {
            "versasound-test-hook-import-raises:broken-import": "ImportError: libobserver.so.1: cannot open",
            "versasound-test-hook-misspelt:misspelt.versasound_run_begun": "there is no such hook",
            "versasound-test-hook-misspelt:wants-more": "seconds_left",
            "versasound-test-hook-raises:raises.versasound_register": "KeyError: 'register'",
        }.items():
            assert len([line for line in failures if owner in line and words in line]) == 1, owner
        assert len(failures) == 4
        assert not [line for line in failures if "\n" in line]

    def test_those_after_one_that_raises_are_still_told_what_they_asked_for(self, ask, site):
        told, loaded, misspelt, failures = ask(
            LOAD + "before = len(registry.hooks.failures)\n"
            "registry.hooks.call('versasound_run_started', clip='a clip', recipe='a recipe')\n"
            "for step in range(3): registry.hooks.call('versasound_progress', fraction=step / 2, message='')\n"
            "registry.create('generator', 'bell'); registry.create('generator', 'bell')\n"
            "registry.hooks.call('versasound_run_finished', result='a result', error=None)\n"
            "from versasound_test_observer import told\n"
            "from versasound_test_hook_misspelt import told as misspelt\n"
            "loaded = [b.state for b in registry.backends() if b.name == 'bell']\n"
            "answer = [told, loaded, misspelt, registry.hooks.failures[before:]]",
            site,
        )
        progress = [["progress", 0.0], ["progress", 0.5], ["progress", 1.0]]
        assert told == [["started", "a clip"], *progress, ["loaded", "bell"], ["finished"]]
        assert loaded == ["loaded"]
        assert misspelt == ["a result"]
        raises = "versasound-test-hook-raises:raises.versasound_"
        assert failures == [
            f"{raises}run_started: ValueError: no a recipe for a clip",
            f"{raises}progress: SystemExit: gave up at 0.0",
            f"{raises}backend_loaded: OSError: bell",
        ]

    def test_a_backend_registered_at_load_is_listed(self, ask, site):
        code = "answer = [[b.state, b.distribution] for b in registry.backends('aligner') if b.name == 'late']"
        assert ask("from versasound_core import registry\n" + code, site) == []
        assert ask(LOAD + code, site) == [["ready", "versasound-test-observer"]]

    def test_loading_twice_is_loading_once(self, ask, site):
        code = "before = list(registry.hooks.failures)\nregistry.hooks.load(registry)\n"
        assert ask(LOAD + code + "answer = registry.hooks.failures == before", site) is True

    @pytest.mark.parametrize(
        "value",
        ["raises", "versasound-test-hook-raises", "Versasound_Test_Hook_Raises", "versasound-test-hook-raises:raises"],
    )
    def test_one_that_is_disabled_is_not_loaded(self, ask, site, value):
        code = "import sys\nanswer = ['versasound_test_hook_raises' in sys.modules, registry.hooks.failures]"
        loaded, failures = ask(LOAD + code, site, VERSASOUND_DISABLE=value)
        assert not loaded
        assert not [line for line in failures if "hook-raises" in line]

    @pytest.mark.parametrize(
        ("folder", "error"),
        [
            ("hook_import_raises", "ImportError"),
            ("hook_misspelt", "LookupError"),
            ("hook_raises", "KeyError"),
        ],
    )
    def test_strictness_raises_what_they_raise(self, ask, install, folder, error):
        code = "try:\n    " + "\n    ".join(LOAD.strip().splitlines()) + "\n    answer = None\n"
        code += "except BaseException as error: answer = [k.__name__ for k in type(error).__mro__]"
        assert error in ask(code, install(folder), VERSASOUND_STRICT="1")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry to which nothing is installed."""
    monkeypatch.setattr("sys.path", [])
    return Registry()


def observer(**implementations: Callable[..., Any]) -> types.SimpleNamespace:
    return types.SimpleNamespace(**{name: hookimpl(function) for name, function in implementations.items()})


class TestRegisteredObservers:
    def test_backends_come_at_once_or_when_the_others_are_loaded(self, registry):
        registry.hooks.register(observer(versasound_register=lambda registry: registry.register("refiner", "one", int)))
        assert [b.name for b in registry.backends()] == []
        registry.hooks.load(registry)
        assert [b.name for b in registry.backends()] == ["one"]
        registry.hooks.register(observer(versasound_register=lambda registry: registry.register("refiner", "two", int)))
        assert [b.name for b in registry.backends()] == ["one", "two"]

    def test_the_order_is_that_of_pluggy(self, registry):
        ours, theirs = [], []
        theirs_manager = pluggy.PluginManager("versasound")
        theirs_manager.add_hookspecs(HookSpecs)
        for name, order in {"a": {}, "b": {"trylast": True}, "c": {}, "d": {"tryfirst": True}}.items():
            for calls, register in ((ours, registry.hooks.register), (theirs, theirs_manager.register)):

                @hookimpl(**order)
                def versasound_progress(calls=calls, name=name):
                    calls.append(name)

                register(types.SimpleNamespace(versasound_progress=versasound_progress))
        registry.hooks.call("versasound_progress", fraction=0.0, message="")
        theirs_manager.hook.versasound_progress(fraction=0.0, message="")
        assert ours == theirs == ["d", "c", "a", "b"]

    def test_a_failure_is_reported_once_for_each_hook_of_each_observer(self, registry, caplog):
        def fail(fraction):
            raise ValueError(f"at {fraction}")

        def fail_too(fraction):
            fail(fraction)

        registry.hooks.register(observer(versasound_progress=fail), "first")
        registry.hooks.register(observer(versasound_progress=fail_too), "second")
        with caplog.at_level(logging.WARNING):
            for step in range(5):
                registry.hooks.call("versasound_progress", fraction=step, message="")
        assert sorted(registry.hooks.failures) == [
            "first.versasound_progress: ValueError: at 0",
            "second.versasound_progress: ValueError: at 0",
        ]
        assert sorted(record.getMessage() for record in caplog.records) == sorted(registry.hooks.failures)

    def test_ctrl_c_gets_through(self, registry):
        def interrupt():
            raise KeyboardInterrupt

        registry.hooks.register(observer(versasound_progress=interrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.hooks.call("versasound_progress", fraction=0.0, message="")
        assert registry.hooks.failures == []

    @pytest.mark.parametrize("kind", ["wrapper", "hookwrapper"])
    def test_a_wrapper_is_told_that_it_cannot_be_one(self, registry, kind):
        @hookimpl(**{kind: True})
        def versasound_progress():
            yield

        registry.hooks.register(types.SimpleNamespace(versasound_progress=versasound_progress), "wraps")
        registry.hooks.call("versasound_progress", fraction=0.0, message="")
        assert len(registry.hooks.failures) == 1
        assert "cannot wrap" in registry.hooks.failures[0]

    def test_registering_one_twice_is_the_callers_mistake(self, registry):
        plugin = observer(versasound_progress=lambda: None)
        registry.hooks.register(plugin)
        with pytest.raises(ValueError, match="already registered"):
            registry.hooks.register(plugin)

    def test_strictness_raises(self, registry, monkeypatch):
        def fail():
            raise ZeroDivisionError

        registry.hooks.register(observer(versasound_progress=fail))
        monkeypatch.setenv("VERSASOUND_STRICT", "1")
        with pytest.raises(ZeroDivisionError):
            registry.hooks.call("versasound_progress", fraction=0.0, message="")
