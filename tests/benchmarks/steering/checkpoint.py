"""Checkpoints to steer: tiny ones of random weights, and one whose autoencoder was taught to keep sounds.

Noise on a draft is noise on its latents, and an autoencoder of random weights keeps nothing of a sound, so that nothing
can be said of drafts with it. The one made here is trained on foley for a few minutes. Its denoiser is not trained at
all: its last layer is 0, which makes it the best guess of one who knows only that latents have mean 0 and variance 1.
What rises in its curve is what is kept of the draft.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from versasound_core import registry
from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.scenes import random_scene

RATE, LATENTS, CROP, BATCH = 16000, 16, 8192, 8
PROMPTS = ("a hammer on metal", "knocking on wood", "footsteps on stone", "a ball on concrete")
_SIZES = (64, 256, 1024)


def drafts(count: int) -> torch.Tensor:
    """Return foley of scenes that are measured by nobody, `[count, T]`."""
    foley = registry.create("generator", "foley")
    made = []
    for seed in range(count):
        strikes = [[(s.time_s, s.strength) for s in random_scene(seed, confounders=False).strikes]]
        features = VisualFeatures(torch.zeros(1, 48, 4), {"fps": 8.0}, EventTrack(torch.zeros(1, 600), 100.0, strikes))
        request = GenerationRequest(duration_s=6.0, prompt=PROMPTS[seed % len(PROMPTS)], seed=seed, sample_rate=RATE)
        made.append(foley.generate(features, request, RunContext()).waveform[0].mean(0))
    return torch.stack(made)


def distance(made: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    """How unlike sounds `[B, T]` are: spectra of several resolutions."""
    total = 5 * functional.l1_loss(made, heard)
    for size in _SIZES:
        window = torch.hann_window(size)
        a, b = (torch.stft(x, size, size // 4, window=window, return_complex=True).abs() / size for x in (made, heard))
        total = total + functional.l1_loss((a + 1e-4).log(), (b + 1e-4).log()) + 20 * functional.l1_loss(a, b)
    return total


def train(vae: Any, sounds: torch.Tensor, steps: int) -> None:
    """Teach the autoencoder to keep sounds, and give its latents mean 0 and variance 1."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.8, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(sounds), (BATCH, 1), generator=generator)
        starts = torch.randint(sounds.shape[1] - CROP, (BATCH, 1), generator=generator)
        heard = sounds[rows, starts + torch.arange(CROP)]
        loss = distance(vae.decode(vae.encode(heard[:, None]).latent_dist.mode()).sample[:, 0], heard)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"autoencoder, step {step}: {float(loss.detach()):.3f}", file=sys.stderr, flush=True)
    with torch.no_grad():
        latents = torch.cat([vae.encode(part[:, None]).latent_dist.mode() for part in torch.split(sounds[:32], 4)])
        mean, deviation = latents.mean((0, 2)), latents.std((0, 2))
        into, out = vae.encoder.conv2, vae.decoder.conv1
        into.weight_g[:LATENTS] /= deviation[:, None, None]
        into.bias[:LATENTS] = (into.bias[:LATENTS] - mean) / deviation
        weight = out.weight_v * out.weight_g / out.weight_v.norm(dim=(1, 2), keepdim=True)
        out.bias += (weight * mean[None, :, None]).sum((1, 2))
        out.weight_v.copy_(weight * deviation[None, :, None])
        out.weight_g.copy_(out.weight_v.norm(dim=(1, 2), keepdim=True))


def trained(folder: Path, steps: int) -> Path:
    """Write a checkpoint in Stable Audio's format whose autoencoder was trained."""
    from diffusers import (
        AutoencoderOobleck,
        CosineDPMSolverMultistepScheduler,
        StableAudioDiTModel,
        StableAudioProjectionModel,
    )
    from tiny_hub.diffusion import part, t5_encoder, t5_tokenizer, write_index

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    vae = AutoencoderOobleck(
        encoder_hidden_size=2 * LATENTS,
        downsampling_ratios=[4, 4, 8],
        channel_multiples=[1, 1, 2],
        decoder_channels=16,
        decoder_input_channels=LATENTS,
        audio_channels=1,
        sampling_rate=RATE,
    )
    train(vae, drafts(64), steps)
    vae.save_pretrained(folder / "vae")
    t5_encoder(folder / "text_encoder", 16, t5_tokenizer(folder / "tokenizer", 128))
    part(folder, "projection_model", lambda: StableAudioProjectionModel(16, 16, min_value=0, max_value=512))
    transformer = StableAudioDiTModel(
        sample_size=1024,
        in_channels=LATENTS,
        out_channels=LATENTS,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        num_key_value_attention_heads=1,
        cross_attention_dim=16,
        time_proj_dim=8,
        global_states_input_dim=32,
        cross_attention_input_dim=16,
    )
    with torch.no_grad():
        transformer.proj_out.weight.zero_()
    transformer.save_pretrained(folder / "transformer")
    scheduler = CosineDPMSolverMultistepScheduler(
        solver_order=2, prediction_type="v_prediction", sigma_min=0.02, sigma_max=50.0
    )
    scheduler.save_pretrained(folder / "scheduler")
    parts = {
        "projection_model": ("stable_audio", "StableAudioProjectionModel"),
        "scheduler": ("diffusers", "CosineDPMSolverMultistepScheduler"),
        "text_encoder": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "T5TokenizerFast"),
        "transformer": ("diffusers", "StableAudioDiTModel"),
        "vae": ("diffusers", "AutoencoderOobleck"),
    }
    write_index(folder, "StableAudioPipeline", parts)
    return folder
