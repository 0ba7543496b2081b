"""Latents to sound and back, as much as is heard, in chunks that bound the memory.

Encoder and decoder see a bounded stretch around each latent (by convolutions in Stable Audio Open, by attention in a
window in Stable Audio 3), so that a chunk with its surroundings gives what the whole would.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

_CHUNK = 256  # latents
_REACH = 32  # latents to either side that anything may depend on; convolutions and attention reach less than 16


def hop(vae: Any) -> int:  # noqa: ANN401
    """Return samples of a latent."""
    return int(getattr(vae, "downsampling_ratio", None) or vae.hop_length)


def decoded(vae: Any, latents: torch.Tensor, length: int) -> torch.Tensor:  # noqa: ANN401
    """Decode the first `length` samples of latents `[1, C, L]`: `[1, channels, length]`."""
    step = hop(vae)
    heard = math.ceil(length / step)
    parts = []
    for start in range(0, heard, _CHUNK):
        first, last = max(0, start - _REACH), min(start + _CHUNK, heard) + _REACH
        sound = vae.decode(latents[..., first:last]).sample
        begin = (start - first) * step
        parts.append(sound[..., begin : begin + _CHUNK * step])
    return torch.cat(parts, -1)[..., :length]


def encoded(vae: Any, sound: torch.Tensor, count: int) -> torch.Tensor:  # noqa: ANN401
    """Encode a sound `[1, channels, T]`, followed by silence, to `count` latents `[1, C, count]`: their means."""
    step = hop(vae)
    heard = min(count, math.ceil(sound.shape[-1] / step) + _REACH)
    known = min(count, heard + _REACH)
    sound = functional.pad(sound, (0, max(0, known * step - sound.shape[-1])))
    parts = []
    for start in range(0, heard, _CHUNK):
        first, last = max(0, start - _REACH), min(known, start + _CHUNK + _REACH)
        found = vae.encode(sound[..., first * step : last * step])
        latents = found.latents if "latents" in found else found.latent_dist.mode()
        parts.append(latents[..., start - first :][..., : min(_CHUNK, heard - start)])
    made = torch.cat(parts, -1)
    return torch.cat([made, made[..., -1:].expand(-1, -1, count - heard)], -1)  # all of silence is alike
