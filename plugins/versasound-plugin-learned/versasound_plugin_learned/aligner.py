"""The learned aligner: what a small network sees strike, and what is heard, brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versasound_core.containers import Alignment
from versasound_core.device import one_thread
from versasound_core.errors import InvalidInputError
from versasound_core.feature_aligner import load_aligner

from . import confidence, own, path
from .evidence import pairs
from .smooth import offsets
from .strikes import RATE_HZ

if TYPE_CHECKING:
    from pathlib import Path

    from versasound_core.containers import AudioData, VisualFeatures
    from versasound_core.context import RunContext
    from versasound_core.feature_aligner import TrainedAligner

    from .evidence import Pair

_SAME_S = 0.004  # what is nearer needs no moving


class LearnedAligner:
    """Finds offset and warp together, from strikes seen finer than the frame rate.

    Args:
        max_offset_s: The largest offset looked for, seconds.
        adaptive: Let the offset vary in time where the strikes support that.
        min_confidence: Below this the sound is left alone.
        weights: A folder with an aligner that was trained on the encoder's features, in place of the package's own
            network; it finds one offset for the whole sound.
    """

    def __init__(
        self, *, max_offset_s: float, adaptive: bool, min_confidence: float, weights: str | Path | None
    ) -> None:
        self.max_offset_s, self.adaptive, self.min_confidence = max_offset_s, adaptive, min_confidence
        self.weights = weights
        self._own: TrainedAligner | None = None

    def estimate(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> Alignment:
        """Measure how far the sound is off: one knot for each onset of the sound says where it belongs.

        The confidence is the probability that sound and picture belong together; below `min_confidence` there is no
        knot.

        Raises:
            InvalidInputError: If the features have no view of the clip's changes, are another batch than the sound, or
                do not fit the weights that were given.
            ModelLoadError: If the weights are missing or broken.
        """
        if self.weights is not None:
            self._own = self._own or load_aligner(self.weights)
            with one_thread():
                return own.estimate(self._own, audio, features, self.max_offset_s, self.min_confidence)
        events = features.events
        views = events.views if events else None
        if events is None or views is None:
            raise InvalidInputError(
                "learned needs features whose events keep a view of the clip.", "Add them with detect_events(clip)."
            )
        if len(views) != audio.shape[0]:
            raise InvalidInputError(f"{len(views)} clips cannot be aligned with {audio.shape[0]} sounds.")
        knots, confidences = [], []
        with one_thread():
            for item, pair in enumerate(pairs(events, audio)):
                ctx.report(item / len(views), "measuring the offset")
                found, sure = self._item(pair)
                knots.append(found)
                confidences.append(sure)
        return Alignment(knots, confidences)

    def _item(self, pair: Pair) -> tuple[list[tuple[float, float]], float]:
        struck, heard = pair.struck, pair.heard
        if len(heard.times_s) == 0 or len(struck.times_s) == 0:
            return [], 0.0
        reach_s = min(self.max_offset_s, max(pair.sound_s, len(pair.seen) / RATE_HZ))
        way = path.search(pair, reach_s, adaptive=self.adaptive)
        sure = confidence.probability(confidence.features(pair, way, reach_s, adaptive=self.adaptive))
        if sure < self.min_confidence:
            return [], sure
        moves = offsets(way, struck, heard, adaptive=self.adaptive)
        if abs(moves).max() < _SAME_S:
            return [], sure
        knots: list[tuple[float, float]] = []
        for time_s, move_s in zip(heard.times_s.tolist(), moves.tolist(), strict=True):
            if not knots or time_s + move_s > knots[-1][1]:
                knots.append((time_s, time_s + move_s))
        return knots, sure
