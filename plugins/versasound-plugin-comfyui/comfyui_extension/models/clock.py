"""Time for features that have none: frames in memory, spread over the length of their sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from versasound_core.containers import EventTrack, EventView, VisualFeatures

if TYPE_CHECKING:
    import torch

# A tensor of frames says nothing of time. Events are looked for as if it ran at the rate of film, and are put on the
# clock of the sound when that is known.
ASSUMED_FPS = 24.0
_MARK = "assumed_fps"


def assumed() -> dict[str, float]:
    """Return the metadata that marks features whose rate nobody said."""
    return {"fps": ASSUMED_FPS, _MARK: ASSUMED_FPS}


def over(features: VisualFeatures | torch.Tensor, duration_s: float) -> VisualFeatures:
    """Return features on the clock of a sound: those whose rate nobody said are spread over its whole length.

    Args:
        features: `[B, T, D]`.
        duration_s: Length of the sound, seconds.
    """
    if not isinstance(features, VisualFeatures):
        features = VisualFeatures(features.detach())
    if features.fps is not None and _MARK not in features.metadata:
        return features
    rate = max(features.get_temporal_length(), 1) / duration_s
    stretch = (features.fps or rate) / rate
    metadata = {key: value for key, value in features.metadata.items() if key != _MARK} | {"fps": rate}
    events = None if features.events is None else _stretched(features.events, stretch)
    return attrs.evolve(features, metadata=metadata, events=events)


def _stretched(events: EventTrack, by: float) -> EventTrack:
    return attrs.evolve(
        events,
        rate_hz=events.rate_hz / by,
        onsets=[[(time_s * by, strength) for time_s, strength in item] for item in events.onsets],
        views=events.views and [EventView(view.cells, view.times_s * by) for view in events.views],
    )
