"""A small clip whose strikes are known, and the command line run inside the test or as a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from versasound_core.cli import main
from versasound_core.scenes import random_scene, write_scene

DEFAULTS = {"encoder": "motion", "generator": "foley", "aligner": "cross_correlation", "refiner": "mastering"}


@attrs.frozen
class Run:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture(scope="session")
def scene_file(tmp_path_factory):
    return write_scene(
        random_scene(3, 2.0, confounders=False), tmp_path_factory.mktemp("scene") / "scene.mp4", height=96
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory; the cache lies outside of it."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("VERSASOUND_CACHE", str(tmp_path / "cache"))
    return here


@pytest.fixture
def clip(folder, scene_file):
    path = folder / "clip.mp4"
    path.write_bytes(scene_file.read_bytes())
    return path


@pytest.fixture
def cli(capfd, folder):
    def run(*words: object) -> Run:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Run(code, *capfd.readouterr())

    return run


@pytest.fixture
def program(folder):
    """The same as a process: `program("add-sound", ...)`, with what `subprocess.run` takes."""

    def run(*words: object, **how) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "versasound_core", *map(str, words)],
            capture_output=True, text=True, check=False, cwd=folder, **how,
        )  # fmt: skip
        return Run(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def defaults():
    """Skip where the default backends are not installed."""
    from versasound_core import registry

    for role, name in DEFAULTS.items():
        if name not in [backend.name for backend in registry.backends(role)]:
            pytest.skip(f"the default {role} {name} is not installed")


@pytest.fixture(scope="session")
def real_clips():
    named = os.environ.get("VERSASOUND_CLIPS")
    if not named:
        pytest.skip("VERSASOUND_CLIPS names no folder of real clips")
    return sorted(Path(named).glob("*.mp4"))


@pytest.fixture
def registered(monkeypatch):
    """The registry; what a test registers is gone after it."""
    from versasound_core.registry import default_registry

    monkeypatch.setattr(default_registry, "_registered", [])
    return default_registry
