"""What one item of the batch shows: when it strikes, where, and how much it moves, on the clip's own time axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from .noise import rng_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
    from versasound_core.vocabulary import Sound

_SMOOTH_S = 0.3
_TAIL_S = 4.0
_WALKING = 0.08
_USUAL_RHYTHM_S = 1.0
_RHYTHM_S = {"footsteps": 0.55, "whoosh": 1.6, "breaking": 4.0, "blast": 4.0, "water": 2.5, "cloth": 1.3}


@dataclass(frozen=True)
class Event:
    """Something strikes: at a sample of the clip, with a strength in (0, 1], at a position from -1 to 1."""

    sample: int
    key_ms: int
    strength: float
    position: float


class Scene:
    """One item's events and motion.

    Attributes:
        seed: Of the item.
        sample_rate: Hz.
        start: Sample of the clip at which the request begins.
        onsets_per_s: How often something strikes, over the whole clip; None if nobody looked.
        mean_motion: 0..1, over the whole clip, so that all segments of a long one choose alike.
    """

    def __init__(self, features: VisualFeatures | None, item: int, request: GenerationRequest) -> None:
        self.seed = request.seed_for(item)
        self.sample_rate = request.sample_rate
        self.start = _sample(request.start_s, request.sample_rate)
        self._start_s, self._end_s = request.start_s, request.start_s + request.duration_s
        self._duration_s = request.duration_s
        track = None if features is None else features.events
        self._onsets = None if track is None else list(zip(track.onsets[item], track.positions[item], strict=True))
        self._motion: NDArray[np.float64] | None = None
        if track is not None and track.envelope.shape[1]:
            self._motion = _smoothed(track, item)
            self._motion_times = request.start_s + np.arange(self._motion.size) / track.rate_hz
        whole = track if features is None or features.whole is None else features.whole.events
        self.onsets_per_s: float | None = None
        self.mean_motion = 0.0
        if whole is not None and whole.envelope.shape[1]:
            self.onsets_per_s = len(whole.onsets[item]) / whole.duration_s
            self.mean_motion = float(_smoothed(whole, item).mean())

    @property
    def blocks(self) -> int:
        """About how many seconds there are to make."""
        return ceil(self._duration_s) + 2

    def motion(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Strength of the motion, 0..1, at seconds of the clip; a steady middle if nobody looked."""
        if self._motion is None:
            return np.full(times.shape, 0.6)
        return np.interp(times, self._motion_times, self._motion)

    def events_for(self, label: str, sound: Sound) -> tuple[list[Event], str]:
        """When a sound is struck, and what to say if that is not at the events of the picture."""
        if self._onsets:
            return [self._event(self._start_s + t, strength, place) for (t, strength), place in self._onsets], ""
        if self._onsets is None:
            return self._rhythm(label, sound), f"No events were given, so {label} follows a regular rhythm of its own."
        stretch = f" between {self._start_s:g} s and {self._end_s:g} s" if self._start_s else ""
        found = f"Nothing was seen to strike{stretch}"
        if sound.family == "footsteps" and (steps := [e for e in self._rhythm(label, sound) if self._moves(e)]):
            return steps, f"{found}, so {label} keeps a walking pace while the picture moves."
        return [], f"{found}, so {label} has no moment to be heard at."

    def _event(self, time_s: float, strength: float, position: float) -> Event:
        # Rounded away from .5, where times such as 1/16 s fall and the start of a segment would tip them.
        return Event(_sample(time_s, self.sample_rate), floor(time_s * 1000 + 0.3137), strength, position)

    def _moves(self, event: Event) -> bool:
        return float(self.motion(np.array([event.sample / self.sample_rate]))[0]) >= _WALKING

    def _rhythm(self, label: str, sound: Sound) -> list[Event]:
        """Regular strikes on the clip's axis, each a little early or late, from before the start for their tails."""
        period = _RHYTHM_S.get(sound.family, _USUAL_RHYTHM_S)
        events = []
        for count in range(max(0, floor((self._start_s - _TAIL_S) / period)), ceil(self._end_s / period) + 1):
            rng = rng_for(self.seed, label, "rhythm", count)
            time_s = period * (count + 0.25 + 0.04 * rng.uniform(-1, 1))
            if time_s < self._end_s:
                events.append(self._event(time_s, rng.uniform(0.6, 0.85), 0.0))
        return events


def _smoothed(track: EventTrack, item: int) -> NDArray[np.float64]:
    envelope = np.minimum(1.0, track.envelope[item].cpu().numpy().astype(np.float64))
    width = min(max(1, round(_SMOOTH_S * track.rate_hz)), envelope.size)
    around = np.convolve(np.ones_like(envelope), np.ones(width), "same")
    smooth: NDArray[np.float64] = np.convolve(envelope, np.ones(width), "same") / around
    return smooth


def _sample(time_s: float, sample_rate: int) -> int:
    return floor(time_s * sample_rate + 0.3137)
