"""What an adapter is shown: the features, and beside each what happens in the picture during its moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    from versasound_core.containers import EventTrack, VisualFeatures

_PARTS = 4  # of the moment of a feature: at 25 features a second an event is placed within 10 ms
EVENT_CHANNELS = 2 * _PARTS


def adapter_inputs(features: VisualFeatures) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[B, T, D + 8]` and the middle of each moment in seconds, `[T]`.

    The moment of feature `k`, from `k / fps` to `(k + 1) / fps`, is cut into four. The last eight channels hold
    `log(1 + envelope)` at its largest in each part, then the strength of the onsets in each part. Without events they
    are 0.

    Raises:
        InvalidInputError: If the features do not say `metadata["fps"]` or there are none.
    """
    batch, count, _ = features.shape
    if features.fps is None:
        raise InvalidInputError('an adapter needs features that say metadata["fps"].')
    if count == 0:
        raise InvalidInputError("an adapter needs at least one feature vector; the clip or window holds none.")
    times_s = (torch.arange(count) + 0.5) / features.fps
    extra = torch.zeros(batch, count, EVENT_CHANNELS)
    if features.events is not None:
        extra = torch.cat([_envelope(features.events, count, features.fps), _onsets(features, count)], -1)
    seen = torch.cat([features.features.float(), extra.to(features.device)], -1)
    return seen, times_s.to(features.device)


def _envelope(events: EventTrack, count: int, fps: float) -> torch.Tensor:
    """Return the envelope's largest value in each part of each moment, `[B, T, 4]`."""
    wanted = max(1, round(count / fps * events.rate_hz))
    envelope = events.envelope.float().cpu()[:, :wanted]
    envelope = functional.pad(envelope, (0, wanted - envelope.shape[1]))
    parts = count * _PARTS
    if wanted < parts:
        envelope = functional.interpolate(envelope[:, None], size=parts, mode="linear", align_corners=False)[:, 0]
    largest = functional.adaptive_max_pool1d(envelope[:, None], parts)[:, 0]
    return torch.log1p(largest).reshape(-1, count, _PARTS)


def _onsets(features: VisualFeatures, count: int) -> torch.Tensor:
    """Return the strength of the onsets in each part of each moment, `[B, T, 4]`."""
    assert features.events is not None  # noqa: S101  (the caller has looked)
    assert features.fps is not None  # noqa: S101
    made = torch.zeros(features.shape[0], count * _PARTS)
    for item, onsets in enumerate(features.events.onsets):
        for time_s, strength in onsets:
            place = int(time_s * features.fps * _PARTS)
            if 0 <= place < made.shape[1]:
                made[item, place] += strength
    return made.reshape(-1, count, _PARTS)
