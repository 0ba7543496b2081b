"""The default aligner: the offset at which what is heard and what is seen agree best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from versasound_core.containers import Alignment
from versasound_core.errors import InvalidInputError
from versasound_core.events import onset_envelope

if TYPE_CHECKING:
    from versasound_core.containers import AudioData, EventTrack, VisualFeatures
    from versasound_core.context import RunContext

_RATE_HZ = 100.0
_BLUR_S = 0.02  # standard deviation: how near a sound must be to its strike to count in full
_RIVAL_S = 0.08  # a peak further away than this is a rival
_WINDOW_S, _HOP_S = 4.0, 1.0
_SAME_S = 0.5 / _RATE_HZ  # an offset finer than the envelopes is none


class CrossCorrelationAligner:
    """Correlates the strikes of the picture with the onsets of the sound.

    Args:
        max_offset_s: The largest offset looked for, seconds.
        adaptive: Let the offset vary in time where that is well supported.
        min_confidence: Below this the sound is left alone.
    """

    def __init__(self, *, max_offset_s: float, adaptive: bool, min_confidence: float) -> None:
        self.max_offset_s, self.adaptive, self.min_confidence = max_offset_s, adaptive, min_confidence

    def estimate(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> Alignment:
        """Measure how far the sound is off.

        The confidence is the normalised correlation at its peak times the peak's margin over the best rival. One knot
        for each onset of the sound says where it belongs; below `min_confidence` there is none.

        Raises:
            InvalidInputError: If the features have no events or are another batch than the sound.
        """
        events = features.events
        if events is None:
            raise InvalidInputError(
                "cross_correlation needs features with events.", "Add them with detect_events(clip)."
            )
        if events.batch_size != audio.shape[0]:
            raise InvalidInputError(f"{events.batch_size} clips cannot be aligned with {audio.shape[0]} sounds.")
        heard = onset_envelope(audio, _RATE_HZ)
        knots, confidences = [], []
        for item in range(events.batch_size):
            ctx.report(item / events.batch_size, "measuring the offset")
            seen = _blurred(_strikes(events, item, heard.shape[1]))
            found, confidence = self._item(seen, _blurred(heard[item]), _peaks(heard[item]))
            knots.append(found)
            confidences.append(confidence)
        return Alignment(knots, confidences)

    def _item(
        self, seen: torch.Tensor, heard: torch.Tensor, onsets: torch.Tensor
    ) -> tuple[list[tuple[float, float]], float]:
        reach = min(round(self.max_offset_s * _RATE_HZ), len(seen) - 1)
        offset, confidence = _offset(seen, heard, reach)
        if confidence < self.min_confidence or len(onsets) == 0:
            return [], confidence
        offsets = torch.full((len(onsets),), offset)
        if self.adaptive and len(seen) > 1.5 * _WINDOW_S * _RATE_HZ:
            offsets = self._varying(seen, heard, onsets, offset)
        offsets[offsets.abs() < _SAME_S] = 0
        knots: list[tuple[float, float]] = []
        for time_s, shift_s in zip((onsets / _RATE_HZ).tolist(), offsets.tolist(), strict=True):
            if not knots or time_s + shift_s > knots[-1][1]:
                knots.append((time_s, time_s + shift_s))
        return knots, confidence

    def _varying(self, seen: torch.Tensor, heard: torch.Tensor, onsets: torch.Tensor, offset: float) -> torch.Tensor:
        """The offset at each onset, from windows that overlap, the confident ones only, smoothly joined."""
        import numpy as np

        length, hop, around = round(_WINDOW_S * _RATE_HZ), round(_HOP_S * _RATE_HZ), round(0.25 * _RATE_HZ)
        centre = round(offset * _RATE_HZ)
        moved = torch.roll(heard, centre)
        if centre > 0:
            moved[:centre] = 0
        elif centre < 0:
            moved[centre:] = 0
        times, offsets = [], []
        for start in range(0, max(1, len(seen) - length + 1), hop):
            local, confidence = _offset(seen[start : start + length], moved[start : start + length], around)
            if confidence >= max(self.min_confidence, 0.3):
                times.append(start + length / 2)
                offsets.append(centre / _RATE_HZ + local)
        if not times:
            return torch.full((len(onsets),), offset)
        smooth = [float(np.median(offsets[max(0, k - 1) : k + 2])) for k in range(len(offsets))]
        return torch.from_numpy(np.interp(onsets.numpy() + centre, times, smooth).astype(np.float32))


def _strikes(events: EventTrack, item: int, count: int) -> torch.Tensor:
    """The onsets as impulses on the sound's grid, split between neighbours; the envelope where there are none."""
    seen = torch.zeros(count)
    if not events.onsets[item]:
        grid = torch.arange(count) * (events.rate_hz / _RATE_HZ)
        inside = grid.round().long().clamp(max=events.envelope.shape[1] - 1)
        return events.envelope[item].cpu().float()[inside] if events.envelope.shape[1] else seen
    for time_s, strength in events.onsets[item]:
        place = time_s * _RATE_HZ
        first = int(place)
        for step, share in ((first, 1 - (place - first)), (first + 1, place - first)):
            if 0 <= step < count:
                seen[step] += strength * share
    return seen


def _blurred(envelope: torch.Tensor) -> torch.Tensor:
    half = round(4 * _BLUR_S * _RATE_HZ)
    bell = torch.exp(-0.5 * (torch.arange(-half, half + 1) / (_BLUR_S * _RATE_HZ)) ** 2)
    return torch.nn.functional.conv1d(envelope[None, None], bell[None, None], padding=half)[0, 0]


def _peaks(heard: torch.Tensor) -> torch.Tensor:
    """Onsets of the sound, as steps of its envelope: local maxima over 50 ms that stand out."""
    high = torch.nn.functional.max_pool1d(heard[None, None], 5, 1, 2)[0, 0]
    return torch.nonzero((heard >= high) & (heard > heard.mean() + heard.std(correction=0)))[:, 0].float()


def _offset(seen: torch.Tensor, heard: torch.Tensor, reach: int) -> tuple[float, float]:
    """Seconds by which the sound should move, and the confidence: 0 where either has nothing to show."""
    seen, heard = seen - seen.mean(), heard - heard.mean()
    scale = (seen.norm() * heard.norm()).item()
    if scale < 1e-6:  # noqa: PLR2004
        return 0.0, 0.0
    size = 2 ** (2 * len(seen) - 1).bit_length()
    product = torch.fft.rfft(seen, size) * torch.fft.rfft(heard, size).conj()
    circle = torch.fft.irfft(product, size)
    lags = torch.arange(-reach, reach + 1)
    match = circle[lags % size] / scale
    best = int(match.argmax())
    rivals = match[(lags - lags[best]).abs() > _RIVAL_S * _RATE_HZ]
    margin = 1 - max(rivals.max().item(), 0.0) / max(match[best].item(), 1e-9) if len(rivals) else 1.0
    finer = 0.0
    if 0 < best < len(match) - 1:  # the vertex of the parabola through the peak and its neighbours
        left, middle, right = match[best - 1 : best + 2].tolist()
        bend = left - 2 * middle + right
        finer = 0.5 * (left - right) / bend if bend < 0 else 0.0
    confidence = max(match[best].item(), 0.0) ** 0.5 * max(margin, 0.0) ** 0.5
    return (lags[best].item() + finer) / _RATE_HZ, min(confidence, 1.0)
