"""A plugin with a pin that contradicts the host's, in an environment that the command line really builds.

PyTorch and the other large packages are not installed into it but lent by a .pth file, which no real environment has.
"""

from __future__ import annotations

import json
import logging
import os
import site
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import attrs
import pytest
import torch

from versasound_core import registry as registry_module
from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import (
    BrokenPluginError,
    Cancelled,
    InvalidInputError,
    ModelLoadError,
    PluginError,
)
from versasound_core.registry import Registry
from versasound_core.worker import process
from versasound_core.worker.environments import Environment
from versasound_core.worker.repack import repack

pytest.importorskip("uv", reason="uv, which builds the environment, is not installed")
SMALL = ["attrs", "pluggy", "PyYAML", "safetensors", "platformdirs", "execnet", "filelock", "editables"]
ASKED = GenerationRequest(duration_s=0.5, sample_rate=8000, seed=3)


def tempo(version: str, folder: Path) -> Path:
    """The wheel of a package of one line."""
    path = folder / f"versasound_test_tempo-{version}-py3-none-any.whl"
    info = f"versasound_test_tempo-{version}.dist-info"
    files = {
        "versasound_test_tempo.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: versasound-test-tempo\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return path


@attrs.frozen
class House:
    """A host with the plugin and the newer package, and the command line in it."""

    data: Path
    site: Path
    variables: dict[str, str]

    def command(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VERSASOUND_", "PYTHON"))}
        return subprocess.run(
            [sys.executable, "-P", "-m", "versasound_core", *words],
            env={**kept, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def listed(self) -> dict[str, dict[str, object]]:
        listed = json.loads(self.command("env", "list", "--json").stdout)["environments"]
        return {environment["name"]: environment for environment in listed}


@pytest.fixture(scope="session")
def house(install, wheels, tmp_path_factory: pytest.TempPathFactory) -> House:
    links = tmp_path_factory.mktemp("links")
    for name in SMALL:
        repack(distribution(name), links)
    tempo("1.0", links)
    site = install("versasound-plugin-hostile")
    with zipfile.ZipFile(tempo("2.0", tmp_path_factory.mktemp("newer"))) as newer:
        newer.extractall(site)
    data = tmp_path_factory.mktemp("data")
    variables = {
        "PYTHONPATH": str(site),
        "VERSASOUND_DATA": str(data),
        "PIP_FIND_LINKS": str(links),
        "UV_NO_INDEX": "1",
    }
    return House(data, site, variables)


@pytest.fixture(scope="session")
def built(house: House) -> House:
    """The house, with the environment built and the large packages lent to it."""
    done = house.command("env", "create", "hostile", "--yes")
    assert done.returncode == 0, done.stderr
    python = house.data / "environments" / "hostile" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([python, "-I", "-c", where], capture_output=True, text=True, check=True)
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    Path(asked.stdout.strip(), "lent_by_the_test.pth").write_text("\n".join(lines), encoding="utf-8")
    return house


@pytest.fixture
def here(house: House, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of this process, which sees what the house has."""
    monkeypatch.syspath_prepend(str(house.site))
    monkeypatch.setenv("VERSASOUND_DATA", str(house.data))
    return Registry()


@pytest.fixture
def hostile(built: House, here: Registry) -> Iterator[object]:
    yield here.create("generator", "hostile")
    process.stop_all()


def seen(batch: int = 2) -> VisualFeatures:
    events = EventTrack(torch.rand(batch, 50), 100.0, [[(0.1, 0.5)]] * batch)
    return VisualFeatures(torch.rand(batch, 3, 4), {"fps": 8.0}, events, [[("rain", 0.7)]] * batch)


class TestEnvironment:
    def test_a_missing_one_says_what_builds_it(self, house: House, tmp_path: Path) -> None:
        done = house.command("add-sound", "no.mp4", "--generator", "hostile", VERSASOUND_DATA=str(tmp_path))
        assert done.returncode == 5
        assert "versasound env create hostile" in done.stderr

    def test_what_it_would_install_is_said_before_anybody_is_asked(self, house: House, tmp_path: Path) -> None:
        done = house.command("env", "create", "hostile", VERSASOUND_DATA=str(tmp_path))
        assert done.returncode == 3
        for words in ("10 packages", "safetensors", "MB", str(tmp_path), "--yes"):
            assert words in done.stderr
        assert [path.name for path in (tmp_path / "environments").iterdir()] == [".lock"]

    def test_the_name_of_a_kin_leads_to_it(self, house: House, tmp_path: Path) -> None:
        done = house.command("env", "create", "tame", VERSASOUND_DATA=str(tmp_path))
        assert "generator hostile" in done.stderr

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["create", "motion"], 3, "needs no environment"),
            (["create", "nobody"], 3, "hostile"),
            (["remove", "hostile"], 3, "env list"),
            (["create", "hostile", "--yes"], 5, "pip install uv"),
        ],
    )
    def test_what_is_refused(self, house: House, tmp_path: Path, words: list[str], code: int, said: str) -> None:
        variables = {"VERSASOUND_DATA": str(tmp_path)}
        if "uv" in said:
            (tmp_path / "uv.py").write_text("raise ImportError")
            variables |= {"PATH": str(tmp_path), "PYTHONPATH": f"{tmp_path}{os.pathsep}{house.site}"}
        done = house.command("env", *words, **variables)
        assert done.returncode == code, done.stderr
        assert said in done.stderr

    def test_one_that_cannot_be_built_leaves_nothing(self, house: House, tmp_path: Path) -> None:
        done = house.command("env", "create", "hostile", VERSASOUND_DATA=str(tmp_path), PIP_FIND_LINKS=str(tmp_path))
        assert done.returncode == 5
        assert "versasound-test-tempo" in done.stderr  # uv's own words
        assert [path.name for path in (tmp_path / "environments").iterdir()] == [".lock"]

    def test_it_is_listed_outdated_rebuilt_and_removed(self, house: House, tmp_path: Path) -> None:
        other = attrs.evolve(house, variables={**house.variables, "VERSASOUND_DATA": str(tmp_path)})
        assert other.listed["hostile"]["state"] == "missing"
        (tmp_path / "environments" / ".hostile.new" / "half").mkdir(parents=True)  # as a killed creation leaves it
        assert other.command("env", "create", "hostile", "--yes").returncode == 0
        assert {path.name for path in (tmp_path / "environments").iterdir()} == {".lock", "hostile"}
        told = other.listed["hostile"]
        assert (told["state"], told["packages"], told["size_bytes"] > 10**6) == ("ready", 10, True)
        wanted = house.site / "versasound_plugin_hostile" / "requirements.txt"
        before = wanted.read_text()
        try:
            wanted.write_text(before + "attrs\n")
            assert other.listed["hostile"]["state"] == "outdated"
        finally:
            wanted.write_text(before)
        assert other.command("env", "list").stdout.split()[:2] == ["hostile", "ready"]
        without = attrs.evolve(other, variables={**other.variables, "PYTHONPATH": ""})
        assert without.listed["hostile"]["state"] == "unused"
        assert without.command("env", "remove", "hostile").returncode == 0
        assert [path.name for path in (tmp_path / "environments").iterdir()] == [".lock"]


class TestWorker:
    def test_the_pins_contradict_each_other(self, hostile, here: Registry) -> None:
        import versasound_test_tempo

        assert versasound_test_tempo.VERSION == "2.0"
        with pytest.raises(BrokenPluginError, match=r"tempo 1\.0 is needed"):
            Registry(isolate=False).create("generator", "hostile")
        assert hostile.generate(None, ASKED, RunContext()).shape == (1, 1, 4000)

    def test_tensors_come_back_bit_for_bit(self, hostile) -> None:
        features = seen()
        audio = hostile.generate(features, ASKED, RunContext())
        wanted = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(3)) * 0.5
        assert torch.equal(audio.waveform, wanted)
        assert torch.equal(audio.metadata["seen"], features.features.sum())
        assert audio.sample_rate == 8000

    def test_options_reach_it_and_are_checked_here(self, hostile, here: Registry) -> None:
        loud = here.create("generator", "hostile", level=1.0)
        quiet = hostile.generate(None, ASKED, RunContext())
        assert torch.equal(loud.generate(None, ASKED, RunContext()).waveform, quiet.waveform * 2)
        with pytest.raises(InvalidInputError, match="level=2"):
            here.create("generator", "hostile", level=2.0)

    def test_it_stays_alive_and_is_one_for_all(self, hostile, here: Registry) -> None:
        told = [hostile.generate(None, ASKED, RunContext()).metadata for _ in range(2)]
        other = here.create("generator", "hostile").generate(None, ASKED, RunContext()).metadata
        assert [one["calls"] for one in (*told, other)] == [1, 2, 1]
        assert len({one["pid"] for one in (*told, other)}) == 1
        assert told[0]["pid"] != os.getpid()

    def test_progress_arrives(self, hostile) -> None:
        heard: list[tuple[float, str]] = []
        hostile.generate(None, ASKED, RunContext(progress=lambda *what: heard.append(what)))
        assert heard == [(0.25, "begun"), (1.0, "done")]

    def test_a_cancel_arrives_and_the_same_process_goes_on(self, hostile) -> None:
        token = CancelToken()
        before = hostile.generate(None, ASKED, RunContext()).metadata["pid"]
        waiting = threading.Event()
        threading.Thread(target=lambda: (waiting.wait(60), token.cancel())).start()
        with pytest.raises(Cancelled):
            hostile.generate(
                None, attrs.evolve(ASKED, prompt="wait"), RunContext(cancel=token, progress=lambda *_: waiting.set())
            )
        assert hostile.generate(None, ASKED, RunContext()).metadata["pid"] == before

    def test_a_progress_callback_that_raises_ends_the_call_alone(self, hostile) -> None:
        class EnoughError(BaseException):
            pass

        def progress(fraction: float, message: str) -> None:
            raise EnoughError

        before = hostile.generate(None, ASKED, RunContext()).metadata["pid"]
        with pytest.raises(EnoughError):
            hostile.generate(None, attrs.evolve(ASKED, prompt="wait"), RunContext(progress=progress))
        assert hostile.generate(None, ASKED, RunContext()).metadata["pid"] == before

    def test_errors_come_back_by_name(self, hostile) -> None:
        with pytest.raises(InvalidInputError) as refused:
            hostile.generate(None, attrs.evolve(ASKED, prompt="input"), RunContext())
        assert (refused.value.message, refused.value.hint) == ("the prompt is input.", "Say something else.")
        with pytest.raises(ModelLoadError, match=r"the cable is out\. Put it in\."):
            hostile.generate(None, attrs.evolve(ASKED, prompt="own"), RunContext())
        with pytest.raises(BrokenPluginError, match=r"generator hostile .* failed: KeyError: 'beat'") as broken:
            hostile.generate(None, attrs.evolve(ASKED, prompt="bug"), RunContext())
        assert 'return {}["beat"]' in broken.value.__notes__[0]  # what --debug shows

    def test_a_crash_is_told_and_the_next_call_starts_anew(self, hostile) -> None:
        before = hostile.generate(None, ASKED, RunContext())
        with pytest.raises(BrokenPluginError, match="SIGKILL.*the drummer left") as told:
            hostile.generate(None, attrs.evolve(ASKED, prompt="crash"), RunContext())
        assert "starts a new one" in told.value.hint
        after = hostile.generate(None, ASKED, RunContext())
        assert torch.equal(after.waveform, before.waveform)
        assert after.metadata["pid"] != before.metadata["pid"]

    def test_killed_from_outside_it_is_told_too(self, hostile) -> None:
        pid = hostile.generate(None, ASKED, RunContext()).metadata["pid"]
        waiting = threading.Event()
        threading.Thread(target=lambda: (waiting.wait(60), os.kill(pid, 9))).start()
        with pytest.raises(BrokenPluginError, match="ended in the middle"):
            hostile.generate(None, attrs.evolve(ASKED, prompt="wait"), RunContext(progress=lambda *_: waiting.set()))
        assert hostile.generate(None, ASKED, RunContext()).metadata["pid"] != pid

    def test_what_it_logs_is_logged_here(self, hostile, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "versasound"):
            hostile.generate(None, attrs.evolve(ASKED, prompt="log"), RunContext())
        assert ("versasound.versasound_plugin_hostile", logging.WARNING, "the string E broke") in caplog.record_tuples

    def test_it_ends_with_the_host(self, built: House, ask) -> None:
        code = (
            "from versasound_core import GenerationRequest, RunContext, registry\n"
            "one = registry.create('generator', 'hostile')\n"
            "audio = one.generate(None, GenerationRequest(duration_s=0.1, sample_rate=8000), RunContext())\n"
            "answer = audio.metadata['pid']"
        )
        pid = ask(code, built.site, **{k: v for k, v in built.variables.items() if k != "PYTHONPATH"})
        until = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists()

    def test_the_state_is_listed_without_starting_it(self, built: House, here: Registry) -> None:
        backend = here.get("generator", "hostile")
        assert Environment(name="hostile", backend=backend).state == "ready"
        assert backend.state is registry_module.State.READY

    def test_one_registered_at_run_time_has_no_distribution_to_take_along(self, here: Registry) -> None:
        here.register("generator", "loose", lambda: None, {"isolated": True})
        with pytest.raises(PluginError, match="not built yet"):
            here.create("generator", "loose")
