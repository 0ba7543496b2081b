"""An aligner that learns from sounds shifted here, and what it refuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import attrs
import pytest
import torch
from safetensors.torch import load_file
from versasound_plugin_training import VersaSoundTrainer, VideoAudioDataset, write_rendered
from versasound_plugin_training.rendered import rendered_scene

from versasound_core import registry
from versasound_core.containers import AudioData
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError, ModelLoadError

pytest.importorskip("accelerate", reason="accelerate is not installed")
pytest.importorskip("versasound_plugin_learned", reason="the aligner that uses what is trained is not installed")

TRAINING = {
    "train": "aligner",
    "width": 48,
    "num_layers": 1,
    "max_offset_s": 0.4,
    "warmup_steps": 5,
    "ema_decay": 0.9,
    "log_every_steps": 1,
}


def trainer(encoder=None, progress=None, cancel=None, **training):
    told = encoder or {"backbone": "motion"}
    return VersaSoundTrainer(told, device="cpu", training={**TRAINING, **training}, progress=progress, cancel=cancel)


def losses(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [(row["step"], row["loss"], row["grad_norm"]) for row in csv.DictReader(file)]


def seen(scene, **options):
    return registry.create("encoder", "motion", **options).encode(scene.clip(30.0, 48), RunContext())


def late(sound, seconds):
    """The sound, later by so many seconds; what leaves is lost and what comes is silent."""
    count, wave = round(seconds * sound.sample_rate), sound.waveform
    moved = torch.zeros_like(wave)
    length = wave.shape[-1]
    moved[..., max(count, 0) : length + min(count, 0)] = wave[..., max(-count, 0) : length - max(count, 0)]
    return AudioData(moved, sound.sample_rate)


def offset(path, features, sound):
    """By how many seconds the aligner moves the sound."""
    found = registry.create("aligner", "learned", weights=str(path)).estimate(sound, features, RunContext())
    moves = {round(target - source, 9) for source, target in found.knots[0]}
    assert len(moves) <= 1
    return moves.pop() if moves else 0.0


def test_it_learns_to_tell_how_far_scenes_are_off_that_it_never_saw(tmp_path, monkeypatch):
    monkeypatch.setenv("VERSASOUND_CACHE", str(tmp_path / "cache"))
    write_rendered(tmp_path, 32, duration_s=4.0, height=48)
    dataset = VideoAudioDataset(tmp_path / "videos", tmp_path / "audio", duration_s=3.5)
    path = trainer().train(dataset, 20, 8, 2e-3, output_dir=tmp_path / "out")
    assert path == tmp_path / "out" / "aligner"
    untrained = trainer().train(dataset, 1, 32, 0.0, output_dir=tmp_path / "untrained")
    errors = {path: [], untrained: []}
    for number in range(8):
        scene = rendered_scene(9000 + number, 4.0)
        features, shift_s = seen(scene), -0.35 + 0.1 * number
        for which, found in errors.items():
            found.append(abs(offset(which, features, late(scene.sound(), shift_s)) + shift_s))
    assert sum(error < 0.04 for error in errors[path]) >= 7, errors
    assert sum(error < 0.04 for error in errors[untrained]) <= 4, errors


@pytest.fixture
def dataset(folder):
    return VideoAudioDataset("videos", "audio", duration_s=2.0)


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(folder, dataset):
    trainer().train(dataset, 4, 2, 1e-3, output_dir="whole")
    token = CancelToken()

    def stop(fraction, message):
        if message.startswith("step 3 of"):
            token.cancel()

    with pytest.raises(Cancelled):
        trainer(progress=stop, cancel=token).train(dataset, 4, 2, 1e-3, output_dir="stopped")
    assert len(losses(folder / "stopped")) < 8
    trainer().train(dataset, 4, 2, 1e-3, output_dir="stopped")
    assert losses(folder / "stopped") == losses(folder / "whole")
    one, other = (load_file(folder / name / "aligner" / "aligner.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)


_SPLIT = """
import sys, json
from versasound_plugin_training import VersaSoundTrainer, VideoAudioDataset
dataset = VideoAudioDataset("videos", "audio", duration_s=2.0)
trainer = VersaSoundTrainer({"backbone": "motion"}, device="cpu", training=json.loads(sys.argv[2]))
trainer.train(dataset, 3, int(sys.argv[3]), 1e-3, output_dir=sys.argv[1])
"""


def test_two_processes_learn_what_one_learns_with_twice_the_batch(folder, dataset, env):
    """By losses and gradients: weights whose gradient is 0 but for rounding are moved by Adam all the same."""
    (folder / "split.py").write_text(_SPLIT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for words, batch in (["one"], "2"), (["two"], "1"):
        start = launch if words == ["two"] else []
        subprocess.run([sys.executable, *start, "split.py", *words, json.dumps(TRAINING), batch], env=env, check=True)
    for single, split in zip(losses(folder / "one"), losses(folder / "two"), strict=True):
        assert [float(value) for value in single] == pytest.approx([float(value) for value in split], rel=1e-4)


def test_it_knows_what_it_fits_and_refuses_the_rest(folder, dataset):
    path = trainer().train(dataset, 1, 3, 1e-3)
    told = json.loads((path / "aligner.json").read_text())
    assert (told["encoder"], told["feature_dim"], told["fps"], told["max_lag"]) == ("motion", 64, 25.0, 10)
    scene = rendered_scene(0, 2.0)
    sound = scene.sound()
    with pytest.raises(InvalidInputError, match="trained on 25 features a second; these have 10"):
        offset(path, seen(scene, fps=10.0), sound)
    features = seen(scene)
    other = attrs.evolve(features, metadata={**features.metadata, "backbone": "dinov2"})
    with pytest.raises(InvalidInputError, match=r"features of the encoder motion; these are of dinov2"):
        offset(path, other, sound)
    with pytest.raises(ModelLoadError, match="is no aligner: it has no aligner.json"):
        offset(folder, seen(scene), sound)
    with pytest.raises(InvalidInputError, match="2 clips cannot be aligned with 1 sounds|1 clips .* 2 sounds"):
        offset(path, seen(scene), AudioData(sound.waveform.repeat(2, 1, 1), sound.sample_rate))
    silent = AudioData(torch.zeros(1, 1, 32000), 16000)
    assert offset(path, seen(scene), silent) == 0.0


def test_crops_too_short_and_other_runs_are_refused(folder, dataset, tiny_hub):
    with pytest.raises(
        InvalidInputError, match=r"crops of 2 s are too short .* by 1 s both ways.*duration_s above 3\.1"
    ):
        trainer(max_offset_s=1.0).train(dataset, 1, 3, 1e-3)
    trainer().train(dataset, 1, 3, 1e-3)
    with pytest.raises(InvalidInputError, match="is of another run: .*max_lag was 10 and is 5"):
        trainer(max_offset_s=0.2).train(dataset, 1, 3, 1e-3)
    pytest.importorskip("diffusers", reason="diffusers, with which the generators come, is not installed")
    tiny_hub.add("cvssp/audioldm2")
    with pytest.raises(InvalidInputError, match="is of another run: it holds no adapter"):
        trainer(train="adapter").train(dataset, 1, 3, 1e-3)
