"""How the events of the picture shape sound: as loudness around them, or as a draft that is played at them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import torch

from versasound_core.errors import InvalidInputError, PluginError, UnknownBackendError

if TYPE_CHECKING:
    from versasound_core.containers import AudioData, GenerationRequest, VisualFeatures
    from versasound_core.context import RunContext

    Onsets = list[tuple[float, float]]

HOW = ("none", "envelope", "draft")
ONSET_DECAY_S = 0.25
_RISE_S = 0.005
_FAINT = 1e-4


def onsets_near(features: VisualFeatures | None, item: int, request: GenerationRequest) -> Onsets:
    """Return `(time_s, strength)` of what strikes in the whole clip, with times counted from the request's start."""
    whole = None if features is None else features.whole or features
    if whole is None or whole.events is None:
        return []
    start_s = request.start_s if features is not None and features.whole is not None else 0.0
    return [(time_s - start_s, strength) for time_s, strength in whole.events.onsets[item]]


def envelope_gain(onsets: Onsets, num_samples: int, sample_rate: int, strength: float) -> torch.Tensor:
    """Return the gain `[num_samples]` that makes events stand out.

    It is `g(t) = (1 - s) + s e(t)`, with `e(t) = max_k a_k k(t - t_k)` over the onsets `(t_k, a_k)`, where `k` rises
    linearly from 0 to 1 in the 5 ms before an onset and falls as `exp(-t / 0.25 s)` after it. At `s = 0` it is 1
    everywhere; at `s = 1` nothing is heard but what is around the events.
    """
    shape = torch.zeros(num_samples)
    rise = max(1, round(_RISE_S * sample_rate))
    fall = math.ceil(-ONSET_DECAY_S * math.log(_FAINT) * sample_rate)
    offset = torch.arange(-rise, fall)
    kernel = torch.where(offset < 0, 1 + offset / rise, torch.exp(-offset / (ONSET_DECAY_S * sample_rate)))
    for time_s, height in onsets:
        begin = round(time_s * sample_rate) - rise
        first, last = max(begin, 0), min(begin + len(kernel), num_samples)
        if first < last:
            part = shape[first:last]
            torch.maximum(part, height * kernel[first - begin : last - begin], out=part)
    return (1 - strength) + strength * shape


def modulated(audio: AudioData, onsets: list[Onsets], strength: float) -> AudioData:
    """Return the sound `[B, C, T]` with each item's events standing out; see `envelope_gain`."""
    _, _, length = audio.shape
    gains = torch.stack([envelope_gain(item, length, audio.sample_rate, strength) for item in onsets])
    return attrs.evolve(audio, waveform=audio.waveform * gains[:, None].to(audio.waveform))


def drafted(
    features: VisualFeatures, request: GenerationRequest, sample_rate: int, num_samples: int, ctx: RunContext
) -> torch.Tensor:
    """Render procedural foley of the same events and words, `[B, 2, num_samples]` at `sample_rate`.

    Raises:
        PluginError: If the generator `foley` is not installed.
    """
    from versasound_core.registry import default_registry

    wanted = attrs.evolve(request, sample_rate=sample_rate, duration_s=num_samples / sample_rate)
    try:
        foley = default_registry.create("generator", "foley")
    except UnknownBackendError as error:
        raise PluginError(
            "timing=draft plays a draft with the generator foley, which is not installed.",
            "pip install versasound-plugin-foley, or choose timing=envelope or timing=none.",
        ) from error
    waveform: torch.Tensor = foley.generate(features, wanted, ctx).waveform
    return waveform


def with_channels(sound: torch.Tensor, channels: int) -> torch.Tensor:
    """Return `[..., C, T]` with another number of channels: their mean, repeated."""
    if sound.shape[-2] == channels:
        return sound
    return sound.mean(-2, keepdim=True).repeat_interleave(channels, -2)


def start_noise(strength: float) -> float:
    """Return how much noise is put on a draft, as `sigma / signal` where the two together have unit power.

    The angle of noise and signal, `atan(sigma)`, goes from a right angle (noise alone) at strength 0 to 0 at strength 1
    evenly: half strength is as much noise as signal. A sampler starts at its first step that is no noisier.
    """
    if not 0 <= strength <= 1:
        raise InvalidInputError(f"timing_strength must lie in [0, 1], not {strength!r}.")
    return math.inf if strength == 0 else math.tan((1 - strength) * math.pi / 2)
