"""A steered generator in the pipeline: segments, rates, notes, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import torch

from versasound_core.containers import EventTrack, VideoClip, VisualFeatures
from versasound_core.pipeline import Pipeline
from versasound_core.recipe import Recipe

if TYPE_CHECKING:
    from tiny_hub import TinyHub

pytest.importorskip("versasound_plugin_audioldm2", reason="versasound-plugin-audioldm2 is not installed")
pytest.importorskip("versasound_plugin_foley", reason="versasound-plugin-foley is not installed")


def test_segments_of_a_long_clip_join_and_report_once(tiny_hub: TinyHub) -> None:
    tiny_hub.add("cvssp/audioldm2")
    seconds, onsets = 36.0, [(float(k), 0.9) for k in range(1, 36)]
    clip = VideoClip.from_tensor(torch.zeros(1, round(10 * seconds), 3, 8, 8, dtype=torch.uint8), 10)
    track = EventTrack(torch.zeros(1, round(100 * seconds)), 100.0, [onsets])
    features = VisualFeatures(torch.zeros(1, round(8 * seconds), 4), {"fps": 8.0}, track, [[("rain", 0.9)]])
    recipe = Recipe(
        generator="audioldm2",
        generator_options={"timing": "envelope", "timing_strength": 0.5},
        aligner=None,
        refiner=None,
        prompt="a hammer",
        sample_rate=16000,
        num_inference_steps=2,
        seed=5,
    )
    audio = Pipeline(recipe).sound(clip, features)
    assert audio.shape == (1, 1, 16000 * 36)
    assert audio.metadata["prompts"] == ["a hammer, rain"]
    assert audio.metadata["notes"] == ["The picture added to the prompt: “rain”."]
    assert audio.metadata["timing"] == "envelope"
    quiet = {**recipe.generator_options, "timing_strength": 0.0}
    plain = Pipeline(attrs.evolve(recipe, generator_options=quiet)).sound(clip, features)
    sound = plain.waveform[0, 0]
    block = 1600
    level = 10 * torch.log10(sound[: len(sound) // block * block].view(-1, block).square().mean(1))
    fade = level[10 * 30 - 5 : 10 * 32 + 5].unfold(0, 5, 1).mean(1)
    assert float(fade.diff().abs().max()) <= 1.0
    gain = (audio.waveform / plain.waveform)[0, 0, 1000:-1000].nan_to_num(1.0)
    assert float(gain.max()) <= 1.0 + 1e-3
    assert float(gain.median()) < 0.8


def test_clips_and_variations_made_together_are_as_if_alone(tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_hub.add("cvssp/audioldm2")
    recipe = Recipe(
        generator="audioldm2", aligner=None, refiner=None, prompt="rain", sample_rate=16000, num_inference_steps=2
    )
    pipeline = Pipeline(recipe)
    assert pipeline.makes_ahead
    noise = torch.Generator().manual_seed(0)
    clips = [
        VideoClip.from_tensor(torch.randint(0, 256, (1, frames, 3, 16, 16), generator=noise, dtype=torch.uint8), 10)
        for frames in (10, 15)
    ]
    wanted = [(clip, seed) for clip in clips for seed in (4, 5)]
    alone = [pipeline.sound(clip, pipeline.encode(clip), seed=seed) for clip, seed in wanted]
    asked: list[int] = []
    generate_all = pipeline._generator.generate_all
    monkeypatch.setattr(pipeline._generator, "generate_all", lambda a, c: (asked.append(len(a)), generate_all(a, c))[1])
    monkeypatch.setattr(pipeline._generator, "generate", lambda *_: pytest.fail("made again"))
    pipeline.make_ahead(wanted)
    for (clip, seed), expected in zip(wanted, alone, strict=True):
        made = pipeline.sound(clip, pipeline.encode(clip), seed=seed)
        assert torch.equal(made.waveform, expected.waveform)
        assert made.metadata == expected.metadata
    assert asked == [4]


def test_a_folder_is_made_together_and_one_bad_clip_stops_nothing(tiny_hub: TinyHub, tmp_path: Path) -> None:
    from versasound_core.media.audio import load_audio
    from versasound_core.scenes import random_scene, write_scene

    tiny_hub.add("cvssp/audioldm2")
    folder = tmp_path / "clips"
    folder.mkdir()
    for seed in (3, 4):
        write_scene(random_scene(seed, 1.0, confounders=False), folder / f"{seed}.mp4", height=120)
    (folder / "bad.mp4").write_bytes(b"no film")
    words = ["--generator", "audioldm2", "--steps", "2", "--prompt", "rain", "--no-cache", "--variations", "2"]
    code = "import sys; from versasound_core.cli import main; raise SystemExit(main(sys.argv[1:]))"
    env = {**os.environ, **tiny_hub.env}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "ignore", "-c", code, "add-sound", *more, *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    together = run(str(folder), "-o", str(tmp_path / "together"))
    assert together.returncode == 4, together.stderr
    assert "2 of 3 clips done" in together.stderr
    alone = run(str(folder / "3.mp4"), "-o", str(tmp_path / "alone.mp4"))
    assert alone.returncode == 0, alone.stderr
    made = sorted((tmp_path / "together").glob("3*.mp4"))
    expected = sorted(tmp_path.glob("alone*.mp4"))
    assert len(made) == len(expected) == 2
    for one, other in zip(made, expected, strict=True):
        assert torch.equal(load_audio(one).waveform, load_audio(other).waveform)


def test_the_command_line_takes_its_options(tiny_hub: TinyHub, tmp_path: Path) -> None:
    from versasound_core.scenes import random_scene, write_scene

    tiny_hub.add("cvssp/audioldm2")
    clip = write_scene(random_scene(3, 2.0, confounders=False), tmp_path / "clip.mp4", height=120)
    words = ["add-sound", str(clip), "--generator", "audioldm2", "--generator-timing", "draft", "--steps", "4"]
    words += [
        "--generator-timing-strength",
        "0.8",
        "--no-generator-words",
        "--prompt",
        "a hammer on metal",
        "--no-cache",
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "versasound_core", *words],
        env={**os.environ, **tiny_hub.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.split("\n", maxsplit=1)[0]).is_file()
