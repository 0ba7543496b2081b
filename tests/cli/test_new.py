"""`versasound new` writes a distribution that builds, installs, passes the kit and is clean, at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from versasound_core.cards import ROLES

_BUILD = """
import os, sys
import hatchling.build
for folder in sys.argv[2:]:
    os.chdir(folder)
    hatchling.build.build_wheel(sys.argv[1])
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory, run):
    """The distributions of one backend of each role, and the place where their wheels are installed."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the distributions, is not installed")
    home = tmp_path_factory.mktemp("new")
    for role in ROLES:
        run(sys.executable, "-m", "versasound_core", "new", role, f"my-{role}", "-o", home)
    (home / "wheels").mkdir()
    folders = sorted(path for path in home.glob("versasound-plugin-*"))
    assert len(folders) == len(ROLES)
    run(sys.executable, "-c", _BUILD, home / "wheels", *folders)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", home / "site")
    run(*pip, *sorted((home / "wheels").glob("*.whl")))
    return home


def test_all_pass_the_kit(written, run):
    """Each by its own test, as its README says."""
    tests = sorted(written.glob("*/tests"))
    out = run(
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
        "--rootdir",
        written,
        "--import-mode=importlib",
        *tests,
        PYTHONPATH=str(written / "site"),
    )
    assert " passed" in out
    assert "failed" not in out


def test_all_are_listed_by_their_wheels(written, run):
    out = run(sys.executable, "-P", "-m", "versasound_core", "plugins", "--json", PYTHONPATH=str(written / "site"))
    mine = {(b["role"], b["name"]): b for b in json.loads(out)["backends"] if b["name"].startswith("my_")}
    assert set(mine) == {(role, f"my_{role}") for role in ROLES}
    assert {b["state"] for b in mine.values()} == {"ready"}


def test_what_is_written_is_clean_and_whole(written):
    for folder in written.glob("versasound-plugin-*"):
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        role = folder.name.rpartition("-")[2]
        package = f"versasound_plugin_my_{role}"
        assert {name for name in files if "__pycache__" not in name} == {
            *(".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml"),
            *(f"{package}/{name}" for name in ("__init__.py", "py.typed", f"{role}.py", "versasound.yaml")),
            f"tests/test_my_{role}.py",
        }
        for path in folder.rglob("*.*"):
            if path.is_file() and path.suffix not in {".pyc"}:
                assert "{{" not in path.read_text(encoding="utf-8").replace("${{ matrix.python }}", ""), path
    assert not [path.name for path in written.iterdir() if path.name.startswith(".versasound")]


def test_ruff_has_nothing_to_say(written):
    pytest.importorskip("ruff", reason="ruff is not installed")
    folders = [str(path) for path in written.glob("versasound-plugin-*")]
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *folders], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_written_over(cli, folder):
    assert cli("new", "encoder", "eye").out == "versasound-plugin-eye\n"
    card = Path("versasound-plugin-eye/versasound_plugin_eye/versasound.yaml")
    card.write_text("mine", encoding="utf-8")
    run = cli("new", "encoder", "eye")
    assert (run.code, card.read_text(encoding="utf-8")) == (3, "mine")
    assert "is there already" in run.err


@pytest.mark.parametrize("name", ["Eye", "1eye", "", "eye!", "../eye", "eye__ball", "-o", "eye_"])
def test_what_can_be_no_name_is_refused(cli, folder, name):
    assert cli("new", "encoder", name).code in {2, 3}
    assert list(folder.iterdir()) == []


def test_where_it_cannot_write_it_says_so(cli, folder):
    Path("file").write_bytes(b"")
    run = cli("new", "refiner", "shine", "-o", "file")
    assert run.code == 4
    assert "file" in run.err


def test_a_name_that_is_taken_is_said(cli, folder, defaults):
    assert "a generator foley is installed already" in cli("new", "generator", "foley").err
