"""The network can be trained again by one command; here two steps of a tiny one, and a clip with sound beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from versasound_plugin_learned.network import StrikeNet

TRAINING = Path(__file__).parents[1] / "training"
NETWORK = {"widths": [4, 4, 4], "hidden": 8, "blocks": 1}
TINY = {
    "network": NETWORK,
    "batch": 8,
    "store": 2,
    "frames": 24,
    "windows": [16],
    "check": 1,
    "steps": 2,
    "recordings": 2,
    "second": {"steps": 2, "rate": 1e-3, "lag": 0.5},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from versasound_core.containers import AudioData, VideoClip
    from versasound_core.media.mux import mux
    from versasound_core.scenes import random_scene, write_scene

    folder = tmp_path_factory.mktemp("trained")
    (folder / "real").mkdir()
    silent = VideoClip.open(write_scene(random_scene(9500, 4.0), folder / "scene.mp4", height=96))
    wave = torch.zeros(1, 1, 64000)
    wave[..., 8000::16000] = 1.0
    mux(silent, [AudioData(wave, 16000)], folder / "real" / "clip.mp4")
    sets = [f"{name}={json.dumps(value)}" for name, value in TINY.items()]
    words = [sys.executable, "train.py", "--device", "cpu", "--out", folder, "--real", folder / "real", "--set", *sets]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(list(map(str, words)), cwd=TRAINING, env=env, check=True, capture_output=True)
    return folder


def test_the_weights_are_the_mean_of_two_runs(trained):
    first, second, mean = (load_file(trained / name / "strikes.safetensors") for name in ("first", "second", "."))
    assert any(not torch.equal(first[name], second[name]) for name in mean)
    for name, value in mean.items():
        torch.testing.assert_close(
            value.float(), (first[name].float() + second[name].float()) / 2, atol=1e-3, rtol=1e-3
        )
    StrikeNet(**NETWORK).load_state_dict({name: value.float() for name, value in mean.items()}, strict=False)


def test_the_log_tells_of_both_and_of_all_that_taught(trained):
    lines = [json.loads(line) for line in (trained / "train.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 0, 1]
    assert ["lag_loss" in line for line in lines] == [False, False, True, True]
    assert all({"train_loss", "real_loss", "windows"} <= line.keys() for line in lines)
