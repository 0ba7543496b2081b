"""The network of an adapter: many features to few tokens, each of which looks after its own stretch of time."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .inputs import EVENT_CHANNELS

_WAVES = 10  # sines and cosines of the time, from one in 64 s to 8 in a second
_STEEPEST = 8.0  # how fast a head's attention falls with the distance in time, per second


class Resampler(nn.Module):
    """Learned queries attend to features over time (Perceiver IO, Jaegle et al. 2022; Flamingo, Alayrac et al. 2022).

    Query `n` of `N` stands for the `n`-th stretch of the clip. Half of the heads prefer what is near to it in time, by
    a slope linear in the distance (ALiBi, Press et al. 2022), the others see the whole clip: so a token can say when,
    to a fraction of its stretch, and what.

    Args:
        feature_dim: Length of a feature vector.
        token_dim: Length of a token: the generator's text tokens'.
        num_tokens: Tokens made of a clip.
        width: Of the layers between.
        num_layers: How many.
        num_heads: Of each attention; even.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    slopes: torch.Tensor

    def __init__(  # noqa: PLR0913  (the shape of the network)
        self,
        feature_dim: int,
        token_dim: int,
        *,
        num_tokens: int = 32,
        width: int = 256,
        num_layers: int = 2,
        num_heads: int = 4,
    ) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.register_buffer("mean", torch.zeros(feature_dim + EVENT_CHANNELS))
        self.register_buffer("deviation", torch.ones(feature_dim + EVENT_CHANNELS))
        near = num_heads // 2
        slopes = [_STEEPEST * 0.5**k for k in range(near)] + [0.0] * (num_heads - near)
        self.register_buffer("slopes", torch.tensor(slopes), persistent=False)
        self.enter = nn.Linear(feature_dim + EVENT_CHANNELS, width)
        self.moment = nn.Linear(2 * _WAVES, width)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2)
        self.queries = nn.Parameter(torch.randn(num_tokens, width) * 0.02)
        self.layers = nn.ModuleList(_Layer(width, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, token_dim)
        nn.init.normal_(self.leave.weight, std=0.02)  # at first the generator hears little of it
        nn.init.zeros_(self.leave.bias)
        self.checkpointing = False

    def fit_scale(self, seen: torch.Tensor) -> None:
        """Take mean and deviation of each channel from inputs `[..., D + 8]`, so that all count alike at first."""
        flat = seen.detach().flatten(0, -2).float()
        self.mean.copy_(flat.mean(0))
        self.deviation.copy_(flat.std(0, correction=0).clamp_min(1e-2))

    def forward(self, seen: torch.Tensor, times_s: torch.Tensor) -> torch.Tensor:
        """Return tokens `[B, N, D_text]`.

        Args:
            seen: `[B, T, D + 8]`, as `adapter_inputs` makes them.
            times_s: `[T]`, the middle of each feature's moment in seconds.
        """
        step = times_s[0] * 2
        slots_s = (torch.arange(self.num_tokens, device=seen.device) + 0.5) * (len(times_s) * step / self.num_tokens)
        context = self.enter((seen - self.mean) / self.deviation)
        context = context + functional.gelu(self.neighbours(context.transpose(1, 2))).transpose(1, 2)
        context = context + self.moment(_waves(times_s))
        tokens = (self.queries + self.moment(_waves(slots_s))).expand(len(seen), -1, -1)
        far = (slots_s[:, None] - times_s[None]).abs()
        bias = -self.slopes[:, None, None] * far  # [heads, N, T]
        for layer in self.layers:
            if self.checkpointing and self.training:
                tokens = checkpoint(layer, tokens, context, bias, use_reentrant=False)
            else:
                tokens = layer(tokens, context, bias)
        made: torch.Tensor = self.leave(self.norm(tokens))
        return made


class _Layer(nn.Module):
    """Attention to the features, attention among the tokens, and a network for each token."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.see, self.confer = _Attention(width, num_heads), _Attention(width, num_heads)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor, context: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.see(self.norms[0](tokens), self.norms[1](context), bias)
        own = self.norms[2](tokens)
        tokens = tokens + self.confer(own, own, None)
        made: torch.Tensor = tokens + self.think(self.norms[3](tokens))
        return made


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ask, self.know = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.give = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor, context: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        asked = self.ask(tokens).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        known, said = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in self.know(context).chunk(2, -1)
        )
        mask = None if bias is None else bias.to(asked.dtype)
        heard = functional.scaled_dot_product_attention(asked, known, said, attn_mask=mask)
        made: torch.Tensor = self.give(heard.transpose(1, 2).flatten(2))
        return made


def _waves(times_s: torch.Tensor) -> torch.Tensor:
    """Return sines and cosines of times in seconds, `[T, 20]`."""
    rates_hz = 2.0 ** torch.linspace(-6, 3, _WAVES, device=times_s.device)
    angle = math.tau * times_s.float()[:, None] * rates_hz
    return torch.cat([angle.sin(), angle.cos()], -1)
