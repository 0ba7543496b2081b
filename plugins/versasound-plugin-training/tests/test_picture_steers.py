"""The trained proof, by the way that users go: its generator behind `stable_audio`, its adapter as an option.

Scenes, seen as coded files, their sounds and true times are the renderer's; the classifier has only heard true sounds.
The weights are what `proof/prove.py` wrote on a GPU.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from versasound_core import registry
from versasound_core.containers import GenerationRequest, VideoClip, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.scenes import write_scene

PROOF = Path(__file__).parents[1] / "proof"
NEVER_TRAINED_ON, SCENES, KNOWN = 2 * 10**6, 16, 300
RATE, LENGTH_S, STEPS, GUIDANCE = 16000, 1.92, 50, 2.0

pytest.importorskip("versasound_plugin_stable_audio", reason="versasound-plugin-stable-audio is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")


class Heard(NamedTuple):
    """The share of materials and the F1 of onsets."""

    material: float
    onsets: float


@pytest.fixture(scope="module")
def judge():
    sys.path.insert(0, str(PROOF))
    try:
        yield __import__("judge")
    finally:
        sys.path.remove(str(PROOF))
        sys.modules.pop("judge", None)


@pytest.fixture(scope="module")
def scenes():
    from versasound_plugin_training.rendered import rendered_scene

    return [rendered_scene(NEVER_TRAINED_ON + k, LENGTH_S) for k in range(SCENES)]


@pytest.fixture(scope="module")
def seen(scenes, tmp_path_factory) -> list[VisualFeatures]:
    encoder = registry.create("encoder", "motion")
    folder = tmp_path_factory.mktemp("scenes")
    files = [write_scene(scene.scene, folder / f"{k}.mp4", fps=25.0, height=96) for k, scene in enumerate(scenes)]
    return [encoder.encode(VideoClip.open(file), RunContext()) for file in files]


@pytest.fixture(scope="module")
def hear(judge, scenes):
    from versasound_plugin_training.rendered import MATERIALS, rendered_scene

    names = list(MATERIALS)
    known = [rendered_scene(k, 2.56) for k in range(KNOWN)]
    listener = judge.Listener(
        torch.stack([scene.sound(RATE).waveform[0, 0] for scene in known]),
        torch.tensor([names.index(scene.material) for scene in known]),
    )
    materials = torch.tensor([names.index(scene.material) for scene in scenes])
    strikes = [[strike.time_s for strike in scene.scene.strikes] for scene in scenes]
    threshold = json.loads((PROOF / "trained" / "results.json").read_text(encoding="utf-8"))["threshold"]

    def measure(sounds: torch.Tensor) -> Heard:
        right = (listener.hears(sounds) == materials).float().mean()
        return Heard(float(right), judge.f1(judge.onsets(sounds, RATE), strikes, threshold))

    return measure


def made(seen: list[VisualFeatures], **options: object) -> torch.Tensor:
    """Make a sound for each, `[B, S]`, with nothing that steers but what the options say."""
    folder = PROOF / "trained" / "generator"
    generator = registry.create(
        "generator", "stable_audio", weights=folder, words=False, timing="none", batch_size=8, **options
    )
    asked = [
        GenerationRequest(
            duration_s=LENGTH_S, prompt="", seed=k, sample_rate=RATE, num_inference_steps=STEPS, guidance_scale=GUIDANCE
        )
        for k in range(len(seen))
    ]
    sounds = generator.generate_all(list(zip(seen, asked, strict=True)), RunContext())
    return torch.stack([sound.waveform[0].mean(0) for sound in sounds])


def test_true_sounds_are_judged_right(hear, scenes) -> None:
    true = hear(torch.stack([scene.sound(RATE).waveform[0, 0] for scene in scenes]))
    assert true.material > 0.9
    assert true.onsets > 0.9


def test_the_picture_steers_the_sound(hear, seen) -> None:
    own = hear(made(seen, adapter=PROOF / "trained" / "adapter"))
    print(f"\nwith the scene's own picture: {own}")
    assert own.material >= 0.8
    assert own.onsets >= 0.8


def test_another_picture_steers_it_elsewhere_and_none_nowhere(hear, seen) -> None:
    other = hear(made(seen[SCENES // 2 :] + seen[: SCENES // 2], adapter=PROOF / "trained" / "adapter"))
    without = hear(made(seen))
    print(f"\nwith another scene's picture: {other}; without the adapter: {without}")
    for chance in (other, without):
        assert chance.material <= 0.5
        assert chance.onsets <= 0.5
