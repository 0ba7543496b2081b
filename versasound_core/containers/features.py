"""What leaves an encoder: how it looks over time, when something strikes, and what it is in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.device import place_for
from versasound_core.errors import InvalidInputError

from ._checks import as_dict, float_tensor, is_number, pairs, positive

if TYPE_CHECKING:
    import torch

    from .view import EventView

Onsets = list[list[tuple[float, float]]]


@attrs.frozen(eq=False, repr=False)
class EventTrack:
    """When something strikes or moves.

    Args:
        envelope: `[B, N]`, strength >= 0; sample `n` belongs to second `n / rate_hz`.
        rate_hz: Samples of the envelope per second.
        onsets: Per item, `(time_s, strength)` in order of time, strength in (0, 1].
        positions: Per item, where each onset is in the picture, from -1 (left) to 1 (right); the middle if not given.
        views: Per item, what changed in the picture, for aligners that look for themselves.

    Raises:
        InvalidInputError: If a shape, value or length is wrong.
    """

    envelope: torch.Tensor
    rate_hz: float
    onsets: Onsets
    positions: list[list[float]] = attrs.field(default=None)
    views: list[EventView] | None = None

    def __attrs_post_init__(self) -> None:
        float_tensor(self.envelope, "envelope", "B, N")
        if self.envelope.numel() and float(self.envelope.min()) < 0:
            raise InvalidInputError("envelope [B, N] holds values below 0; it is a strength.")
        positive(self.rate_hz, "rate_hz", "Hz")
        if len(self.onsets) != self.batch_size:
            raise InvalidInputError(f"onsets holds {len(self.onsets)} lists for a batch of {self.batch_size}.")
        pairs(self.onsets, "onsets", "time_s, strength")
        if self.views is not None and len(self.views) != self.batch_size:
            raise InvalidInputError(f"views holds {len(self.views)} items for a batch of {self.batch_size}.")
        if self.positions is None:
            object.__setattr__(self, "positions", [[0.0] * len(item) for item in self.onsets])
        counts = [len(item) for item in self.onsets]
        if [len(places) for places in self.positions] != counts:
            found = [len(places) for places in self.positions]
            raise InvalidInputError(f"positions must hold one value for each onset, {counts} per item, not {found}.")
        for item, places in zip(self.onsets, self.positions, strict=True):
            for k, ((time_s, strength), place) in enumerate(zip(item, places, strict=True)):
                if k and time_s < item[k - 1][0]:
                    raise InvalidInputError(f"onsets must be in order of time; {time_s} s follows {item[k - 1][0]} s.")
                if not 0 < strength <= 1:
                    raise InvalidInputError(f"an onset's strength must lie in (0, 1], not {strength!r}.")
                if not (is_number(place) and -1 <= place <= 1):
                    raise InvalidInputError(f"a position must lie between -1 (left) and 1 (right), not {place!r}.")

    def __repr__(self) -> str:
        counts = [len(item) for item in self.onsets]
        return f"EventTrack([B, N]={list(self.envelope.shape)} at {self.rate_hz:g} Hz, onsets={counts})"

    @property
    def batch_size(self) -> int:
        """How many items."""
        return self.envelope.shape[0]

    @property
    def duration_s(self) -> float:
        """Length of the envelope in seconds."""
        return self.envelope.shape[1] / self.rate_hz

    def to(self, device: str | torch.device) -> EventTrack:
        """Return the same events with the envelope on `device`."""
        return attrs.evolve(self, envelope=self.envelope.to(place_for(device)))

    def window(self, start_s: float, end_s: float) -> EventTrack:
        """Return the events in `[start_s, end_s)`, with times counted from `start_s`.

        Raises:
            InvalidInputError: If the window begins before 0 or ends before it begins.
        """
        span = _span(start_s, end_s, self.rate_hz)
        kept = [[k for k, (time_s, _) in enumerate(item) if start_s <= time_s < end_s] for item in self.onsets]
        return EventTrack(
            envelope=self.envelope[:, span],
            rate_hz=self.rate_hz,
            onsets=[
                [(item[k][0] - start_s, item[k][1]) for k in ks] for item, ks in zip(self.onsets, kept, strict=True)
            ],
            positions=[[places[k] for k in ks] for places, ks in zip(self.positions, kept, strict=True)],
            views=None if self.views is None else [view.window(start_s, end_s) for view in self.views],
        )


@attrs.frozen(eq=False, repr=False)
class VisualFeatures:
    """What an encoder saw.

    Args:
        features: `[B, T, D]`: how it looks over time.
        metadata: Which backbone, `fps` (feature vectors per second), and so on.
        events: When something strikes or moves.
        labels: Per item, `(words, score)`, best first: what it is.
        whole: The features of the whole clip, where these are a window of them.

    Raises:
        InvalidInputError: If the rank, the type or a value is wrong.
    """

    features: torch.Tensor
    metadata: dict[str, Any] = attrs.field(default=None, converter=as_dict)
    events: EventTrack | None = None
    labels: list[list[tuple[str, float]]] | None = None
    whole: VisualFeatures | None = None

    def __attrs_post_init__(self) -> None:
        float_tensor(self.features, "features", "B, T, D")
        if self.fps is not None:
            positive(self.fps, 'metadata["fps"]', "feature vectors per second")
        if self.events is not None and self.events.batch_size != self.features.shape[0]:
            raise InvalidInputError(
                f"events is a batch of {self.events.batch_size}, features of {self.features.shape[0]}."
            )
        if self.labels is not None and len(self.labels) != self.features.shape[0]:
            raise InvalidInputError(f"labels holds {len(self.labels)} lists for a batch of {self.features.shape[0]}.")

    def __repr__(self) -> str:
        words = None if self.labels is None else [len(item) for item in self.labels]
        return f"VisualFeatures([B, T, D]={list(self.features.shape)}, events={self.events}, labels={words})"

    @property
    def shape(self) -> torch.Size:
        """`[B, T, D]`."""
        return self.features.shape

    @property
    def device(self) -> torch.device:
        """Where the features lie."""
        return self.features.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the features."""
        return self.features.dtype

    @property
    def fps(self) -> float | None:
        """Feature vectors per second, if the encoder said so in `metadata["fps"]`."""
        return self.metadata.get("fps")

    def to(self, device: str | torch.device) -> VisualFeatures:
        """Return the same features on `device`."""
        place = place_for(device)
        events = None if self.events is None else self.events.to(place)
        return attrs.evolve(self, features=self.features.to(place), events=events)

    def get_temporal_length(self) -> int:
        """Number of feature vectors in time, `T`."""
        return self.features.shape[1]

    def get_feature_dim(self) -> int:
        """Length of a feature vector, `D`."""
        return self.features.shape[2]

    def window(self, start_s: float, end_s: float) -> VisualFeatures:
        """Return what lies in `[start_s, end_s)`, with times counted from `start_s`; labels hold for the whole clip.

        Raises:
            InvalidInputError: If `metadata["fps"]` is missing, or the window begins before 0 or ends before it begins.
        """
        if self.fps is None:
            raise InvalidInputError('features cannot be cut in time without metadata["fps"].')
        return attrs.evolve(
            self,
            features=self.features[:, _span(start_s, end_s, self.fps)],
            events=None if self.events is None else self.events.window(start_s, end_s),
            whole=self.whole or self,
        )


def _span(start_s: float, end_s: float, rate_hz: float) -> slice:
    if not (is_number(start_s) and is_number(end_s) and 0 <= start_s <= end_s):
        raise InvalidInputError(
            f"a window must run from 0 s or later to no earlier than that, not {start_s!r} to {end_s!r}."
        )
    return slice(round(start_s * rate_hz), round(end_s * rate_hz))
