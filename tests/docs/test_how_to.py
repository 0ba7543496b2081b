"""What the guides show works as they show it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from versasound_core.config import Config, load_config

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
CODE = """
import sys
import torch
from versasound_core import registry
from versasound_core.containers import GenerationRequest
from versasound_core.context import RunContext

assert [b.state for b in registry.backends("generator") if b.name == "beep"] == ["ready"]
assert "versasound_plugin_beep" not in sys.modules
request = GenerationRequest(duration_s=0.5, sample_rate=8000)
audio = registry.create("generator", "beep").generate(None, request, RunContext())
hz = torch.fft.rfft(audio.waveform[0, 0]).abs().argmax() / request.duration_s
print(tuple(audio.shape), int(hz))
"""


def blocks(guide: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (GUIDES / guide).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize("guide", ["configure.md", "logging.md"])
def test_the_configurations_shown_load(guide, tmp_path):
    shown = blocks(guide, "yaml")
    assert shown
    for text in shown:
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        assert load_config(tmp_path / "mine.yaml") != Config()


def test_the_plugin_shown_is_twenty_lines_that_install_and_sound(tmp_path):
    (project,), (card,), (code,) = (blocks("write-a-plugin.md", language) for language in ("toml", "yaml", "python"))
    assert sum(bool(line.strip()) for line in (project + card + code).splitlines()) <= 20

    package = tmp_path / "versasound-plugin-beep" / "versasound_plugin_beep"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(project, encoding="utf-8")
    (package / "versasound.yaml").write_text(card, encoding="utf-8")
    (package / "__init__.py").write_text(code, encoding="utf-8")

    place = tmp_path / "place"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", place, package.parent], check=True)
    environment = {**os.environ, "PYTHONPATH": str(place)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(1, 1, 4000) 440\n", "")
