"""What is seen to strike and what is heard to begin, on one fine grid."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from versasound_core.errors import ModelLoadError
from versasound_core.events import onset_envelope

from .network import StrikeNet

if TYPE_CHECKING:
    from versasound_core.containers import AudioData, EventView

Floats = NDArray[np.float64]

RATE_HZ = 200.0
_WEIGHTS = "strikes.safetensors"
_CHUNK, _CONTEXT = 1024, 160  # changes seen at once, and how far the network reaches beyond them
_NEAR = 5  # steps: strikes nearer than this are one
_WIDE_S = 0.03
_UNSURE = 0.08  # the least probability of a strike that is one
_LATE_S = 0.0048  # the flux of a struck sound peaks so long after the blow


class Moments(NamedTuple):
    """Strikes or onsets.

    Args:
        times_s: `[K]`, rising.
        weights: `[K]`, in (0, 1]: how sure, or how strong.
        spread_s: `[K]`, standard deviation of the time.
    """

    times_s: Floats
    weights: Floats
    spread_s: Floats


@cache
def load_network() -> StrikeNet:
    """Return the network with the weights of this package.

    Raises:
        ModelLoadError: If they are missing or broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with as_file(files(__package__) / "weights" / _WEIGHTS) as path, safe_open(path, "pt") as file:
            with torch.random.fork_rng(
                devices=[]
            ):  # the weights that it is born with are not drawn from the user's seed
                network = StrikeNet(**json.loads(file.metadata()["network"]))
            network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()}, strict=False)  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError, TypeError, KeyError, ValueError) as error:
        raise ModelLoadError(f"the weights {_WEIGHTS} cannot be used: {error}.", "Install the plugin again.") from error
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def seen(view: EventView) -> Floats:
    """Return how many strikes are to be expected in each step of the grid, `[N]`, to the last picture of the view."""
    network, total = load_network(), len(view.cells)
    count = max(1, round(float(view.times_s[-1]) * RATE_HZ)) if len(view.times_s) else 1
    if total == 0:
        return np.zeros(count)
    steps_s = view.times_s.diff().float()
    parts = []
    for first in range(0, total, _CHUNK):
        begin, end = max(first - _CONTEXT, 0), min(first + _CHUNK + _CONTEXT, total)
        chances = network(view.cells[None, begin:end].cpu(), steps_s[None, begin:end])[0].sigmoid()
        parts.append(chances[first - begin : first - begin + _CHUNK])
    chances = torch.cat(parts).double()
    shares = torch.arange(chances.shape[1]) / chances.shape[1]
    edges = (view.times_s[:-1, None] + view.times_s.diff()[:, None] * shares).flatten()
    moments = torch.cat([edges, view.times_s[-1:]]).numpy()
    so_far = np.concatenate([[0.0], chances.flatten().cumsum(0).numpy()])
    grid = (np.arange(count + 1) - 0.5) / RATE_HZ
    return np.diff(np.interp(grid, moments, so_far))


def strikes(density: Floats) -> Moments:
    """Return the strikes in what `seen` returned."""
    mass = np.minimum(blurred(density, 0.012), 1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(mass, _NEAR), 2 * _NEAR + 1).max(1)
    peaks = np.nonzero((mass >= around) & (mass > _UNSURE))[0]
    reach = round(_WIDE_S * RATE_HZ)
    near = np.pad(density, reach)[peaks[:, None] + np.arange(2 * reach + 1)]
    steps = np.arange(-reach, reach + 1) / RATE_HZ
    total = np.maximum(near.sum(1), 1e-9)
    mean = (near * steps).sum(1) / total
    spread = np.sqrt((near * (steps - mean[:, None]) ** 2).sum(1) / total)
    return Moments(peaks / RATE_HZ + mean, mass[peaks], spread)


def onsets(audio: AudioData) -> list[Moments]:
    """Return the onsets of each item of a batch."""
    return [_onsets(envelope.double().numpy()) for envelope in onset_envelope(audio, RATE_HZ)]


def _onsets(envelope: Floats) -> Moments:
    around = np.lib.stride_tricks.sliding_window_view(np.pad(envelope, _NEAR), 2 * _NEAR + 1).max(1)
    least = max(float(envelope.mean() + envelope.std()), 1e-3)
    peaks = np.nonzero((envelope >= around) & (envelope > least))[0]
    peaks = peaks[(peaks > 0) & (peaks < len(envelope) - 1)]
    if len(peaks) == 0:
        return Moments(np.zeros(0), np.zeros(0), np.zeros(0))
    left, middle, right = envelope[peaks - 1], envelope[peaks], envelope[peaks + 1]
    bend = left - 2 * middle + right
    finer = np.where(bend < 0, 0.5 * (left - right) / np.minimum(bend, -1e-9), 0.0).clip(-0.5, 0.5)
    strongest = np.sort(middle)[-max(1, len(middle) // 5) :].mean()
    weights = np.sqrt(middle / strongest).clip(0.05, 1)
    return Moments((peaks + finer) / RATE_HZ - _LATE_S, weights, np.full(len(peaks), 0.003))


def blurred(density: Floats, sigma_s: float) -> Floats:
    """Sum of `[N]` under a bell of height 1 around each step."""
    half = round(3 * sigma_s * RATE_HZ)
    bell = np.exp(-0.5 * (np.arange(-half, half + 1) / (sigma_s * RATE_HZ)) ** 2)
    return np.convolve(np.pad(density, half), bell, "valid")
