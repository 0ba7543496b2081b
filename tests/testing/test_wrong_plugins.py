"""The kit names every fault in one sentence, and a run survives every one of them."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from wrong_plugins import WRONG, Encoder, Generator, Refiner

from versasound_core import Pipeline, Recipe, VersaSoundError
from versasound_core.registry import Registry
from versasound_core.testing import material

CASES = [pytest.param(sentence, cls, id=cls.__name__) for sentence, cls in WRONG.items()]
ASKED = """
import sys
sys.path.insert(0, {folder!r})
from versasound_core import registry, testing
from wrong_plugins import CARDS, WRONG, Aligner, Encoder, Generator, Refiner

def ask(cls, name, card):
    registry.register(cls.role, name, cls, card)
    contract = getattr(testing, testing.CONTRACTS[cls.role])
    return type(cls.__name__, (contract,), {{"name": name}})

for cls in (Aligner, Encoder, Generator, Refiner):
    globals()[f"TestRight{{cls.__name__}}"] = ask(cls, "right", CARDS[cls.role])
for cls in WRONG.values():
    globals()[f"Test{{cls.__name__}}"] = ask(cls, cls.__name__, cls.card)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the kit says of each class: the failed tests and their sentences."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "test_wrong.py").write_text(
        ASKED.format(folder=str(Path(__file__).parents[1] / "support")), encoding="utf-8"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "--junitxml=said.xml", "-o", "junit_family=xunit2"]
    done = subprocess.run([*command, "test_wrong.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout[-2000:]
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(folder / "said.xml").iter("testcase"):
        failures = found.setdefault(case.get("classname").rpartition(".")[2], {})
        for failure in case.iter("failure"):
            failures[case.get("name")] = failure.get("message")
    return found


@pytest.mark.parametrize("cls", [Encoder, Generator, Refiner], ids=lambda cls: cls.__name__)
def test_what_is_right_passes(said, cls):
    assert said[f"TestRight{cls.__name__}"] == {}


@pytest.mark.parametrize(("sentence", "cls"), CASES)
def test_the_kit_names_the_fault(said, sentence, cls):
    sentences = [message.removeprefix("Failed: ") for message in said[f"Test{cls.__name__}"].values()]
    pattern = sentence.replace("()", r"\(\)")
    assert [text for text in sentences if re.search(pattern, text)], sentences
    for text in sentences:
        assert text.startswith(f"{cls.role} {cls.__name__}: ") or cls.__name__ in text
        assert "\n" not in text


@pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__name__) for cls in WRONG.values()])
def test_a_run_survives_it(cls, monkeypatch):
    """It ends with an error of the house or with a sound that fits; and the next run is as if nothing had been."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    registry = Registry()
    monkeypatch.setattr(registry, "_found", [])
    for right in (Encoder, Generator, Refiner):
        registry.register(right.role, "right", right)
    registry.register(cls.role, "wrong", cls, cls.card)
    clip, state = material.clip(1, 0.4), torch.get_rng_state()
    right = {"encoder": "right", "generator": "right", "aligner": None, "refiner": "right", "device": "cpu"}
    before = sound(registry, clip, right)
    with contextlib.suppress(VersaSoundError):
        made = sound(registry, clip, {**right, cls.role: "wrong"})
        assert list(made.shape[::2]) == [1, round(clip.duration_s * 48000)]
        assert bool(torch.isfinite(made.waveform).all())
    assert torch.equal(sound(registry, clip, right).waveform, before.waveform)
    torch.set_rng_state(state)


def sound(registry, clip, backends):
    pipeline = Pipeline(Recipe(**backends), registry=registry)
    return pipeline.sound(clip, pipeline.encode(clip))
