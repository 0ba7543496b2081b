"""What all commands share, and the three that need no clip."""

from __future__ import annotations

import http.server
import json
import threading

import av
import pytest

from versasound_core import errors
from versasound_core.cli import doctor, main
from versasound_core.cli.demo import matched

LIGHT = """
import sys
import {module}
answer = sorted({{"torch", "numpy", "av", "scipy", "matplotlib"}} & set(sys.modules))
"""
LISTED = """
import contextlib, io, json, sys
from versasound_core.cli import doctor, main
with contextlib.redirect_stdout(io.StringIO()) as out:
    code = main(["plugins", "--json"])
heavy = sorted({"torch", "numpy"} & set(sys.modules))
answer = [code, heavy, json.loads(out.getvalue())["backends"]]
"""


def family(kind):
    return [
        one for child in kind.__subclasses__() for one in (child, *family(child)) if one.__module__ == errors.__name__
    ]


class TestAll:
    @pytest.mark.parametrize("module", ["versasound_core", "versasound_core.cli", "versasound_core.report"])
    def test_importing_loads_nothing_heavy(self, ask, module):
        assert ask(LIGHT.format(module=module)) == []

    def test_no_command_shows_the_help(self, cli):
        run = cli()
        assert (run.code, run.out) == (2, "")
        assert "add-sound" in run.err

    def test_help_names_the_commands_and_the_codes(self, cli):
        run = cli("--help")
        assert run.code == 0
        assert all(word in run.out for word in ("add-sound", "demo", "plugins", "doctor", "130 cancelled"))

    def test_version(self, cli):
        import versasound_core

        assert cli("--version").out == f"versasound {versasound_core.__version__}\n"

    @pytest.mark.parametrize("words", [["sing"], ["plugins", "--jsn"], ["add-sound"], ["--log-level"]])
    def test_what_is_not_understood(self, cli, words):
        assert cli(*words).code == 2

    @pytest.fixture
    def failing(self, monkeypatch, cli):
        """Run `plugins` where listing raises."""
        from versasound_core.registry import default_registry

        def failing(error, *words):
            def backends():
                raise error

            monkeypatch.setattr(default_registry, "backends", backends)
            return cli("plugins", *words)

        return failing

    def test_a_bug_is_one_line_and_70(self, failing):
        run = failing(ValueError("a\nb"))
        assert (run.code, run.out) == (70, "")
        assert run.err == "versasound: error: ValueError: a b. This is a bug; --debug shows where it is.\n"

    def test_debug_shows_where_it_is(self, failing):
        assert "Traceback" in failing(ValueError("a"), "--debug").err

    def test_so_does_the_variable(self, failing, monkeypatch):
        monkeypatch.setenv("VERSASOUND_DEBUG", "1")
        assert "Traceback" in failing(ValueError("a")).err

    @pytest.mark.parametrize("kind", [errors.VersaSoundError, *family(errors.VersaSoundError)])
    def test_every_error_of_the_house_has_its_code(self, failing, kind):
        run = failing(kind("Who did what.", "Do this."))
        assert run.code == kind.exit_code
        assert run.err == "versasound: error: Who did what. Do this.\n"

    def test_a_reader_who_has_seen_enough_is_no_error(self, failing):
        assert failing(BrokenPipeError()).code == 0

    def test_ctrl_c_before_anything_runs(self, failing):
        run = failing(KeyboardInterrupt())
        assert (run.code, run.err) == (130, "versasound: error: Cancelled.\n")

    def test_logging_is_silent_unless_asked(self, cli, defaults, clip):
        quiet = cli("add-sound", clip, "-o", "x.wav", "--quiet")
        assert (quiet.code, quiet.err) == (0, "")


class TestThirdPartyCommands:
    @pytest.fixture
    def plugin(self, registered, monkeypatch):
        """A plugin whose command `sing` returns 9; and whether it was asked for its commands."""
        from versasound_core.hooks import Hooks, hookimpl

        asked = []

        class Singing:
            @hookimpl
            def versasound_register_commands(self, cli):
                asked.append(True)
                parser = cli.add_parser("sing", help="a song")
                parser.add_argument("--twice", action="store_true")
                parser.set_defaults(run=lambda args: 18 if args.twice else 9)

        class Failing:
            @hookimpl
            def versasound_register_commands(self, cli):
                raise OSError("no voice")

        monkeypatch.setattr(registered, "hooks", Hooks())
        registered.hooks.register(Singing(), "singing")
        registered.hooks.register(Failing(), "failing")
        return asked

    def test_it_runs_and_another_that_fails_is_told(self, cli, plugin):
        run = cli("sing", "--twice")
        assert run.code == 18
        assert "versasound: warning: failing.versasound_register_commands: OSError: no voice" in run.err

    def test_it_is_in_the_help(self, cli, plugin):
        assert "a song" in cli("--help").out

    @pytest.mark.parametrize("words", [("plugins",), ("--log-level", "ERROR", "plugins"), ("plugins", "--help")])
    def test_no_plugin_is_asked_where_the_command_is_ours(self, cli, plugin, words):
        assert cli(*words).code == 0
        assert plugin == []


class TestPlugins:
    def test_broken_ones_are_listed_with_their_reason_and_nothing_is_loaded(self, ask, install):
        code, heavy, backends = ask(LISTED, install("healthy", "bad_yaml", "future_api"))
        assert (code, heavy) == (0, [])
        states = {b["distribution"]: (b["state"], bool(b["reason"])) for b in backends}
        assert states["versasound-test-healthy"] == ("ready", False)
        assert states["versasound-test-bad-yaml"] == ("broken", True)
        assert states["versasound-test-future-api"] == ("incompatible", True)

    def test_the_table_has_a_line_each(self, cli):
        from versasound_core import registry

        lines = cli("plugins").lines
        assert len(lines) == 1 + len(registry.backends())
        for line, backend in zip(lines[1:], registry.backends(), strict=True):
            assert line.split()[:3] == [backend.role, backend.name, backend.state]


