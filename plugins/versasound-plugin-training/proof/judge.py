"""Judging sounds: which material is heard, by a network that was trained on true sounds, and when something begins."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import torch
from codec import crops
from torch import nn

from versasound_core.cli.demo import matched
from versasound_core.containers import AudioData
from versasound_core.events.sound import onset_envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

NEAR_S = 0.08
_FFT, _HOP = 1024, 256
_RATE_HZ, _APART = 100, 5


class Listener(nn.Module):
    """Log spectra through three convolutions; the mean over time decides."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (_FFT // 2 + 1, 64, 64, 64)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(a, b, 5, padding=2), nn.BatchNorm1d(b), nn.GELU())
                for a, b in itertools.pairwise(widths)
            )
        )
        self.decide = nn.Linear(64, classes)

    def forward(self, sounds: torch.Tensor) -> torch.Tensor:
        """Return `[B, classes]` of sounds `[B, T]`."""
        window = torch.hann_window(_FFT, device=sounds.device)
        spectrum = torch.stft(sounds, _FFT, _HOP, window=window, return_complex=True).abs() / _FFT
        made: torch.Tensor = self.decide(self.layers((spectrum + 1e-4).log()).mean(2))
        return made


def train_listener(sounds: torch.Tensor, materials: torch.Tensor, samples: int, seconds: float, seed: int) -> Listener:
    """Train on true sounds `[B, S]` alone, at random places and levels and with a little noise."""
    device = sounds.device
    listener = Listener(int(materials.max()) + 1).to(device)
    generator = torch.Generator(device).manual_seed(seed + 5)
    optimiser = torch.optim.AdamW(listener.parameters(), lr=1e-3)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        rows = torch.randint(len(sounds), (64,), generator=generator, device=device)
        heard = crops(sounds, rows, samples, generator)
        noise = torch.randn(heard.shape, generator=generator, device=device)
        loud = 10 ** (torch.rand(len(heard), 1, generator=generator, device=device) * 2 - 4.5)
        loss = nn.functional.cross_entropy(listener(heard + noise * loud), materials[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return listener.eval().requires_grad_(False)


def recognised(listener: Listener, sounds: torch.Tensor, materials: torch.Tensor) -> float:
    """Return the share of sounds `[B, T]` that are heard as what they should be."""
    return float((listener(sounds).argmax(1) == materials).float().mean())


def onsets(sounds: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Return the onset envelopes `[B, N]` of sounds `[B, T]`, silent where no maximum stands alone."""
    envelope = onset_envelope(AudioData(sounds[:, None].float().cpu(), sample_rate), _RATE_HZ)
    largest = nn.functional.max_pool1d(envelope[:, None], 2 * _APART + 1, 1, _APART)[:, 0]
    return torch.where(envelope == largest, envelope, 0)


def f1(envelopes: torch.Tensor, strikes: Sequence[Sequence[float]], threshold: float) -> float:
    """Return the F1 of onsets above a threshold against true times, each within 80 ms."""
    right = said = true = 0
    for envelope, times_s in zip(envelopes, strikes, strict=True):
        found = (torch.nonzero(envelope > threshold)[:, 0] / _RATE_HZ).tolist()
        right, said, true = right + matched(times_s, found, NEAR_S), said + len(found), true + len(times_s)
    return 2 * right / max(said + true, 1)


def best_threshold(envelopes: torch.Tensor, strikes: Sequence[Sequence[float]]) -> float:
    """Return the threshold with which onsets are told best."""
    return max((k / 20 for k in range(1, 80)), key=lambda threshold: f1(envelopes, strikes, threshold))
