"""The proof: its autoencoder against the closed form, and the whole program at a size that proves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROOF = Path(__file__).parents[1] / "proof"
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")


@pytest.fixture
def codec_module(monkeypatch):
    monkeypatch.syspath_prepend(str(PROOF))
    yield __import__("codec")
    sys.modules.pop("codec")


@pytest.fixture
def sounds():
    return torch.randn(4, 20 * 16, generator=torch.Generator().manual_seed(0))


def config(channels):
    return {"codec": {"ratios": [2, 2, 4], "channels": channels, "bands": 2}, "sample_rate": 16000}


def test_the_lapped_transform_gives_the_sound_back(codec_module, sounds):
    """Princen, Johnson and Bradley (1987): what aliases in one frame is cancelled by the next."""
    waves = codec_module.lapped(16)
    torch.testing.assert_close(waves @ waves.T, torch.eye(16), rtol=0, atol=1e-5)
    torch.testing.assert_close(waves[:, :16] @ waves[:, 16:].T, torch.zeros(16, 16), rtol=0, atol=1e-5)
    codec = codec_module.make_codec(codec_module.components(sounds, config(16)), config(16))
    made = codec.decode(codec.encode(sounds[:, None]).latent_dist.mode()).sample[:, 0]
    torch.testing.assert_close(made[:, 16:-16], sounds[:, 16:-16], rtol=0, atol=1e-4)


def test_the_encoder_computes_the_closed_form_and_the_decoder_its_transpose(codec_module, sounds):
    parts = codec_module.components(sounds, config(5))
    codec = codec_module.make_codec(parts, config(5))
    latents = codec.encode(sounds[:, None]).latent_dist
    expected = codec_module.latents_of(sounds, parts)
    torch.testing.assert_close(latents.mode(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(expected[:, 5:].mean((0, 2)), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(expected[:, 5:].std((0, 2)), torch.ones(2), rtol=0, atol=1e-5)
    assert float(latents.std.max()) < 1e-3
    waves = (parts.waves * parts.strengths[:, None])[:, None]
    back = torch.nn.functional.conv_transpose1d(expected[:, :5], waves, stride=16, padding=8)
    torch.testing.assert_close(codec.decode(expected).sample, back, rtol=0, atol=1e-4)


def test_the_autoencoder_survives_its_file_in_half_precision(codec_module, sounds, tmp_path):
    codec = codec_module.make_codec(codec_module.components(sounds, config(16)), config(16))
    codec.half().save_pretrained(tmp_path)
    read = type(codec).from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        made = read.decode(read.encode(sounds[:, None]).latent_dist.mode()).sample[:, 0]
    torch.testing.assert_close(made[:, 16:-16], sounds[:, 16:-16], rtol=0, atol=2e-2)


def test_the_program_goes_all_the_way(tmp_path, env):
    command = [sys.executable, PROOF / "prove.py", "--out", tmp_path, "--limit-s", "20", "--quick", "--device", "cpu"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["table"]
    assert set(table) >= {"true sounds", "the scene's own features", "another scene's features", "no adapter, no word"}
    assert table["true sounds"]["onset_f1"] > 0.8
    from diffusers import StableAudioPipeline

    from versasound_core.adapters import load_adapter

    assert StableAudioPipeline.from_pretrained(tmp_path / "generator").vae.hop_length == 640
    assert load_adapter(tmp_path / "adapter").facts.num_tokens == 48
