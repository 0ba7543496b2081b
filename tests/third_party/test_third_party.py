"""What an author of somewhere else has to write: twenty lines, and nothing of ours to inherit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "versasound-plugin-beep"
LISTED = """
from versasound_core import registry
found = [b for b in registry.backends("generator") if b.name == "beep"]
answer = [[b.state, b.distribution, b.version, b.card.summary] for b in found]
"""
RUN = """
import torch
from versasound_core import GenerationRequest, RunContext, VisualFeatures, registry
request = GenerationRequest(duration_s=1.0, sample_rate=8000)
seen = VisualFeatures(torch.zeros(2, 3, 4))
one = registry.create("generator", "beep").generate(None, request, RunContext())
two = registry.create("generator", "beep", hz=1000).generate(seen, request, RunContext())
answer = [list(one.shape), list(two.shape)]
answer += [torch.fft.rfft(audio.waveform[-1, 0]).abs().argmax().item() for audio in (one, two)]
"""


def test_it_is_twenty_lines():
    lines = [
        line
        for path in FOLDER.rglob("*")
        if "tests" not in path.parts[len(FOLDER.parts) :] and path.suffix in {".toml", ".yaml", ".py"}
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 120


def test_it_comes_works_and_goes_without_a_trace(run, ask, python, wheels):
    pip = (sys.executable, "-m", "pip", "--python", python)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    before = sorted(packages.rglob("*"))
    assert ask(LISTED, python=python) == []
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheels[FOLDER.name])
    assert ask(LISTED, python=python) == [["ready", "versasound-plugin-beep", "1.0", "One steady tone."]]
    shown = json.loads(run(python, "-P", "-m", "versasound_core", "plugins", "--json"))["backends"]
    assert [b["state"] for b in shown if (b["role"], b["name"]) == ("generator", "beep")] == ["ready"]
    assert ask(RUN, python=python) == [[1, 1, 8000], [2, 1, 8000], 440, 1000]
    run(*pip, "uninstall", "--quiet", "--yes", "versasound-plugin-beep")
    assert ask(LISTED, python=python) == []
    assert sorted(packages.rglob("*")) == before


def test_its_options_are_checked_from_its_card(ask, install):
    code = (
        "from versasound_core import registry\n"
        "try:\n    registry.create('generator', 'beep', hz=1)\n"
        "except Exception as error: answer = [type(error).__name__, str(error)]"
    )
    assert ask(code, install(FOLDER.name)) == [
        "InvalidInputError",
        "generator beep: hz=1: wanted a number of at least 20 Hz.",
    ]
