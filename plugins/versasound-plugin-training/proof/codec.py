"""Training the autoencoder: sound to latents of 32 ms and back."""

# ruff: noqa: ANN401  (diffusers has no types)

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZES = (64, 256, 1024, 2048)
_KL = 1e-3


def make_codec(config: dict[str, Any]) -> Any:
    """Make diffusers' `AutoencoderOobleck`."""
    from diffusers.models.autoencoders.autoencoder_oobleck import AutoencoderOobleck

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return AutoencoderOobleck(**config["codec"]["model"], sampling_rate=config["sound"]["sample_rate"])


def train_codec(
    codec: Any, sounds: torch.Tensor, config: dict[str, Any], until: float, tell: Callable[[str, int, float], None]
) -> None:
    """Train until the clock says `until`, then scale the latents to unit variance."""
    device, settings = sounds.device, config["codec"]
    generator = torch.Generator(device).manual_seed(config["seed"])
    optimiser = torch.optim.AdamW(codec.parameters(), lr=settings["rate"], betas=(0.8, 0.99), weight_decay=1e-4)
    begun, step = time.monotonic(), 0
    codec.train()
    while (now := time.monotonic()) < until:
        share = (now - begun) / (until - begun)
        for group in optimiser.param_groups:
            group["lr"] = settings["rate"] * min(1.0, (step + 1) / 100) * (1 - share) ** 0.5
        rows = torch.randint(len(sounds), (settings["batch"],), generator=generator, device=device)
        heard = crops(sounds, rows, settings["samples"], generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            latents = codec.encode(heard[:, None]).latent_dist
            mean, deviation = latents.mean.float(), latents.std.float()
            noise = torch.randn(mean.shape, generator=generator, device=device)
            made = codec.decode(mean + deviation * noise).sample[:, 0].float()
        loss = distance(made, heard) + _KL * (mean**2 + deviation**2 - 2 * deviation.log() - 1).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            tell("codec", step, float(loss.detach()))
        step += 1
    tell("codec", step, float(loss.detach()))
    codec.eval().requires_grad_(False)
    _unit_variance(codec, sounds[:256])


def crops(sounds: torch.Tensor, rows: torch.Tensor, samples: int, generator: torch.Generator) -> torch.Tensor:
    """Cut `[len(rows), samples]` out of sounds `[B, S]` at random places, at random levels."""
    count, device = len(rows), sounds.device
    starts = torch.randint(sounds.shape[1] - samples + 1, (count, 1), generator=generator, device=device)
    gain = 10 ** (torch.rand(count, 1, generator=generator, device=device) * 0.6 - 0.4)
    return sounds[rows[:, None], starts + torch.arange(samples, device=device)] * gain


def distance(made: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    """How unlike sounds `[B, T]` are, to the ear more than to the eye: spectra of several resolutions."""
    total = 5 * functional.l1_loss(made, heard)
    for size in _SIZES:
        window = torch.hann_window(size, device=made.device)
        a, b = (torch.stft(x, size, size // 4, window=window, return_complex=True).abs() / size for x in (made, heard))
        total = total + ((a - b).norm(dim=(1, 2)) / (b.norm(dim=(1, 2)) + 0.1)).mean()
        total = total + functional.l1_loss((a + 1e-4).log(), (b + 1e-4).log())
    return total


@torch.no_grad()
def _unit_variance(codec: Any, sounds: torch.Tensor) -> None:
    """Give each channel of the latents mean 0 and variance 1, by changing the weights on both sides of it."""
    latents = torch.cat([codec.encode(part[:, None]).latent_dist.mode() for part in sounds.split(32)])
    mean, deviation = latents.mean((0, 2)), latents.std((0, 2)).clamp_min(1e-3)
    count = len(mean)
    into, out = codec.encoder.conv2, codec.decoder.conv1
    into.weight_g[:count] /= deviation[:, None, None]
    into.bias[:count] = (into.bias[:count] - mean) / deviation
    weight = out.weight_v * out.weight_g / out.weight_v.norm(dim=(1, 2), keepdim=True)
    out.bias += (weight * mean[None, :, None]).sum((1, 2))
    weight = weight * deviation[None, :, None]
    out.weight_v.copy_(weight)
    out.weight_g.copy_(weight.norm(dim=(1, 2), keepdim=True))
