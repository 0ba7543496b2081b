"""The autoencoder, which nothing trains: a lapped transform and the principal components of what it gives.

The modified discrete cosine transform (Princen, Johnson and Bradley 1987) is one convolution as long as two latents and
a step of one; its transpose gives the sound back. Turned to the principal components of the training sounds, the
strongest of which are kept and brought to unit variance, it is an autoencoder of the kind that Stable Audio has.
"""

# ruff: noqa: ANN401  (diffusers has no types)

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_STRAIGHT = -20.0  # logarithm of how much a Snake bends
_LOUD = 3.0


def lapped(hop: int) -> torch.Tensor:
    """Return the orthonormal transform `[hop, 2 hop]`, under a sine window."""
    time, pitch = torch.arange(2 * hop, dtype=torch.float64) + 0.5, torch.arange(hop, dtype=torch.float64) + 0.5
    wave = torch.cos(math.pi / hop * (time + hop / 2) * pitch[:, None])
    return (math.sqrt(2 / hop) * torch.sin(math.pi / (2 * hop) * time) * wave).float()


def components(sounds: torch.Tensor, hop: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the `count` strongest waves `[count, 2 hop]` of sounds `[B, S]`, and how strong each is, `[count]`.

    Most of a scene is silent. Strengths are such that a latent is about 1 while something sounds, not on the whole.
    """
    transform = lapped(hop).to(sounds)
    frames = _heard(sounds, transform).transpose(1, 2).flatten(0, 1)
    strengths, turn = torch.linalg.eigh(frames.T @ frames / len(frames))
    return turn[:, -count:].T @ transform, _LOUD * strengths[-count:].sqrt()


def latents_of(sounds: torch.Tensor, waves: torch.Tensor, strengths: torch.Tensor) -> torch.Tensor:
    """Return what the encoder makes of sounds `[B, S]`, in a thousandth of its time: `[B, count, L]`."""
    return _heard(sounds, waves / strengths[:, None])


def _heard(sounds: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
    hop = waves.shape[1] // 2
    return functional.conv1d(sounds[:, None], waves[:, None], stride=hop, padding=hop // 2)


def make_codec(waves: torch.Tensor, strengths: torch.Tensor, config: dict[str, Any]) -> Any:
    """Make diffusers' `AutoencoderOobleck` of what `components` returns.

    All convolutions but the last of the encoder and the first of the decoder only lay samples beside each other, or
    pass on what comes; no unit bends or adds anything.
    """
    from diffusers.models.autoencoders.autoencoder_oobleck import AutoencoderOobleck

    ratios, channels = config["codec"]["ratios"], config["codec"]["channels"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        codec = AutoencoderOobleck(
            encoder_hidden_size=2 * channels,  # means and deviations
            downsampling_ratios=ratios,
            channel_multiples=[1] * len(ratios),
            decoder_channels=channels,
            decoder_input_channels=channels,
            audio_channels=1,
            sampling_rate=config["sample_rate"],
        )
    for name, weight in codec.named_parameters():
        nn.init.constant_(weight, _STRAIGHT if name.endswith("alpha") else 1.0 if name.endswith("_v") else 0.0)
    encoder, decoder, beside = codec.encoder, codec.decoder, 1
    for ratio, into, out in zip(ratios[:-1], encoder.block, reversed(decoder.block), strict=False):
        laid = torch.zeros(beside * ratio, beside, 2 * ratio)
        for place in range(ratio):
            for channel in range(beside):
                laid[place * beside + channel, channel, ratio // 2 + place] = 1
        _set(into.conv1, laid)
        _set(out.conv_t1, laid)
        beside *= ratio
    waves = waves.unflatten(1, (2 * ratios[-1], beside)).transpose(1, 2)
    _set(encoder.block[-1].conv1, waves / strengths[:, None, None])
    _set(decoder.block[0].conv_t1, waves * strengths[:, None, None])
    for layer, width in ((encoder.conv1, 1), (encoder.conv2, channels), (decoder.conv1, channels), (decoder.conv2, 1)):
        _set(layer, functional.pad(torch.eye(width)[..., None], (layer.kernel_size[0] // 2,) * 2))
    with torch.no_grad():
        encoder.conv2.bias[channels:] = _STRAIGHT  # latents are certain
    return codec.eval().requires_grad_(False)


@torch.no_grad()
def _set(layer: Any, weight: torch.Tensor) -> None:
    """Give a weight-normalised convolution these weights in its first channels, and nothing in the others."""
    whole = torch.zeros_like(layer.weight_v)
    whole[: weight.shape[0], : weight.shape[1]] = weight
    norm = whole.norm(dim=(1, 2), keepdim=True)
    layer.weight_g.copy_(norm)
    layer.weight_v.copy_(torch.where(norm > 0, whole / norm.clamp_min(1e-12), torch.ones_like(whole)))
