"""Latents to sound and back, as much as is heard, in chunks that bound the memory.

Encoder and decoder are made of convolutions alone, so that a chunk with its surroundings gives what the whole would.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

_CHUNK = 256  # latents
_REACH = 32  # latents to either side that anything may depend on; the convolutions reach less than 16


def decoded(vae: Any, latents: torch.Tensor, length: int) -> torch.Tensor:  # noqa: ANN401
    """Decode the first `length` samples of latents `[1, C, L]`: `[1, channels, length]`."""
    hop = vae.hop_length
    heard = math.ceil(length / hop)
    parts = []
    for start in range(0, heard, _CHUNK):
        first, last = max(0, start - _REACH), min(start + _CHUNK, heard) + _REACH
        sound = vae.decode(latents[..., first:last]).sample
        begin = (start - first) * hop
        parts.append(sound[..., begin : begin + _CHUNK * hop])
    return torch.cat(parts, -1)[..., :length]


def encoded(vae: Any, sound: torch.Tensor, count: int) -> torch.Tensor:  # noqa: ANN401
    """Encode a sound `[1, channels, T]`, followed by silence, to `count` latents `[1, C, count]`: their means."""
    hop = vae.hop_length
    heard = min(count, math.ceil(sound.shape[-1] / hop) + _REACH)
    sound = functional.pad(sound, (0, max(0, (heard + _REACH) * hop - sound.shape[-1])))
    parts = []
    for start in range(0, heard, _CHUNK):
        first, last = max(0, start - _REACH), min(heard + _REACH, start + _CHUNK + _REACH)
        latents = vae.encode(sound[..., first * hop : last * hop]).latent_dist.mode()
        parts.append(latents[..., start - first :][..., : min(_CHUNK, heard - start)])
    made = torch.cat(parts, -1)
    return torch.cat([made, made[..., -1:].expand(-1, -1, count - heard)], -1)  # all of silence is alike
