"""The default aligner: the offset at which what is heard and what is seen agree best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from versasound_core.containers import Alignment
from versasound_core.events.cues import RATE_HZ, Floats, events_for, picture_cues, sound_cues
from versasound_core.events.lags import best_path, finer, knots_at, lag_products, path_scores, trusted

if TYPE_CHECKING:
    from versasound_core.containers import AudioData, VisualFeatures
    from versasound_core.context import RunContext

_HOP = 10  # steps of the envelopes from one window to the next
_WINDOW_S = 0.4  # standard deviation
_CHANGE = 0.05  # what a change of the offset by one step from window to window costs, times its square
_STEEPEST = 5  # steps that the offset may change by
_PLAIN = 0.9  # of the best varying offset's match that a constant one must have to be preferred
_SAME_S = 0.5 / RATE_HZ  # an offset finer than the envelopes is none


class CrossCorrelationAligner:
    """Correlates what the picture may strike with the onsets of the sound.

    Args:
        max_offset_s: The largest offset looked for, seconds.
        adaptive: Let the offset vary in time where a constant one explains much less.
        min_confidence: Below this the sound is left alone.
    """

    def __init__(self, *, max_offset_s: float, adaptive: bool, min_confidence: float) -> None:
        self.max_offset_s, self.adaptive, self.min_confidence = max_offset_s, adaptive, min_confidence

    def estimate(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> Alignment:
        """Measure how far the sound is off.

        Windows of the sound are correlated with the picture at every offset at once, and the offsets that agree best
        while changing little are found together. The confidence is their mean normalised correlation. One knot for
        each onset of the sound says where it belongs; below `min_confidence` there is none.

        Raises:
            InvalidInputError: If the features have no events or are another batch than the sound.
        """
        events = events_for("cross_correlation", audio, features)
        count = max(1, round(max(events.duration_s, audio.duration) * RATE_HZ))
        heard, onsets = sound_cues(audio, count)
        knots: list[list[tuple[float, float]]] = []
        confidences = []
        for item in range(events.batch_size):
            ctx.report(item / events.batch_size, "measuring the offset")
            at_s, offsets_s, confidence = self._offsets(picture_cues(events, item, count), heard[item])
            confidences.append(confidence)
            if confidence < self.min_confidence or confidence == 0:
                knots.append([])
                continue
            moves_s = np.interp(onsets[item], at_s, offsets_s)
            knots.append(knots_at(onsets[item], np.where(np.abs(moves_s) < _SAME_S, 0, moves_s)))
        return Alignment(knots, confidences)

    def _offsets(self, seen: list[Floats], heard: Floats) -> tuple[Floats, Floats, float]:
        """Return the offsets in seconds at times of the sound, rising, and the confidence."""
        reach = round(self.max_offset_s * RATE_HZ)
        penalty = _CHANGE * np.arange(-_STEEPEST, _STEEPEST + 1, dtype=np.float32) ** 2
        matches, chances = (
            [_smoothed(lag_products(cue, sound, reach, _HOP)) for cue in seen] for sound in (heard, heard[::-1])
        )
        match = trusted(matches, chances, penalty)
        whole = match.mean(0)
        constant = int(whole.argmax())
        at_s = ((np.arange(len(match)) * _HOP + (_HOP - 1) / 2) / RATE_HZ).astype(np.float32)
        if self.adaptive:
            scores = path_scores(match, penalty)
            best = float(scores[-1].max()) / len(match)
            if whole[constant] < _PLAIN * best:
                path = [finer(row, column) for row, column in zip(match, best_path(scores, penalty), strict=True)]
                offsets_s = (np.array(path, np.float32) - reach) / RATE_HZ
                return np.maximum.accumulate(at_s - offsets_s), offsets_s, min(max(best, 0.0), 1.0)
        offset_s = (finer(whole, constant) - reach) / RATE_HZ
        return at_s, np.full_like(at_s, offset_s), float(np.clip(whole[constant], 0, 1))


def _smoothed(products: Floats) -> Floats:
    """The mean over a bell-shaped window around each row of `[M, L]`."""
    spread = _WINDOW_S * RATE_HZ / _HOP
    half = round(2.5 * spread)
    bell = np.exp(-0.5 * (np.arange(-half, half + 1, dtype=np.float32) / spread) ** 2)
    padded = np.pad(products, ((half, half), (0, 0)))
    total = np.zeros_like(products)
    for step, share in enumerate(bell / bell.sum()):
        total += share * padded[step : step + len(products)]
    return total
