"""stable-audio-tools in the environment that the documented command builds, against the library called directly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import torch
from safetensors.torch import load_file

from versasound_core import registry
from versasound_core.containers import GenerationRequest
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import BrokenPluginError, Cancelled, ModelLoadError, PluginError
from versasound_core.worker.environments import find
from versasound_core.worker.process import stop_all, worker

if TYPE_CHECKING:
    from tiny_hub import TinyHub

NAME, RATE, PROMPT = "stable_audio_tools", 16000, "rain on a roof"
OFF = {"words": False, "timing": "none"}
_CODEC = {"channels": 4, "c_mults": [1, 2, 4], "strides": [4, 4, 4], "use_snake": True}
_LARGEST = {"min_val": 0, "max_val": 512}
CONFIG = {
    "model_type": "diffusion_cond",
    "sample_size": 64 * 500,
    "sample_rate": RATE,
    "audio_channels": 2,
    "model": {
        "pretransform": {
            "type": "autoencoder",
            "iterate_batch": True,
            "config": {
                "encoder": {"type": "oobleck", "config": {**_CODEC, "in_channels": 2, "latent_dim": 16}},
                "decoder": {
                    "type": "oobleck",
                    "config": {**_CODEC, "out_channels": 2, "latent_dim": 8, "final_tanh": False},
                },
                "bottleneck": {"type": "vae"},
                "latent_dim": 8,
                "downsampling_ratio": 64,
                "io_channels": 2,
            },
        },
        "conditioning": {
            "configs": [
                {"id": "prompt", "type": "t5", "config": {"t5_model_name": "t5-base", "max_length": 64}},
                {"id": "seconds_start", "type": "number", "config": _LARGEST},
                {"id": "seconds_total", "type": "number", "config": _LARGEST},
            ],
            "cond_dim": 768,
        },
        "diffusion": {
            "cross_attention_cond_ids": ["prompt", "seconds_start", "seconds_total"],
            "global_cond_ids": ["seconds_start", "seconds_total"],
            "type": "dit",
            "config": {
                "io_channels": 8,
                "embed_dim": 64,
                "depth": 2,
                "num_heads": 2,
                "cond_token_dim": 768,
                "global_cond_dim": 1536,
                "project_cond_tokens": False,
                "transformer_type": "continuous_transformer",
            },
        },
        "io_channels": 8,
    },
}
# Draws weights, and writes what the library itself makes of them.
_RAW = """
import copy, json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from versasound_plugin_stable_audio.tools import library
folder, t5, asked = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
conditioner = library("models.conditioners").T5Conditioner
conditioner.T5_MODELS.append(t5)
conditioner.T5_MODEL_DIMS[t5] = 768
config = json.loads((folder / "model_config.json").read_text())
config["model"]["conditioning"]["configs"][0]["config"]["t5_model_name"] = t5
torch.manual_seed(0)
model = library("models.factory").create_model_from_config(config).eval()
with torch.no_grad():
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.normal_(0, weight[0].numel() ** -0.5)
save_file({k: v.clone().contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
made = {}
for name, how in asked.items():
    with torch.inference_mode():
        made[name] = library("inference.generation").generate_diffusion_cond(
            model, sample_size=config["sample_size"], device="cpu", **how).float().contiguous()
save_file(made, folder / "raw.safetensors")
"""


def ask(**fields: Any) -> GenerationRequest:
    usual = {"duration_s": 1.0, "prompt": PROMPT, "seed": 3, "sample_rate": RATE, "num_inference_steps": 5}
    return GenerationRequest(**usual | fields)


def test_without_its_environment_it_says_what_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSASOUND_DATA", str(tmp_path))
    with pytest.raises(PluginError, match=f"versasound env create {NAME}"):
        registry.create("generator", NAME)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of environments with this one in it."""
    if not os.environ.get("VERSASOUND_TEST_ENVS"):
        pytest.skip("VERSASOUND_TEST_ENVS is not set: building the environment takes 1.6 GB")
    data = Path(os.environ.get("VERSASOUND_DATA") or tmp_path_factory.mktemp("data"))
    command = [sys.executable, "-m", "versasound_core", "env", "create", NAME, "--yes"]
    subprocess.run(command, env={**os.environ, "VERSASOUND_DATA": str(data)}, check=True)
    return data


@attrs.frozen
class Case:
    folder: Path
    raw: dict[str, torch.Tensor]


@pytest.fixture(scope="session", params=["v", "rectified_flow", "rf_denoiser"])
def case(
    environment: Path, tiny_hub_files: TinyHub, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Case:
    """A tiny checkpoint of each objective, and the library's own sounds."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = json.loads(json.dumps(CONFIG))
    config["model"]["diffusion"]["diffusion_objective"] = request.param
    (folder / "model_config.json").write_text(json.dumps(config))
    sampler = {
        "v": {"sampler_type": "dpmpp-3m-sde", "sigma_min": 0.3, "sigma_max": 500},
        "rectified_flow": {"sampler_type": "euler"},
        "rf_denoiser": {"sampler_type": "pingpong"},
    }[request.param]

    def how(total: float, **fields: Any) -> dict[str, Any]:
        told = [{"prompt": PROMPT, "seconds_start": 0, "seconds_total": total}]
        return {"steps": 5, "cfg_scale": 3.0, "seed": 3, "conditioning": told} | sampler | fields

    no = [{"prompt": "music", "seconds_start": 0, "seconds_total": 1.0}]
    asked = {
        "plain": how(1.0),
        "seed": how(1.0, seed=4),
        "negative": how(1.0, negative_conditioning=no),
        "free": how(1.0, cfg_scale=1.0),
        "whole": how(2.0),
    }
    python = environment / "environments" / NAME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [python, "-I", "-c", _RAW, folder, tiny_hub_files.add("google-t5/t5-base"), json.dumps(asked)]
    subprocess.run(command, check=True, capture_output=True)
    return Case(folder, load_file(folder / "raw.safetensors"))


@pytest.fixture
def make(environment: Path, case: Case, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("VERSASOUND_DATA", str(environment))
    tiny_hub.add("google-t5/t5-base")
    yield registry.create("generator", NAME, weights=str(case.folder), **OFF)
    stop_all()


def test_without_steering_it_is_the_librarys_own_output(make: Any, case: Case) -> None:
    fields: dict[str, dict[str, Any]] = {
        "plain": {},
        "seed": {"seed": 4},
        "negative": {"negative_prompt": "music"},
        "free": {"guidance_scale": 1.0},
        "whole": {"duration_s": 2.0},
    }
    for name, asked in fields.items():
        made = make.generate(None, ask(**{"guidance_scale": 3.0} | asked), RunContext())
        expected = case.raw[name][..., : made.shape[2]]
        assert torch.equal(made.waveform, expected), name
        assert float(expected.std()) > 1e-3
    assert not torch.equal(case.raw["plain"], case.raw["seed"])
    assert not torch.equal(case.raw["plain"], case.raw["negative"])


def test_what_is_longer_than_its_window_and_at_another_rate(make: Any) -> None:
    made = make.generate(None, ask(duration_s=5.0, sample_rate=44100), RunContext())
    assert made.shape == (1, 2, 5 * 44100)
    assert made.metadata["windows"] > 1


def test_every_step_is_told_and_cancelling_stops_at_one(make: Any) -> None:
    told: list[float] = []
    make.generate(None, ask(num_inference_steps=9), RunContext(progress=lambda fraction, _: told.append(fraction)))
    assert len(told) >= 9
    token = CancelToken()

    def stop(fraction: float, _: str) -> None:
        if fraction > 0:
            token.cancel()

    with pytest.raises(Cancelled):
        make.generate(None, ask(num_inference_steps=5000), RunContext(cancel=token, progress=stop))


def test_killed_it_is_told_and_the_next_call_starts_anew(make: Any) -> None:
    before = make.generate(None, ask(), RunContext()).waveform
    process = worker(find(NAME), registry.get("generator", NAME))

    def kill(fraction: float, _: str) -> None:
        if fraction > 0:
            os.kill(process.pid, 9)

    with pytest.raises(BrokenPluginError, match="SIGKILL"):
        make.generate(None, ask(num_inference_steps=5000), RunContext(progress=kill))
    assert torch.equal(make.generate(None, ask(), RunContext()).waveform, before)


def test_what_is_no_text_to_sound_model_is_refused(make: Any, tmp_path: Path) -> None:
    (tmp_path / "model_config.json").write_text('{"model_type": "autoencoder"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelLoadError, match="autoencoder"):
        registry.create("generator", NAME, weights=str(tmp_path), **OFF).generate(None, ask(), RunContext())
