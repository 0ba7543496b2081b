"""One offset for the whole sound, from an aligner that somebody trained on the features of their encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from versasound_core.containers import Alignment
from versasound_core.errors import InvalidInputError

from . import strikes

if TYPE_CHECKING:
    from versasound_core.containers import AudioData, VisualFeatures
    from versasound_core.feature_aligner import TrainedAligner

_STILL = 1e-3  # of a step


def estimate(
    aligner: TrainedAligner, audio: AudioData, features: VisualFeatures, max_offset_s: float, min_confidence: float
) -> Alignment:
    """Measure by how much the sound is off; the confidence is the chance of the offset that is found.

    Raises:
        InvalidInputError: If the features are not of the encoder that it was trained on, are another batch than the
            sound, or are shorter than the offsets that it looks for.
    """
    aligner.check_fits(features)
    if features.shape[0] != audio.shape[0]:
        raise InvalidInputError(f"{features.shape[0]} clips cannot be aligned with {audio.shape[0]} sounds.")
    lags = torch.arange(-aligner.facts.max_lag, aligner.facts.max_lag + 1)
    within = lags.abs() <= max_offset_s * aligner.facts.fps
    chances = aligner.chances(audio, features) * within
    knots, confidences = [], []
    for chance, heard in zip(chances, strikes.onsets(audio), strict=True):
        near = chance * ((lags - lags[chance.argmax()]).abs() <= 1)
        steps = float((near * lags).sum() / near.sum())
        sure = float(near.sum()) if len(heard.times_s) else 0.0
        move_s = steps / aligner.facts.fps
        moves = sure >= max(min_confidence, _STILL) and abs(steps) > _STILL
        knots.append([(time_s, time_s + move_s) for time_s in heard.times_s.tolist()] if moves else [])
        confidences.append(min(sure, 1.0))
    return Alignment(knots, confidences)
