"""A hub cache of tiny random checkpoints, in the real format and under the real repository names.

Everything that loads weights can be tested with it, offline and within a second. A test asks for what it needs:

    def test_something(tiny_hub):
        snapshot = tiny_hub.add("openai/clip-vit-base-patch32")

and for a program of its own it passes `tiny_hub.env`. To add a repository, write a function that fills a folder with
its files, and decorate it with `@repository("owner/name")` in a module that `_WRITERS` names.
"""

from __future__ import annotations

import importlib
import shutil
import socket
from pathlib import Path

import pytest

from .repositories import REPOSITORIES, repository

__all__ = ["TinyHub", "empty_hub", "no_network", "repository", "tiny_hub", "tiny_hub_files"]

_WRITERS = ("encoders", "diffusion", "audiocraft")
_REVISION = "0123456789abcdef0123456789abcdef01234567"


class TinyHub:
    """A folder laid out as the hub's own library lays out its cache.

    Args:
        home: What `HF_HOME` names.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.cache = home / "hub"
        self.env = {"HF_HOME": str(home), "HF_HUB_CACHE": str(self.cache), "HF_HUB_OFFLINE": "1"}
        for name in _WRITERS:
            importlib.import_module(f"{__name__}.{name}")

    def add(self, repository: str, revision: str = _REVISION, *, is_main: bool = True) -> Path:
        """Write a repository, if it is not there yet, and return the folder of its snapshot."""
        home = self.cache / f"models--{repository.replace('/', '--')}"
        snapshot = home / "snapshots" / revision
        if not snapshot.exists():
            snapshot.mkdir(parents=True)
            REPOSITORIES[repository](snapshot)
        if is_main:
            (home / "refs").mkdir(exist_ok=True)
            (home / "refs" / "main").write_text(revision)
        return snapshot

    def add_all(self) -> None:
        """Write every repository there is."""
        for name in REPOSITORIES:
            self.add(name)

    def remove(self, repository: str) -> None:
        """Take a repository away."""
        shutil.rmtree(self.cache / f"models--{repository.replace('/', '--')}", ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_hub_files(tmp_path_factory: pytest.TempPathFactory) -> TinyHub:
    """One hub for all tests, so that each repository is written once."""
    pytest.importorskip("transformers", reason="transformers, which writes the tiny checkpoints, is not installed")
    return TinyHub(tmp_path_factory.mktemp("huggingface"))


@pytest.fixture
def tiny_hub(tiny_hub_files: TinyHub, monkeypatch: pytest.MonkeyPatch) -> TinyHub:
    """The tiny hub in place of this machine's cache, with the network off."""
    for name, value in tiny_hub_files.env.items():
        monkeypatch.setenv(name, value)
    return tiny_hub_files


@pytest.fixture
def no_network(tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> TinyHub:
    """The tiny hub with the network allowed, where each use of it fails the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network call")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return tiny_hub


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyHub:
    """A hub of this test alone, with nothing in it yet."""
    hub = TinyHub(tmp_path / "huggingface")
    for name, value in hub.env.items():
        monkeypatch.setenv(name, value)
    return hub
