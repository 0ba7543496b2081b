"""Dynamic time warping between what is seen and what is heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from versasound_core.containers import Alignment
from versasound_core.events.cues import RATE_HZ, Floats, events_for, picture_cues, sound_cues
from versasound_core.events.lags import best_path, finer, knots_at, lag_products, path_scores, trusted

if TYPE_CHECKING:
    from versasound_core.containers import AudioData, VisualFeatures
    from versasound_core.context import RunContext

HOP = 4  # steps of the picture's axis at once
_NEARBY_S = 0.15  # standard deviation of what a moment's neighbours are
_PLAIN = 0.8  # of the best warp's match that a constant lag must have to be preferred
_LEAST = 1e-3  # weight of a moment that does not fit at all
_SAME_S = 0.5 / RATE_HZ  # an offset finer than the envelopes is none


class DTWAligner:
    """Finds the warp of the sound's time that fits the picture best.

    Args:
        max_offset_s: The largest move looked for, seconds.
        max_stretch: How much faster or slower the sound may locally become, as a share.
        stiffness: What it costs to stretch.
        adaptive: Let moments that fit badly follow those near them that fit well.
        min_confidence: Below this the sound is left alone.
    """

    def __init__(
        self, *, max_offset_s: float, max_stretch: float, stiffness: float, adaptive: bool, min_confidence: float
    ) -> None:
        self.max_offset_s, self.max_stretch, self.stiffness = max_offset_s, max_stretch, stiffness
        self.adaptive, self.min_confidence = adaptive, min_confidence

    def estimate(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> Alignment:
        """Measure how far each moment of the sound is off.

        The confidence is the mean normalised product along the warp. One knot for each onset of the sound says where it
        belongs; below `min_confidence` there is none.

        Raises:
            InvalidInputError: If the features have no events or are another batch than the sound.
        """
        events = events_for("dtw", audio, features)
        count = max(1, round(max(events.duration_s, audio.duration) * RATE_HZ))
        heard, onsets = sound_cues(audio, count)
        reach = round(self.max_offset_s * RATE_HZ)
        knots: list[list[tuple[float, float]]] = []
        confidences = []
        for item in range(events.batch_size):
            ctx.report(item / events.batch_size, "warping the sound's time")
            lags, fits = warp(picture_cues(events, item, count), heard[item], reach, self.max_stretch, self.stiffness)
            confidence = float(np.clip(fits.mean(), 0, 1))
            confidences.append(confidence)
            if confidence < self.min_confidence or confidence == 0:
                knots.append([])
                continue
            offsets_s = (_supported(lags, fits) if self.adaptive else lags) / RATE_HZ
            at_s = (np.arange(len(lags)) * HOP + (HOP - 1) / 2) / RATE_HZ
            moves_s = np.interp(onsets[item], np.maximum.accumulate(at_s - offsets_s), offsets_s)
            knots.append(knots_at(onsets[item], np.where(np.abs(moves_s) < _SAME_S, 0, moves_s)))
        return Alignment(knots, confidences)


def warp(seen: list[Floats], heard: Floats, reach: int, max_stretch: float, stiffness: float) -> tuple[Floats, Floats]:
    """Find the path of least cost through the band of all lags within `reach`.

    Dynamic time warping (Sakoe and Chiba, 1978) with the picture's axis as the free one: from one cell to the next the
    picture moves on by `HOP` steps and the sound by between `1 - max_stretch` and `1 + max_stretch` times as many. The
    cost of a cell is minus the product of the two, so that strikes must meet onsets and nothing else matters. The band
    is as wide as the largest offset and the path may begin anywhere in it: offset and warp are found at once. The cells
    of one row are all computed together; memory is `N / HOP * (2 * reach + 1)`. A constant lag that explains
    nearly as much is preferred, so that what is in its place stays there.

    Args:
        seen: Cues `[N]` of the picture; each weighs as much as it explains.
        heard: `[N]`.
        reach: In steps.
        max_stretch: Between 0 and 1.
        stiffness: Cost of a lag that changes by one step.

    Returns:
        `[N / HOP]`: the lag at each row, in steps, and the mean product there.
    """
    change = max(1, round(max_stretch * HOP))
    penalty = np.abs(np.arange(-change, change + 1, dtype=np.float32)) * np.float32(stiffness)
    matches = [lag_products(cue, heard, reach, HOP) for cue in seen]
    backward = (lag_products(cue, heard[::-1], reach, HOP) for cue in seen)
    match = matches[0] if len(seen) == 1 else trusted(matches, backward, penalty)
    path = best_path(path_scores(match, penalty), penalty)
    fits = match[np.arange(len(path)), path]
    whole = match.mean(0)
    if whole.max() >= _PLAIN * fits.mean():
        constant = int(whole.argmax())
        return np.full(len(path), finer(whole, constant) - reach, np.float32), match[:, constant]
    return (path - reach).astype(np.float32), fits


def _supported(lags: Floats, fits: Floats) -> Floats:
    """The mean lag around each row, weighted by how well each fits and how near it is."""
    spread = _NEARBY_S * RATE_HZ / HOP
    half = round(3 * spread)
    bell = np.exp(-0.5 * (np.arange(-half, half + 1) / spread) ** 2)
    weight = np.maximum(fits, 0) + _LEAST
    total = [np.convolve(part, bell)[half : half + len(lags)] for part in (lags * weight, weight)]
    smooth: Floats = (total[0] / total[1]).astype(np.float32)
    return smooth
