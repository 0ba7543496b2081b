"""Judging sounds: which material is heard, by a classifier fitted to true sounds, and when something begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from versasound_core.cli.demo import matched
from versasound_core.containers import AudioData
from versasound_core.events.sound import onset_envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

NEAR_S = 0.08
_FFT, _HOP = 1024, 256
_BANDS, _FLOOR, _RIDGE = 256, 1e-2, 10.0
_RATE_HZ, _APART = 100, 5


class Listener:
    """Ridge regression from how a sound's power lies over the bands to materials, in closed form.

    Args:
        sounds: True ones, `[B, S]`.
        materials: Theirs, `[B]`, whole numbers.
    """

    def __init__(self, sounds: torch.Tensor, materials: torch.Tensor) -> None:
        known = _colour(sounds)
        wanted = nn.functional.one_hot(materials).float()
        self._weights = torch.linalg.solve(known.T @ known + _RIDGE * torch.eye(known.shape[1]), known.T @ wanted)

    def hears(self, sounds: torch.Tensor) -> torch.Tensor:
        """Return the materials `[B]` of sounds `[B, T]`."""
        return (_colour(sounds) @ self._weights).argmax(1)


def _colour(sounds: torch.Tensor) -> torch.Tensor:
    """Return `[B, bands + 1]`: the logarithm of each band's share of the power, and 1."""
    spectrum = torch.stft(sounds, _FFT, _HOP, window=torch.hann_window(_FFT), return_complex=True)
    power = spectrum[:, : _FFT // 2].abs().square().mean(2).unflatten(1, (_BANDS, -1)).sum(2)
    share = power / power.sum(1, keepdim=True).clamp_min(1e-9)
    return nn.functional.pad((share + _FLOOR).log(), (0, 1), value=1.0)


def onsets(sounds: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Return the onset envelopes `[B, N]` of sounds `[B, T]`, silent where no maximum stands alone."""
    envelope = onset_envelope(AudioData(sounds[:, None], sample_rate), _RATE_HZ)
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
