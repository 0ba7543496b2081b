"""The autoencoder, which nothing trains: a lapped transform and the principal components of what it gives.

The modified discrete cosine transform (Princen, Johnson and Bradley 1987) is one convolution as long as two latents and
a step of one; its transpose gives the sound back. Turned to the principal components of the training sounds, the
strongest of which are kept and brought to unit variance, it is an autoencoder of the kind that Stable Audio has.

The sign of such a latent is as good as random: on the average, nothing can be told of it from the picture. How loud it
is can be told. So latents also say how loud each of a few bands is, by the one thing in this encoder that bends: Snake
(Ziyin et al. 2020) adds the square of a sine, which grows with the power and stays below 1. The decoder does without.
"""

# ruff: noqa: ANN401  (diffusers has no types)

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

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


class Components(NamedTuple):
    """What a latent is made of.

    Attributes:
        waves: The strongest principal components, `[count, 2 hop]`.
        strengths: What brings each to unit variance, `[count]`.
        bands: How much each component counts in the loudness of each band, `[bands, count]`.
        silence: Loudness of silence in each band, `[bands]`.
    """

    waves: torch.Tensor
    strengths: torch.Tensor
    bands: torch.Tensor
    silence: torch.Tensor


def components(sounds: torch.Tensor, config: dict[str, Any]) -> Components:
    """Return what latents of sounds like these, `[B, S]`, are to be made of.

    Most of a scene is silent. Strengths are such that a latent is about 1 while something sounds, not on the whole.
    """
    count, bands = config["codec"]["channels"], config["codec"]["bands"]
    transform = lapped(math.prod(config["codec"]["ratios"])).to(sounds)
    frames = _heard(sounds, transform).transpose(1, 2).flatten(0, 1)
    strengths, turn = torch.linalg.eigh(frames.T @ frames / len(frames))
    turn, strengths = turn[:, -count:].T, _LOUD * strengths[-count:].sqrt()
    pitch = turn.square() @ torch.arange(turn.shape[1], device=turn.device, dtype=turn.dtype)
    band = torch.empty(count, dtype=torch.long)
    band[pitch.argsort().cpu()] = torch.arange(count) * bands // count
    shares = functional.one_hot(band, bands).T.to(turn)
    shares /= shares.sum(1, keepdim=True)
    made = Components(turn @ transform, strengths, shares, turn.new_zeros(bands))
    loudness = latents_of(sounds, made)[:, count:]
    deviation = loudness.std((0, 2))
    return made._replace(bands=shares / deviation[:, None], silence=-loudness.mean((0, 2)) / deviation)


def latents_of(sounds: torch.Tensor, parts: Components) -> torch.Tensor:
    """Return what the encoder makes of sounds `[B, S]`, in a thousandth of its time: `[B, count + bands, L]`."""
    heard = _heard(sounds, parts.waves / parts.strengths[:, None])
    return torch.cat([heard, parts.bands @ heard.sin().square() + parts.silence[:, None]], 1)


def _heard(sounds: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
    hop = waves.shape[1] // 2
    return functional.conv1d(sounds[:, None], waves[:, None], stride=hop, padding=hop // 2)


def make_codec(parts: Components, config: dict[str, Any]) -> Any:
    """Make diffusers' `AutoencoderOobleck` of what `components` returns.

    All convolutions but the last two of the encoder and the first two of the decoder only lay samples beside each
    other, or pass on what comes; no unit but the loudness bends or adds anything.
    """
    from diffusers.models.autoencoders.autoencoder_oobleck import AutoencoderOobleck

    ratios, (bands, channels) = config["codec"]["ratios"], parts.bands.shape
    latents = channels + bands
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        codec = AutoencoderOobleck(
            encoder_hidden_size=2 * latents,  # means and deviations
            downsampling_ratios=ratios,
            channel_multiples=[1] * len(ratios),
            decoder_channels=channels,
            decoder_input_channels=latents,
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
    waves = parts.waves.unflatten(1, (2 * ratios[-1], beside)).transpose(1, 2)
    heard = waves / parts.strengths[:, None, None]
    _set(encoder.block[-1].conv1, torch.cat([heard, heard]))
    _set(decoder.block[0].conv_t1, waves * parts.strengths[:, None, None])
    told = functional.pad(torch.eye(channels), (0, channels, 0, bands))
    told[channels:] = torch.cat([-parts.bands, parts.bands], 1)  # what bending has added to the second half
    for layer, weight in (
        (encoder.conv1, torch.eye(1)),
        (encoder.conv2, told),
        (decoder.conv1, torch.eye(channels)),
        (decoder.conv2, torch.eye(1)),
    ):
        _set(layer, functional.pad(weight[..., None], (layer.kernel_size[0] // 2,) * 2))
    with torch.no_grad():
        encoder.snake1.alpha[:, channels : 2 * channels] = 0.0
        encoder.conv2.bias[channels:latents] = parts.silence
        encoder.conv2.bias[latents:] = _STRAIGHT  # latents are certain
    return codec.eval().requires_grad_(False)


@torch.no_grad()
def _set(layer: Any, weight: torch.Tensor) -> None:
    """Give a weight-normalised convolution these weights in its first channels, and nothing in the others."""
    whole = torch.zeros_like(layer.weight_v)
    whole[: weight.shape[0], : weight.shape[1]] = weight
    norm = whole.norm(dim=(1, 2), keepdim=True)
    layer.weight_g.copy_(norm)
    layer.weight_v.copy_(torch.where(norm > 0, whole / norm.clamp_min(1e-12), torch.ones_like(whole)))
