"""Meta's own library, in the environment that the documented command builds, against the converted route."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from versasound_core import registry
from versasound_core.containers import GenerationRequest
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import BrokenPluginError, Cancelled, InvalidInputError, PluginError
from versasound_core.worker.environments import find
from versasound_core.worker.process import stop_all, worker

if TYPE_CHECKING:
    from tiny_hub import TinyHub

NAME = "audiocraft_original"
OFF = {"words": False, "timing": "none"}


def ask(**fields: Any) -> GenerationRequest:
    usual = {"duration_s": 1.0, "prompt": "rain on a roof", "seed": 3, "sample_rate": 16000}
    return GenerationRequest(**usual | fields)


def test_without_its_environment_it_says_what_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSASOUND_DATA", str(tmp_path))
    with pytest.raises(PluginError, match=f"versasound env create {NAME}"):
        registry.create("generator", NAME)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of environments with this one in it."""
    if not os.environ.get("VERSASOUND_TEST_ENVS"):
        pytest.skip("VERSASOUND_TEST_ENVS is not set: building the environment takes 1.7 GB")
    data = Path(os.environ.get("VERSASOUND_DATA") or tmp_path_factory.mktemp("data"))
    command = [sys.executable, "-m", "versasound_core", "env", "create", "audiocraft", "--yes"]
    subprocess.run(command, env={**os.environ, "VERSASOUND_DATA": str(data)}, check=True)
    return data


@pytest.fixture
def pair(environment: Path, tiny_hub: TinyHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple]:
    """The original, and the same checkpoint in transformers."""
    monkeypatch.setenv("VERSASOUND_DATA", str(environment))
    monkeypatch.setenv("VERSASOUND_CACHE", str(tmp_path))
    tiny_hub.add("google-t5/t5-large")
    tiny_hub.add("facebook/audiogen-medium")
    yield registry.create("generator", NAME, **OFF), registry.create("generator", "audiocraft", **OFF)
    stop_all()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"guidance_scale": 1.0, "seed": 8},
        {"prompt": None},
        {"duration_s": 3.0},
        {"duration_s": 8.0},
        {"sample_rate": 48000},
    ],
)
def test_both_make_the_same_sound(pair: tuple, fields: dict[str, Any]) -> None:
    """Eight seconds are four windows of this checkpoint, so that continuing is compared as well."""
    original, ours = (one.generate(None, ask(**fields), RunContext()) for one in pair)
    torch.testing.assert_close(original.waveform, ours.waveform, rtol=0, atol=1e-5)
    assert float(ours.waveform.std()) > 0.1


@pytest.mark.parametrize("options", [{"temperature": 0.5}, {"top_k": 5}, {"top_k": 0, "top_p": 0.5}])
def test_tokens_are_chosen_alike(pair: tuple, options: dict[str, Any]) -> None:
    original, ours = (
        registry.create("generator", name, **OFF, **options).generate(None, ask(), RunContext())
        for name in (NAME, "audiocraft")
    )
    if "top_p" in options:  # the library draws among sorted tokens there, so that the same draw is another token
        assert original.shape == ours.shape
    else:
        torch.testing.assert_close(original.waveform, ours.waveform, rtol=0, atol=1e-5)


def test_progress_cancel_and_what_it_does_not_know(pair: tuple) -> None:
    original, token = pair[0], CancelToken()
    told: list[float] = []
    original.generate(None, ask(), RunContext(progress=lambda fraction, _: told.append(fraction)))
    assert len(told) > 50
    started = threading.Event()
    threading.Thread(target=lambda: (started.wait(60), token.cancel())).start()

    def progress(fraction: float, _: str) -> None:
        if fraction > 0:
            started.set()

    with pytest.raises(Cancelled):
        original.generate(None, ask(duration_s=200.0), RunContext(cancel=token, progress=progress))
    with pytest.raises(InvalidInputError, match="no negative prompts"):
        original.generate(None, ask(negative_prompt="music"), RunContext())


def test_killed_it_is_told_and_the_next_call_starts_anew(pair: tuple) -> None:
    original = pair[0]
    before = original.generate(None, ask(), RunContext()).waveform
    backend = registry.get("generator", NAME)
    process = worker(find(NAME), backend)
    first = process.pid

    def kill(fraction: float, _: str) -> None:
        if fraction > 0:
            os.kill(first, signal.SIGKILL)

    with pytest.raises(BrokenPluginError, match="SIGKILL"):
        original.generate(None, ask(duration_s=200.0), RunContext(progress=kill))
    assert torch.equal(original.generate(None, ask(), RunContext()).waveform, before)
    assert process.pid != first