class TestDoctor:
    @pytest.fixture(autouse=True)
    def hub(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        return tmp_path / "hub"

    def test_how_long_each_plugin_takes_to_load_is_measured(self, program, defaults):
        backends = json.loads(program("doctor", "--json").out)["backends"]
        took = {b["name"]: b["import_s"] for b in backends if b["state"] == "loaded"}
        assert {"motion", "foley", "cross_correlation", "mastering"} <= set(took)
        assert all(0 <= seconds < 600 for seconds in took.values())

    def test_weights_are_measured_once_however_often_they_are_linked(self, hub, monkeypatch):
        (hub / "blobs").mkdir(parents=True)
        (hub / "blobs" / "x").write_bytes(bytes(1000))
        (hub / "model.safetensors").symlink_to(hub / "blobs" / "x")
        found = doctor._hub()
        assert (found["folder"], found["files"], found["bytes"]) == (str(hub), 1, 1000)
        assert (found["reachable"], found["reason"]) == (False, "HF_HUB_OFFLINE is set")

    def test_whether_the_hub_answers_is_asked(self, monkeypatch):
        monkeypatch.delenv("HF_HUB_OFFLINE")
        server = http.server.HTTPServer(
            ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
        )  # answers 501: it is there
        monkeypatch.setattr(http.server.BaseHTTPRequestHandler, "log_message", lambda *_: None)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert doctor._hub()["reachable"] is True
        thread.join()
        server.server_close()
        found = doctor._hub()
        assert found["reachable"] is False
        assert "refused" in found["reason"]

    def test_without_weights_it_says_how_to_get_them(self):
        clip = {"role": "encoder", "name": "clip", "state": "loaded", "variants": ["b"]}
        hub = {"files": 0, "reason": "", "folder": "there"}
        found = {
            "libraries_failed": {}, "backends": [clip], "missing": [], "hook_failures": [], "hub": hub, "reports": True,
            "works": True,
        }  # fmt: skip
        assert "There are no weights yet for clip. Fetch them: versasound pull NAME" in doctor._advice(found)
        hub["reason"] = "no network"
        assert "and copy there here" in doctor._advice(found)[0]

    def test_the_default_way_works(self, program, defaults):
        run = program("doctor", "--json")
        found = json.loads(run.out)
        assert (run.code, found["works"], found["missing"]) == (0, True, [])
        assert {"versasound-core", "torch", "av", "soxr"} <= set(found["versions"])
        assert found["ffmpeg"]["libavcodec"] == ".".join(map(str, av.library_versions["libavcodec"]))
        assert found["device"]["device"]

    def test_in_sentences(self, program, defaults):
        run = program("doctor")
        assert run.code == 0
        assert "Sound can be made. Try: versasound demo" in run.lines

    def test_without_a_default_backend_it_says_what_to_install(self, program, defaults, monkeypatch):
        monkeypatch.setenv("VERSASOUND_DISABLE", "foley")
        run = program("doctor")
        assert run.code == 1
        assert "The default generator foley cannot run: named in VERSASOUND_DISABLE" in run.lines

    def test_a_plugin_that_breaks_when_loaded_is_found(self, program, install, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", str(install("import_oserror")))
        found = json.loads(program("doctor", "--json").out)
        broken = [b for b in found["backends"] if b["distribution"] == "versasound-test-import-oserror"]
        assert [b["state"] for b in broken] == ["broken"]
        assert "OSError" in broken[0]["reason"]

    def test_the_cache_is_measured(self, program, defaults, tmp_path):
        (tmp_path / "cache" / "features").mkdir(parents=True)
        (tmp_path / "cache" / "features" / "x.safetensors").write_bytes(bytes(123))
        assert json.loads(program("doctor", "--json").out)["cache"] == {
            "folder": str(tmp_path / "cache"), "files": 1, "bytes": 123,
        }  # fmt: skip


class TestDemo:
    def test_it_needs_nothing_and_says_what_it_found(self, cli, defaults, folder):
        run = cli("demo", "-o", "made", "--seed", "3")
        assert run.code == 0
        assert run.lines[:2] == ["made/versasound_demo_silent.mp4", "made/versasound_demo.mp4"]
        with av.open("made/versasound_demo.mp4") as file:
            assert sorted(stream.type for stream in file.streams) == ["audio", "video"]
        assert "The scene has 5 strikes." in run.err

    def test_where_it_cannot_write(self, cli, folder):
        (folder / "file").write_bytes(b"")
        assert cli("demo", "-o", "file").code == 3
        assert cli("demo", "-o", "file/x").code == 4


@pytest.mark.parametrize(
    ("true", "found", "count"),
    [
        ([], [], 0),
        ([1.0], [], 0),
        ([1.0], [1.039], 1),
        ([1.0], [1.041], 0),
        ([1.0], [0.98, 1.02], 1),  # one strike is found once
        ([1.0, 1.05], [1.03], 1),  # and one onset is one strike
        ([1.0, 1.05], [0.99, 1.03], 2),
        ([1.0, 1.05], [1.03, 1.08], 2),
    ],
)
def test_strikes_and_onsets_are_paired_one_to_one(true, found, count):
    assert matched(true, found) == count


def test_main_takes_the_words_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["versasound", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("versasound ")
