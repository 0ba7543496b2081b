"""A small folder of rendered scenes, and a run that is small enough for every test."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Three scenes of 2 s: `videos/`, `audio/`, `labels.csv`."""
    from versasound_plugin_training import write_rendered

    return write_rendered(tmp_path_factory.mktemp("rendered"), 3, duration_s=2.0, height=48)


@pytest.fixture
def folder(tmp_path, rendered, monkeypatch):
    """A copy of them, as working directory; the cache lies beside it."""
    here = tmp_path / "here"
    shutil.copytree(rendered, here)
    monkeypatch.chdir(here)
    monkeypatch.setenv("VERSASOUND_CACHE", str(tmp_path / "cache"))
    return here


@pytest.fixture
def env(tiny_hub, tmp_path):
    """For a program of its own: one thread, so that sums are the same everywhere."""
    return {
        **os.environ,
        **tiny_hub.env,
        "VERSASOUND_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
