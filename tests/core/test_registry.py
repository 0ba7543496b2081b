"""The registry, against distributions that are really installed and most of which are broken.

They all lie in one directory, so that each test also shows that none of them stands in another's way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from versasound_core.errors import UnknownBackendError
from versasound_core.registry import Registry

BROKEN = [path.name for path in (Path(__file__).parents[1] / "plugins_broken").iterdir() if path.is_dir()]
HEAVY = ["torch", "numpy", "av", "soxr"]
LIST = """
from versasound_core import registry
answer = {b.name: [b.role, b.state, b.reason] for b in registry.backends()}
"""
TRY = """
from versasound_core import registry

def attempt(role, name, **options):
    try:
        return {"made": type(registry.create(role, name, **options)).__name__}
    except BaseException as error:
        return {"error": type(error).__name__, "text": str(error), "cause": type(error.__cause__).__name__}
    finally:
        listed = {b.name: b for b in registry.backends(role)}
        attempt.state = listed[name].state if name in listed else None
"""


@pytest.fixture(scope="module")
def everything(install: Callable[..., Path]) -> Path:
    return install(*BROKEN)


@pytest.fixture(scope="module")
def listed(ask: Callable[..., Any], everything: Path) -> dict[str, list[str]]:
    return ask(LIST, everything)


class TestListing:
    @pytest.mark.parametrize("role", ["generator", "refiner"])
    def test_a_sound_plugin_is_ready_beside_the_broken_ones(self, ask, everything, role):
        code = f"b = registry.get({role!r}, 'healthy')\nanswer = [b.state, b.distribution, b.version, b.target]"
        found = ask(TRY + code, everything)
        assert found == ["ready", "versasound-test-healthy", "1.0", "versasound_test_healthy:Healthy"]

    @pytest.mark.parametrize("name", ["native", "exits", "no-module", "no-attribute", "no-class", "no-constructor"])
    def test_what_only_an_import_could_show_is_still_ready(self, listed, name):
        assert listed[name][1] == "ready"

    @pytest.mark.parametrize(
        ("name", "culprits"),
        [
            ("bad-yaml", ["versasound.yaml", "not YAML", "line 2"]),
            ("no-card", ["versasound.yaml", "cannot be read", "No such file"]),
            ("bad-option", ["versasound.yaml", "refiners", "bad-option", "amount", "2.0", "at most 1"]),
            ("no-package", ["leads nowhere", "no module 'versasound_test_absent'"]),
        ],
    )
    def test_a_broken_one_says_why(self, listed, name, culprits):
        _, state, reason = listed[name]
        assert state == "broken"
        for culprit in culprits:
            assert culprit in reason

    def test_one_from_the_future_says_which_side_is_old(self, listed):
        role, state, reason = listed["future"]
        assert (role, state) == ("aligner", "incompatible")
        assert "api 99" in reason
        assert "pip install -U versasound-core" in reason

    def test_rivals_are_both_listed_with_their_owners(self, listed):
        assert {name for name in listed if "bell" in name} == {
            "versasound-test-rival-a:bell",
            "versasound-test-rival-b:bell",
        }

    def test_it_is_sorted_by_role_and_name(self, ask, everything):
        code = "from versasound_core.registry import backends\nanswer = [[b.role, b.name] for b in backends()]"
        found = ask(code, everything)
        roles = ["encoder", "generator", "aligner", "refiner"]
        assert found == sorted(found, key=lambda pair: (roles.index(pair[0]), pair[1]))
        assert len(found) == len({tuple(pair) for pair in found})

    def test_it_imports_no_plugin_and_nothing_heavy(self, ask, everything):
        loaded = ask(
            f"import sys{LIST}\n"
            "for role in ('encoder', 'generator', 'aligner', 'refiner'): registry.backends(role)\n"
            "registry.get('generator', 'healthy'); registry.get('generator', 'native')\n"
            "answer = sorted({name.partition('.')[0] for name in sys.modules})",
            everything,
        )
        assert not [name for name in loaded if name.startswith(("versasound_test", "versasound_plugin"))]
        assert not set(HEAVY) & set(loaded)

    def test_importing_the_core_imports_nothing_but_python(self, ask):
        code = "import sys, versasound_core\nanswer = sorted({name.partition('.')[0] for name in sys.modules})"
        loaded = set(ask(code)) - set(sys.stdlib_module_names)
        assert not loaded & {*HEAVY, "attrs", "attr", "pluggy", "yaml"}
        assert "versasound_core" in loaded

    def test_one_distribution_on_two_paths_is_one(self, ask, install, everything):
        found = ask(f"import sys\nsys.path.append({str(install('healthy', 'rival_a'))!r})" + LIST, everything)
        assert found["healthy"][1] == "ready"
        assert "versasound-test-healthy:healthy" not in found


class TestUsing:
    def test_a_sound_plugin_runs_beside_the_broken_ones(self, ask, everything):
        answer = ask(
            TRY + "from versasound_core import GenerationRequest, RunContext\n"
            "request = GenerationRequest(duration_s=0.5, sample_rate=8000)\n"
            "audio = registry.create('generator', 'healthy').generate(None, request, RunContext())\n"
            "softer = registry.create('refiner', 'healthy', level=0.5).refine(audio, RunContext())\n"
            "states = [b.state for b in registry.backends() if b.name == 'healthy']\n"
            "answer = [list(audio.shape), audio.waveform.max().item(), softer.waveform.max().item(), states]",
            everything,
        )
        assert answer == [[1, 1, 4000], 0.5, 0.25, ["loaded", "loaded"]]

    @pytest.mark.parametrize(
        ("role", "name", "error", "cause", "words"),
        [
            (
                "generator",
                "native",
                "BrokenPluginError",
                "OSError",
                ["libnative.so.1: cannot open", "test-import-oserror"],
            ),
            ("generator", "exits", "BrokenPluginError", "SystemExit", ["wrong number of arguments"]),
            ("generator", "no-module", "BrokenPluginError", "ModuleNotFoundError", ["versasound_test_nowhere.absent"]),
            ("generator", "no-attribute", "BrokenPluginError", "AttributeError", ["Absent"]),
            ("generator", "no-class", "BrokenPluginError", "TypeError", ["versasound_test_nowhere:NUMBER", "7"]),
            ("generator", "no-text", "BrokenPluginError", "AttributeError", ["no-text", "versasound-test-nowhere"]),
            ("generator", "no-package", "BrokenPluginError", "InvalidInputError", ["versasound_test_absent"]),
            ("encoder", "bad-yaml", "BrokenPluginError", "InvalidInputError", ["not YAML"]),
            ("encoder", "no-card", "BrokenPluginError", "InvalidInputError", ["versasound.yaml"]),
            ("refiner", "bad-option", "BrokenPluginError", "InvalidInputError", ["amount=2.0"]),
            ("aligner", "future", "IncompatiblePluginError", "NoneType", ["api 99", "pip install -U versasound-core"]),
        ],
    )
    def test_a_broken_one_is_refused_by_name_with_the_cause(self, ask, everything, role, name, error, cause, words):
        first, again, state = ask(
            TRY + f"answer = [attempt({role!r}, {name!r}), attempt({role!r}, {name!r}), attempt.state]", everything
        )
        assert (first["error"], first["cause"]) == (error, cause)
        assert again == first
        assert state == ("incompatible" if error.startswith("Incompatible") else "broken")
        for word in [name, "versasound-test-", *words]:
            assert word in first["text"]
        assert (". pip install --force-reinstall versasound-test-" in first["text"]) == (state == "broken")

    def test_a_constructor_that_fails_is_named_and_the_backend_stays(self, ask, everything):
        answer, state = ask(TRY + "answer = [attempt('generator', 'no-constructor'), attempt.state]", everything)
        assert (answer["error"], answer["cause"], state) == ("BrokenPluginError", "RuntimeError", "loaded")
        assert "the constructor failed" in answer["text"]

    def test_a_plugins_own_error_is_left_as_it_is(self, ask, everything):
        answer = ask(TRY + "answer = attempt('generator', 'spoken')", everything)
        assert (answer["error"], answer["text"]) == ("ModelLoadError", "there are no weights. Get them.")

    def test_options_are_checked_before_anything_is_imported(self, ask, everything):
        unknown, wrong, loaded = ask(
            TRY + "import sys\n"
            "answer = [attempt('generator', 'healthy', levle=1.0), attempt('generator', 'healthy', level=2.0),\n"
            "          'versasound_test_healthy' in sys.modules]",
            everything,
        )
        assert unknown["text"] == "generator healthy: there is no option 'levle'. Did you mean level?"
        assert wrong["text"] == "generator healthy: level=2.0: wanted a number from 0 to 1."
        assert (unknown["error"], wrong["error"]) == ("InvalidInputError", "InvalidInputError")
        assert not loaded

    def test_a_name_that_nobody_offers_is_answered_with_the_nearest(self, ask, everything):
        answer = ask(TRY + "answer = attempt('generator', 'helthy')", everything)
        assert answer["error"] == "UnknownBackendError"
        assert "Did you mean healthy?" in answer["text"]

    def test_where_there_is_none_at_all_the_default_ones_are_offered(self, monkeypatch):
        monkeypatch.setattr(sys, "path", [])
        with pytest.raises(UnknownBackendError, match=r"pip install .versasound-core\[default\]"):
            Registry().get("encoder", "motion")


class TestRivals:
    def test_the_bare_name_is_refused_and_names_both(self, ask, everything):
        answer = ask(TRY + "answer = attempt('generator', 'bell')", everything)
        assert answer["error"] == "AmbiguousBackendError"
        assert "versasound-test-rival-a:bell or versasound-test-rival-b:bell" in answer["text"]

    def test_each_is_had_by_its_full_name(self, ask, everything):
        code = "answer = [registry.create('generator', f'versasound-test-rival-{w}:bell').maker for w in 'ab']"
        assert ask(TRY + code, everything) == ["rival_a", "rival_b"]

    def test_disabling_one_settles_it(self, ask, everything):
        code = "answer = [attempt('generator', 'bell'), registry.create('generator', 'bell').maker]"
        answer = ask(TRY + code, everything, VERSASOUND_DISABLE="versasound-test-rival-a:bell")
        assert answer == [{"made": "Bell"}, "rival_b"]

    def test_with_both_disabled_it_says_so(self, ask, everything):
        answer = ask(TRY + "answer = attempt('generator', 'bell')", everything, VERSASOUND_DISABLE="bell")
        assert answer["error"] == "PluginError"
        assert "VERSASOUND_DISABLE" in answer["text"]

    def test_alone_it_has_the_bare_name_and_the_full_one_still_leads_to_it(self, ask, install):
        code = "answer = [registry.get('generator', n).name for n in ('bell', 'versasound-test-rival-a:bell')]"
        assert ask(TRY + code, install("rival_a")) == ["bell", "bell"]

    def test_one_that_is_registered_can_clash_with_what_is_installed_and_replace_its_own(self, ask, install):
        code = (
            "class Mine:\n    pass\n"
            "class Theirs:\n    __module__ = 'versasound_test_rival_a.more'\n"
            "registry.register('generator', 'bell', Theirs)\n"
            "answer = [attempt('generator', 'bell')]\n"
            "registry.register('generator', 'bell', Mine)\n"
            "answer += [attempt('generator', 'bell'), attempt('generator', 'main:bell')]"
        )
        theirs, both, mine = ask(TRY + code, install("rival_a"))
        assert theirs == {"made": "Theirs"}
        assert both["error"] == "AmbiguousBackendError"
        assert "main:bell or versasound-test-rival-a:bell" in both["text"]
        assert mine == {"made": "Mine"}


class TestDisabling:
    @pytest.mark.parametrize(
        ("value", "names"),
        [
            ("native", {"native"}),
            ("native, healthy ,", {"native", "healthy"}),
            ("versasound-test-healthy", {"healthy"}),
            ("Versasound_Test.Healthy", {"healthy"}),
            ("versasound-test-nowhere:no-class", {"no-class"}),
            ("versasound-test-healthy:no-class", set()),
            ("bad-yaml,no-package,future", {"bad-yaml", "no-package", "future"}),
            ("", set()),
        ],
    )
    def test_by_name_by_distribution_or_both(self, ask, everything, value, names):
        found = ask(LIST, everything, VERSASOUND_DISABLE=value)
        assert {name for name, (_, state, _) in found.items() if state == "disabled"} == names
        assert all("VERSASOUND_DISABLE" in found[name][2] for name in names)

    def test_a_disabled_one_is_refused(self, ask, everything):
        answer = ask(TRY + "answer = attempt('generator', 'healthy')", everything, VERSASOUND_DISABLE="healthy")
        assert answer["error"] == "PluginError"
        assert "VERSASOUND_DISABLE" in answer["text"]


class TestStrictness:
    def test_listing_raises_for_the_first_that_cannot_be_used(self, ask, everything):
        code = "try:\n    registry.backends()\nexcept Exception as e: answer = [type(e).__name__, str(e)]"
        kind, text = ask(TRY + code, everything, VERSASOUND_STRICT="1")
        assert kind == "BrokenPluginError"
        assert "its card versasound.yaml" in text

    def test_one_from_the_future_raises_too(self, ask, install):
        code = "try:\n    registry.backends()\nexcept Exception as e: answer = [type(e).__name__, str(e)]"
        kind, text = ask(TRY + code, install("future_api"), VERSASOUND_STRICT="1")
        assert kind == "IncompatiblePluginError"
        assert "api 99" in text

    @pytest.mark.parametrize(
        ("folder", "name", "error"),
        [
            ("import_oserror", "native", "OSError"),
            ("import_exits", "exits", "SystemExit"),
        ],
    )
    def test_what_an_import_raises_is_raised(self, ask, install, folder, name, error):
        code = f"try:\n    registry.create('generator', {name!r})\nexcept BaseException as e: answer = type(e).__name__"
        assert ask(TRY + code, install(folder), VERSASOUND_STRICT="1") == error

    def test_nought_is_not_strict(self, ask, everything):
        assert ask(LIST, everything, VERSASOUND_STRICT="0")["bad-yaml"][1] == "broken"


class TestRefreshing:
    def test_what_comes_and_goes_while_the_process_runs_is_seen(self, ask, install, tmp_path):
        code = (
            "import os, sys\nfrom versasound_core import registry\n"
            f"real, link = {str(install('healthy', 'rival_a'))!r}, {str(tmp_path / 'link')!r}\n"
            "sys.path.append(link)\n"
            "names = lambda: sorted(b.name for b in registry.backends() if 'test' in b.distribution)\n"
            "answer = [names()]\n"
            "os.rename(real, link); answer.append(names()); registry.refresh(); answer.append(names())\n"
            "registry.create('generator', 'bell'); registry.refresh()\n"
            "answer.append([b.state for b in registry.backends() if b.name == 'bell'])\n"
            "os.rename(link, real); registry.refresh(); answer.append(names())"
        )
        assert ask(code) == [[], [], ["bell", "healthy", "healthy"], ["loaded"], []]

    def test_in_a_real_environment_the_state_is_right_at_each_step(self, run, ask, python, wheels):
        pip = (sys.executable, "-m", "pip", "--python", python)
        packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        before = sorted(packages.rglob("*"))

        def states() -> dict[str, str]:
            found = ask(LIST, python=python)
            return {name: found[name][1] for name in ("healthy", "native", "future") if name in found}

        assert states() == {}
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheels["healthy"], wheels["import_oserror"])
        assert states() == {"healthy": "ready", "native": "ready"}
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheels["future_api"])
        run(*pip, "uninstall", "--quiet", "--yes", "versasound-test-import-oserror")
        assert states() == {"healthy": "ready", "future": "incompatible"}
        assert ask(TRY + "answer = attempt('generator', 'healthy')", python=python) == {"made": "Healthy"}
        run(*pip, "uninstall", "--quiet", "--yes", "versasound-test-healthy", "versasound-test-future-api")
        assert states() == {}
        assert sorted(packages.rglob("*")) == before
