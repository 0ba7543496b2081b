"""An aligner to train on features of your own: by how many steps is the sound off?"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn

from versasound_core.errors import InvalidInputError

_HEADS = 8
_KERNEL = 9  # steps that the convolution sees which tells the layers the order of time


class FeatureAligner(nn.Module):
    """Compares what is seen and what is heard at every lag, in a space that both are brought to.

    Each side goes through a projection, a convolution for its position in time (Baevski et al. 2020, wav2vec 2.0) and
    transformer layers. The score of a lag is the mean similarity of the steps that it brings together. The weights are
    random until it is trained; `loss` needs no labels, only pairs that are in time.

    Args:
        visual_dim: Length of a visual feature.
        audio_dim: Length of a feature of the sound.
        hidden_dim: Width inside.
        num_layers: Transformer layers of each side.
        max_lag: The largest lag looked for, in steps of the visual features.

    Raises:
        InvalidInputError: If a size is no whole number of 1 or more.
    """

    def __init__(
        self,
        visual_dim: int = 768,
        audio_dim: int = 1024,
        hidden_dim: int = 512,
        num_layers: int = 4,
        max_lag: int = 25,
    ) -> None:
        super().__init__()
        sizes = {"visual_dim": visual_dim, "audio_dim": audio_dim, "hidden_dim": hidden_dim, "num_layers": num_layers}
        for name, value in {**sizes, "max_lag": max_lag}.items():
            if not isinstance(value, int) or value < 1:
                raise InvalidInputError(f"{name} must be a whole number of 1 or more, not {value!r}.")
        self.max_lag = max_lag
        self.see, self.hear = _Side(visual_dim, hidden_dim, num_layers), _Side(audio_dim, hidden_dim, num_layers)
        self.sharpness = nn.Parameter(torch.tensor(math.log(10.0)))

    def fit_scale(self, visual: torch.Tensor, audio: torch.Tensor) -> None:
        """Take mean and deviation of each channel from features `[..., D]`, so that all count alike at first."""
        for side, features in ((self.see, visual), (self.hear, audio)):
            flat = features.detach().flatten(0, -2).float()
            side.mean.copy_(flat.mean(0))
            side.deviation.copy_(flat.std(0, correction=0).clamp_min(1e-2))

    def forward(self, visual: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Return logits `[B, 2 * max_lag + 1]`; column `k` says that the sound must move `k - max_lag` steps later.

        Args:
            visual: `[B, T, visual_dim]`.
            audio: `[B, N, audio_dim]`, of the same time; brought to `T` steps.

        Raises:
            InvalidInputError: If the batches differ or there are no more steps than the largest lag.
        """
        steps = visual.shape[1]
        if visual.shape[0] != audio.shape[0]:
            raise InvalidInputError(f"{visual.shape[0]} clips cannot be aligned with {audio.shape[0]} sounds.")
        if steps <= self.max_lag:
            raise InvalidInputError(f"{steps} steps are too few to look for a lag of {self.max_lag}.")
        if audio.shape[1] != steps:
            audio = nn.functional.interpolate(audio.transpose(1, 2), steps, mode="linear").transpose(1, 2)
        alike = self.see(visual) @ self.hear(audio).transpose(1, 2)  # [B, seen, heard]
        scores = [alike.diagonal(-lag, 1, 2).mean(1) for lag in range(-self.max_lag, self.max_lag + 1)]
        return torch.stack(scores, 1) * self.sharpness.exp() * math.sqrt(steps)

    @torch.no_grad()
    def lag(self, visual: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Return by how many steps `[B]` the sound must move later: the mean of the likeliest and its neighbours."""
        chances = self(visual, audio).softmax(1)
        lags = torch.arange(-self.max_lag, self.max_lag + 1, device=chances.device)
        near = (lags[None] - lags[chances.argmax(1)][:, None]).abs() <= 1
        chances = chances * near
        steps: torch.Tensor = (chances * lags).sum(1) / chances.sum(1)
        return steps

    def loss(self, visual: torch.Tensor, audio: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return the cross-entropy of lags that the sound is given here.

        Args:
            visual: `[B, T, visual_dim]`.
            audio: `[B, T, audio_dim]`, in time with it.
            generator: Draws the lags; on the CPU.

        Raises:
            InvalidInputError: As `forward` does.
        """
        lags = torch.randint(-self.max_lag, self.max_lag + 1, (len(audio),), generator=generator)
        early = [shifted(item, -int(lag)) for item, lag in zip(audio, lags, strict=True)]
        return nn.functional.cross_entropy(self(visual, torch.stack(early)), (lags + self.max_lag).to(visual.device))


def shifted(audio: torch.Tensor, steps: int) -> torch.Tensor:
    """Make features `[T, D]` later by so many steps, zeros where there were none."""
    moved = torch.zeros_like(audio)
    length = len(audio)
    moved[max(steps, 0) : length + min(steps, 0)] = audio[max(-steps, 0) : length - max(steps, 0)]
    return moved


class _Side(nn.Module):
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, features: int, width: int, layers: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.enter = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, width))
        self.place = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=math.gcd(width, 16))
        layer = nn.TransformerEncoderLayer(
            width, math.gcd(width, _HEADS), 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = self.enter((features - self.mean) / self.deviation)
        x = x + nn.functional.gelu(self.place(x.transpose(1, 2))).transpose(1, 2)
        x = cast("torch.Tensor", self.layers(x))
        x = x - x.mean(1, keepdim=True)  # what is always there says nothing about time
        return nn.functional.normalize(x, dim=2)
