"""Runs that are whole, killed, cancelled, split over processes, or refused."""

from __future__ import annotations

import csv
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from versasound_plugin_training import VersaSoundTrainer, VideoAudioDataset

from versasound_core.cli import main
from versasound_core.context import CancelToken
from versasound_core.device import DeviceFallbackWarning
from versasound_core.errors import Cancelled, DeviceError, InvalidInputError, MediaError

pytest.importorskip("diffusers", reason="diffusers, with which the generators come, is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

SMALL = {
    "width": 16,
    "num_layers": 1,
    "num_heads": 2,
    "num_tokens": 4,
    "warmup_steps": 2,
    "sample_every_steps": 0,
    "log_every_steps": 1,
}
MOTION, AUDIOLDM2 = {"backbone": "motion"}, {"default_model": "audioldm2"}


def trainer(**training):
    return VersaSoundTrainer(MOTION, AUDIOLDM2, "cpu", training={**SMALL, **training})


def losses(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), row["loss"], row["learning_rate"], row["grad_norm"]) for row in csv.DictReader(file)]


@pytest.fixture
def dataset(folder, tiny_hub):
    tiny_hub.add("cvssp/audioldm2")
    return VideoAudioDataset("videos", "audio", duration_s=0.5, prompts="labels.csv")


@pytest.fixture
def config(folder, tiny_hub):
    tiny_hub.add("cvssp/audioldm2")
    told = {
        "dataset": {"video_dir": "videos", "audio_dir": "audio", "duration_s": 0.5},
        "visual_encoder": MOTION,
        "audio_generator": AUDIOLDM2,
        "device": {"device_type": "cpu"},
        "training": {**SMALL, "num_epochs": 8, "batch_size": 2, "save_every_steps": 4, "output_dir": "whole"},
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(told))
    return folder / "train.yaml"


