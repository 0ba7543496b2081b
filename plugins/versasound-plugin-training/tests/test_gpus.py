"""Half precision with scaled gradients, and several GPUs: what a machine without them cannot show."""

from __future__ import annotations

import csv
import functools
import json
import math
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file
from versasound_plugin_training import VersaSoundTrainer, VideoAudioDataset

from versasound_core.context import CancelToken
from versasound_core.errors import Cancelled

pytest.importorskip("diffusers", reason="diffusers, with which the generators come, is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

GPUS = torch.cuda.device_count()
pytestmark = pytest.mark.skipif(not GPUS, reason="there is no CUDA device: run this file where there is one")
several = pytest.mark.skipif(GPUS < 2, reason="there are not two CUDA devices: run this file where there are")

SMALL = {"width": 16, "num_layers": 1, "num_heads": 2, "num_tokens": 4, "warmup_steps": 2}
OFTEN = {**SMALL, "sample_every_steps": 0, "log_every_steps": 1, "save_every_steps": 2, "workers": 0}


@pytest.fixture
def dataset(folder, tiny_hub):
    tiny_hub.add("cvssp/audioldm2")
    return VideoAudioDataset("videos", "audio", duration_s=0.5, prompts="labels.csv")


def trainer(progress=None, cancel=None, **training):
    models = {"backbone": "motion"}, {"default_model": "audioldm2"}
    return VersaSoundTrainer(*models, "cuda:0", training={**OFTEN, **training}, progress=progress, cancel=cancel)


def numbers(folder, *columns):
    """Return what the table of a run says, row after row."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) for name in columns]


def scale(folder):
    last = max((folder / "checkpoints").iterdir())
    return json.loads((last / "state.json").read_text())["scaler"]


def adapter(folder):
    return load_file(folder / "adapter" / "adapter.safetensors")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_learns_what_full_precision_learns(folder, dataset, precision):
    for name in ("fp32", precision):
        trainer(precision=name).train(dataset, 4, 3, 1e-3, output_dir=name)
    full, half = (numbers(folder / name, "loss", "grad_norm") for name in ("fp32", precision))
    assert half != full
    assert half == pytest.approx(full, rel=0.05)
    assert {value.dtype for value in adapter(folder / precision).values()} == {torch.float32}
    assert (scale(folder / precision) is not None) == (precision == "fp16")


def test_a_run_in_fp16_goes_on_with_its_scale_where_it_stopped(folder, dataset):
    trainer(precision="fp16").train(dataset, 6, 3, 1e-3, output_dir="whole")
    token = CancelToken()

    def progress(fraction, message):
        if message.startswith("step 3 of"):
            token.cancel()

    with pytest.raises(Cancelled):
        trainer(progress, token, precision="fp16").train(dataset, 6, 3, 1e-3, output_dir="stopped")
    assert len(numbers(folder / "stopped", "step")) < 6
    trainer(precision="fp16").train(dataset, 6, 3, 1e-3, output_dir="stopped")
    assert scale(folder / "stopped") == scale(folder / "whole")
    again, whole = (numbers(folder / name, "step", "loss", "learning_rate") for name in ("stopped", "whole"))
    assert again == pytest.approx(whole, rel=1e-3)


def test_steps_whose_gradients_overflow_are_passed_over(folder, dataset, monkeypatch):
    started = functools.partialmethod(torch.amp.GradScaler.__init__, init_scale=2.0**30)
    monkeypatch.setattr(torch.amp.GradScaler, "__init__", started)
    trainer(precision="fp16", num_epochs=20).train(dataset, 20, 3, 1e-3, output_dir="high")
    finite = [math.isfinite(norm) for norm in numbers(folder / "high", "grad_norm")]
    assert not finite[0]
    assert finite[-1]
    assert scale(folder / "high")["scale"] == 2.0 ** (30 - finite.count(False))
    assert all(value.isfinite().all() for value in adapter(folder / "high").values())


@several
@pytest.mark.parametrize(("precision", "alike"), [("fp32", 1e-4), ("bf16", 0.05), ("fp16", 0.05)])
def test_two_gpus_learn_what_one_learns_with_twice_the_batch(folder, dataset, env, precision, alike):
    """Started as the page on training says. TF32 would round what is to be compared."""
    alone = [sys.executable, "-m", "versasound_core"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    for name, batch, program in (("one", 2, alone), ("two", 1, [*launch, "-m", "versasound_core"])):
        told = {
            "dataset": {"video_dir": "videos", "audio_dir": "audio", "duration_s": 0.5},
            "visual_encoder": {"backbone": "motion"},
            "audio_generator": {"default_model": "audioldm2"},
            "training": {**OFTEN, "num_epochs": 4, "batch_size": batch, "precision": precision, "output_dir": name},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(told))
        words = [*program, "train", f"{name}.yaml", "--quiet"]
        subprocess.run(words, env={**env, "NVIDIA_TF32_OVERRIDE": "0"}, check=True)
    one, two = (numbers(folder / name, "step", "loss", "learning_rate", "grad_norm") for name in ("one", "two"))
    assert len(one) == 4 * 8
    assert two == pytest.approx(one, rel=alike)
    weights = adapter(folder / "two")
    if precision == "fp32":
        for name, value in adapter(folder / "one").items():
            torch.testing.assert_close(value, weights[name], atol=2e-5, rtol=1e-3)