def command(*words):
    return [sys.executable, "-m", "versasound_core", "train", *map(str, words), "--quiet"]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(folder, config, env):
    subprocess.run(command(config), env=env, check=True)
    killed = subprocess.Popen(command(config, "-o", "killed"), env=env)
    rows = folder / "killed" / "metrics.csv"
    while killed.poll() is None and (not rows.exists() or rows.read_text().count("\n") < 8):
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (folder / "killed" / "adapter").exists()
    done = subprocess.run(command(config, "-o", "killed"), env=env, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "killed/adapter"
    assert losses(folder / "killed") == losses(folder / "whole")
    assert len(losses(folder / "whole")) == 16
    whole, again = (load_file(folder / name / "adapter" / "adapter.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_cancelled_run_goes_on_and_keeps_so_many_checkpoints(folder, dataset):
    options = {"save_every_steps": 1, "keep_checkpoints": 2, "gradient_accumulation_steps": 2, "workers": 0}
    trainer(**options).train(dataset, 3, 1, 1e-3, output_dir="whole")
    token = CancelToken()

    def progress(fraction, message):
        if message.startswith("step 2 of"):
            token.cancel()

    stopped = VersaSoundTrainer(
        MOTION, AUDIOLDM2, "cpu", training={**SMALL, **options}, progress=progress, cancel=token
    )
    with pytest.raises(Cancelled, match="goes on from there"):
        stopped.train(dataset, 3, 1, 1e-3, output_dir="stopped")
    assert len(losses(folder / "stopped")) in {2, 3}
    trainer(**options).train(dataset, 3, 1, 1e-3, output_dir="stopped")
    assert losses(folder / "stopped") == losses(folder / "whole")
    kept = sorted(path.name for path in (folder / "stopped" / "checkpoints").iterdir())
    assert kept == ["step_00000005", "step_00000006"]


def test_checkpointing_gradients_changes_none(dataset):
    plain, spared = (
        trainer(gradient_checkpointing=on).train(dataset, 1, 3, 1e-3, output_dir=f"spared_{on}") for on in (False, True)
    )
    one, other = (load_file(path / "adapter.safetensors") for path in (plain, spared))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=1e-6, rtol=1e-4)


def test_half_precision_learns_much_the_same_on_a_cpu_and_fp16_is_refused_there(folder, dataset):
    for precision in ("fp32", "bf16"):
        trainer(precision=precision).train(dataset, 2, 3, 1e-3, output_dir=precision)
    full, half = ([float(row[1]) for row in losses(folder / name)] for name in ("fp32", "bf16"))
    assert half != full
    assert half == pytest.approx(full, rel=0.05)
    weights = load_file(folder / "bf16" / "adapter" / "adapter.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    with pytest.raises(DeviceError, match=r"a CPU does not train in fp16.*auto, fp32 or bf16"):
        trainer(precision="fp16").train(dataset, 1, 3, 1e-3)


def test_tensorboard_shows_the_numbers_of_the_table(folder, dataset):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer().train(dataset, 3, 1, 1e-3)
    out = folder / "versasound_training"
    shown = EventAccumulator(str(out / "tensorboard")).Reload()
    for place, name in enumerate(("loss", "learning_rate", "grad_norm"), 1):
        told = [(event.step, event.value) for event in shown.Scalars(name)]
        assert [step for step, _ in told] == [row[0] for row in losses(out)]
        assert [value for _, value in told] == pytest.approx([float(row[place]) for row in losses(out)], rel=1e-5)


_SPLIT = """
import sys, json
from versasound_plugin_training import VersaSoundTrainer, VideoAudioDataset
dataset = VideoAudioDataset("videos", "audio", duration_s=0.5)
training = json.loads(sys.argv[2])
trainer = VersaSoundTrainer({"backbone": "motion"}, {"default_model": "audioldm2"}, "cpu", training=training)
trainer.train(dataset, 2, int(sys.argv[3]), 1e-3, output_dir=sys.argv[1])
"""


def test_two_processes_learn_what_one_learns_with_twice_the_batch(folder, dataset, env):
    (folder / "split.py").write_text(_SPLIT)
    options = json.dumps({**SMALL, "precision": "fp32"})
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run([sys.executable, "split.py", "one", options, "2"], env=env, check=True)
    subprocess.run([sys.executable, *launch, "split.py", "two", options, "1"], env=env, check=True)
    check_the_same(folder)


def test_two_machines_learn_what_one_process_learns_with_twice_the_batch(folder, dataset, env):
    """As `accelerate launch` starts them on GPUs, once for each machine; both are this one."""
    (folder / "split.py").write_text(_SPLIT)
    options = json.dumps({**SMALL, "precision": "fp32"})
    subprocess.run([sys.executable, "split.py", "one", options, "2"], env=env, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    many = ["--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(port)]
    launch = ["-m", "torch.distributed.run", *many, "--node_rank"]
    started = [
        subprocess.Popen([sys.executable, *launch, str(rank), "split.py", "two", options, "1"], env=env)
        for rank in range(2)
    ]
    assert [process.wait() for process in started] == [0, 0]
    check_the_same(folder)


def check_the_same(folder):
    for one, two in zip(losses(folder / "one"), losses(folder / "two"), strict=True):
        assert one[0] == two[0]
        assert [float(value) for value in one[1:]] == pytest.approx([float(value) for value in two[1:]], rel=1e-4)
    weights = [load_file(folder / name / "adapter" / "adapter.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], atol=2e-5, rtol=1e-3)


def test_an_adapter_steers_its_generator_and_samples_are_written(folder, dataset, tiny_hub):
    from versasound_core import registry
    from versasound_core.containers import GenerationRequest, VideoClip
    from versasound_core.context import RunContext

    path = trainer(sample_every_steps=1).train(dataset, 1, 3, 1e-3)
    assert path == Path("versasound_training/adapter")
    assert len(list((folder / "versasound_training" / "samples").glob("step_00000001_scene_*.wav"))) == 2
    features = registry.create("encoder", "motion").encode(VideoClip.open("videos/scene_000000.mp4"), RunContext())
    request = GenerationRequest(duration_s=0.5, sample_rate=16000, num_inference_steps=2)
    sounds = [
        registry.create("generator", "audioldm2", adapter=adapter, timing="none").generate(
            features, request, RunContext()
        )
        for adapter in (None, str(path))
    ]
    assert not torch.equal(sounds[0].waveform, sounds[1].waveform)
    tiny_hub.add("cvssp/audioldm2-music")
    other = registry.create("generator", "audioldm2", variant="music", adapter=str(path), timing="none")
    with pytest.raises(
        InvalidInputError, match=r"trained for the generator audioldm2 \(base\), not for audioldm2 \(music\)"
    ):
        other.generate(features, request, RunContext())


@pytest.mark.parametrize(
    ("options", "repositories"),
    [
        ({"variant": "musicgen-small"}, ["facebook/musicgen-small"]),
        ({}, ["facebook/audiogen-medium", "google-t5/t5-large"]),  # its files are converted first
    ],
)
def test_an_adapter_of_audiocraft_steers_the_pipeline(folder, tiny_hub, options, repositories):
    from versasound_core.containers import VideoClip
    from versasound_core.pipeline import Pipeline
    from versasound_core.recipe import Recipe

    pytest.importorskip("versasound_plugin_audiocraft", reason="the generator that is taught is not installed")
    for repository in repositories:
        tiny_hub.add(repository)
    dataset = VideoAudioDataset("videos", "audio", duration_s=0.5, prompts="labels.csv")
    generator = {"default_model": "audiocraft", "options": options}
    training = {**SMALL, "sample_every_steps": 1}
    path = VersaSoundTrainer(MOTION, generator, "cpu", training=training).train(dataset, 1, 3, 1e-3)
    assert len(list((folder / "versasound_training" / "samples").glob("*.wav"))) == 2

    def sound(adapter, **more):
        chosen = {**options, "timing": "none", "adapter": adapter, **more}
        recipe = Recipe(
            encoder="motion",
            generator="audiocraft",
            generator_options=chosen,
            aligner=None,
            refiner=None,
            prompt="rain",
        )
        pipeline, clip = Pipeline(recipe), VideoClip.open("videos/scene_000000.mp4")
        made = pipeline.sound(clip, pipeline.encode(clip))
        return made.waveform, made.metadata["adapter"]

    without, named = sound(None)
    assert named is None
    steered, named = sound(str(path))
    assert named == str(path)
    assert not torch.equal(without, steered)
    tiny_hub.add("facebook/musicgen-stereo-small")
    with pytest.raises(
        InvalidInputError, match=r"trained for the generator audiocraft .* not for audiocraft \(musicgen"
    ):
        sound(str(path), variant="musicgen-stereo-small")


def test_a_file_that_vanishes_while_training_stops_nothing(folder, dataset, caplog):
    (folder / "audio" / "scene_000001.wav").unlink()
    trainer(workers=0).train(dataset, 2, 3, 1e-3)
    assert len(losses(folder / "versasound_training")) == 2
    assert "a crop is left out" in caplog.text


def test_a_checkpoint_of_another_run_is_refused(dataset):
    trainer().train(dataset, 1, 3, 1e-3)
    with pytest.raises(InvalidInputError, match=r"is of another run: num_tokens was 4 and is 8.*another output_dir"):
        trainer(num_tokens=8).train(dataset, 1, 3, 1e-3)
    with pytest.raises(InvalidInputError, match=r"learning_rate was 0\.001 and is 0\.01"):
        trainer().train(dataset, 1, 3, 1e-2)


def test_each_thing_that_cannot_be_trained_has_its_sentence(folder, dataset):
    with pytest.raises(MediaError, match=r"output_dir labels\.csv/out cannot be written"):
        trainer().train(dataset, output_dir="labels.csv/out")
    with pytest.raises(InvalidInputError, match="must be a VideoAudioDataset, not list"):
        trainer().train([1, 2])
    with pytest.raises(InvalidInputError, match="cannot be taught"):
        VersaSoundTrainer(MOTION, {"default_model": "foley"}, "cpu")
    with pytest.raises(InvalidInputError, match=r"training\.width=18 must be a multiple"):
        trainer(width=18, num_heads=4)
    with pytest.raises(InvalidInputError, match=r"Did you mean training\.batch_size"):
        trainer(batchsize=4)
    long = VideoAudioDataset("videos", "audio", duration_s=20.0)
    with pytest.raises(InvalidInputError, match=r"crops of 20 s are longer than the 10\.24 s"):
        trainer().train(long)


def test_a_configuration_that_cannot_be_used_is_refused_by_name(folder):
    from versasound_plugin_training import load_run

    for text, words in (
        ("training: {colour: red}", r"t\.yaml: there is no key training\.colour"),
        ("training: {num_epochs: 3}", r"dataset\.video_dir is missing"),
        ("dataset: [", r"t\.yaml: is not YAML: line 2"),
        ("- a", "wanted `section"),
    ):
        (folder / "t.yaml").write_text(text)
        with pytest.raises(InvalidInputError, match=words):
            load_run("t.yaml")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_without_the_gpu_that_is_asked_for_a_program_trains_on_the_cpu_and_the_command_refuses(config, capsys):
    with pytest.warns(DeviceFallbackWarning, match="no cuda device"):
        assert VersaSoundTrainer(MOTION, AUDIOLDM2, "cuda").device.type == "cpu"
    told = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**told, "device": {"device_type": "cuda"}}))
    assert main(["train", str(config), "--quiet"]) != 0
    assert "device cuda is not available" in capsys.readouterr().err


@pytest.mark.filterwarnings(
    "ignore:Features of 32 dimensions"
)  # the tiny encoder's; the real one has the 768 of the defaults
def test_the_published_example_runs(folder, tiny_hub, monkeypatch):
    """The published text, but for where it is imported from, the device and the number of epochs."""
    pytest.importorskip("versasound_plugin_videomae", reason="videomae, the published default, is not installed")
    for repository in ("cvssp/audioldm2", "MCG-NJU/videomae-base-finetuned-kinetics"):
        tiny_hub.add(repository)
    (folder / "data").mkdir()
    for name in ("videos", "audio"):
        (folder / name).rename(folder / "data" / name)
    text = """
from versasound_plugin_training import VersaSoundTrainer
from versasound_plugin_training import VideoAudioDataset

# Create dataset
dataset = VideoAudioDataset(
    video_dir="data/videos",
    audio_dir="data/audio",
    transform=None
)

# Create trainer
trainer = VersaSoundTrainer(
    visual_encoder_config=...,
    audio_generator_config=...,
    device="cpu"
)

# Train
trainer.train(
    dataset=dataset,
    num_epochs=2,
    batch_size=4,
    learning_rate=1e-4
)
"""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    exec(text, {})
    told = json.loads((folder / "versasound_training" / "adapter" / "adapter.json").read_text())
    assert (told["encoder"], told["generator"], told["training"]["steps"]) == ("videomae", "audioldm2", 2)


@pytest.mark.parametrize(
    ("page", "below"), [("plugins/versasound-plugin-training/README.md", "."), ("docs/how-to/train.md", "data")]
)
def test_the_code_of_the_pages_runs(folder, tiny_hub, monkeypatch, page, below):
    """As it stands there, but for how long it takes: one epoch, on the CPU, of crops that the tiny models can take."""
    from pages import ROOT, blocks

    for repository in ("cvssp/audioldm2", "stabilityai/stable-audio-open-1.0"):
        tiny_hub.add(repository)
    for name in ("videos", "audio"):
        target = folder / below / name
        target.parent.mkdir(exist_ok=True)
        (folder / name).rename(target)
    (block,) = [found for found in blocks(ROOT / page, "python") if "VersaSoundTrainer" in found.text]
    text = block.text.replace("num_epochs=100", "num_epochs=1").replace('"cuda"', '"cpu"')
    exec(text.replace("duration_s=4.0", "duration_s=0.05"), {})
    told = json.loads((folder / "versasound_training" / "adapter" / "adapter.json").read_text())
    assert (told["encoder"], told["training"]["steps"]) == ("motion", 1)


@pytest.mark.parametrize("page", ["plugins/versasound-plugin-training/README.md", "docs/how-to/train.md"])
def test_the_configurations_of_the_pages_are_read(folder, page):
    from pages import ROOT, blocks
    from versasound_plugin_training import load_run

    found = blocks(ROOT / page, "yaml")
    assert found
    for block in found:
        (folder / "shown.yaml").write_text(block.text)
        run = load_run("shown.yaml")
        trained = VersaSoundTrainer(run.core.visual_encoder, run.core.audio_generator, "cpu", training=run.training)
        told = [name for name in ("aligner", "projection") if f"train: {name}" in block.text]
        assert [trained.training.train] == (told or ["adapter"])
