"""From a stream of small luma pictures to an event track, in constant memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as nn

from versasound_core.containers.features import EventTrack
from versasound_core.containers.view import CHANNELS, SIDE, EventView, view_cells
from versasound_core.device import one_thread

from .motion import max_around, velocity_changes

if TYPE_CHECKING:
    from versasound_core.containers import VideoClip
    from versasound_core.context import RunContext

_HEIGHT = 48  # rows of the pictures looked at
RATE_HZ = 100.0

_CELL = 4  # pixels a side
_AROUND = 5  # frames of context on either side of a frame that is judged
_BATCH = 96  # frames measured at once
_SHORTEST_STEP_S = (
    0.0275  # faster clips are thinned: a strike is no shorter, and the noise of a velocity grows with fps
)
_LONGEST_STEP_S = 0.1
_SAME = 3  # grey levels below which two pictures are one, shown twice
_THRESHOLD = 0.16  # picture heights per second
_STANDS_OUT = 2.0  # times the clip's median cue
_LOUD = 1.0  # likewise: the least change of velocity that may be called strong
_APART_S = 0.045  # strikes nearer than this are one


class EventDetector:
    """Finds the strikes in one clip, fed frame by frame.

    A frame's cue is the largest sudden change of velocity in each cell of the picture (see `motion`), more where the
    motion also ends (the mark of an impact) and less by what the frames around it show, which steady acceleration and
    waving leaves show too. Camera motion is taken out, and frames beside a cut are left out.
    """

    def __init__(self) -> None:
        self._pictures: list[torch.Tensor] = []  # kept from the last batch
        self._times: list[float] = []
        self._cues: list[torch.Tensor] = []  # [H, W] a frame, not yet judged
        self._cue_times: list[float] = []
        self._judged = 0  # how many of them are context only
        self._peaks: list[tuple[float, float, float]] = []  # strength, time, position
        self._envelope: list[tuple[float, float]] = []  # time, strength
        self._cells = [torch.zeros(0, CHANNELS, SIDE, SIDE, dtype=torch.uint8)]
        self._shown: list[float] = []  # when, of every picture kept

    def push(self, luma: torch.Tensor, times_s: torch.Tensor) -> None:
        """Take the next pictures.

        Args:
            luma: `[n, H, W]` uint8, of `analysis_size`.
            times_s: `[n]`, their presentation times.
        """
        for picture, time_s in zip(luma, times_s.tolist(), strict=True):
            if self._times:
                step_s = time_s - self._times[-1]
                if step_s < _SHORTEST_STEP_S:
                    continue
                if step_s < _LONGEST_STEP_S and _same(picture, self._pictures[-1]):
                    continue
            self._pictures.append(picture)
            self._times.append(time_s)
            self._shown.append(time_s)
            if len(self._times) == _BATCH + 2:
                self._measure()

    def finish(self, duration_s: float) -> EventTrack:
        """Return the events of everything pushed, as the track of one item, `duration_s` long."""
        self._measure()
        self._judge(last=True)
        # Water, leaves and crowds change their velocity all the time; a strike must stand out from what is usual here.
        usual = torch.tensor([strength for _, strength in self._envelope] or [0.0]).median().item()
        least = max(_THRESHOLD, _STANDS_OUT * usual)
        peaks = [peak for peak in sorted(self._peaks, reverse=True) if peak[0] > least and 0 <= peak[1] < duration_s]
        kept: list[tuple[float, float, float]] = []
        for peak in peaks:
            if all(abs(peak[1] - other[1]) >= _APART_S for other in kept):
                kept.append(peak)
        loud = max([_LOUD, *(strength for strength, _, _ in kept[: max(1, len(kept) // 10)][-1:])])
        kept.sort(key=lambda peak: peak[1])
        return EventTrack(
            envelope=self._sampled(duration_s)[None],
            rate_hz=RATE_HZ,
            onsets=[[(time_s, min(1.0, strength / loud)) for strength, time_s, _ in kept]],
            positions=[[position for _, _, position in kept]],
            views=[EventView(torch.cat(self._cells), torch.tensor(self._shown or [0.0], dtype=torch.float64))],
        )

    def _measure(self) -> None:
        """Turn the pictures at hand into cues, keeping the last two for the next batch."""
        new = len(self._shown) - 1 - sum(map(len, self._cells))
        if new > 0:
            self._cells.append(view_cells(torch.stack(self._pictures[-new - 1 :])))
        if len(self._times) < 3:  # noqa: PLR2004
            return
        pictures, times = torch.stack(self._pictures), torch.tensor(self._times, dtype=torch.float64)
        changes = velocity_changes(pictures, times)
        count, (height, width) = len(times) - 2, pictures.shape[1:]
        rows, columns = math.ceil(height / _CELL), math.ceil(width / _CELL)
        cue = torch.zeros(count * rows * columns)
        cell = (changes.frame * rows + changes.y // _CELL) * columns + changes.x // _CELL
        cue.scatter_reduce_(0, cell, changes.speed, "amax")
        cue = cue.reshape(count, rows, columns) * (0.5 + 0.5 * _stops(changes.residual, rows, columns))
        cue[changes.cut[1:] | changes.cut[:-1]] = 0
        self._cues += list(cue)
        self._cue_times += self._times[1:-1]
        self._pictures, self._times = self._pictures[-2:], self._times[-2:]
        self._judge()

    def _judge(self, *, last: bool = False) -> None:
        """Pick the peaks among the cues that have their context on both sides."""
        end = len(self._cues) - (0 if last else _AROUND)
        if end <= self._judged:
            return
        cue = torch.stack(self._cues)
        calm = (cue - _background(cue)).clamp_min(0)
        near = max_around(calm)
        peak = torch.stack([near[max(k - 2, 0) : k + 3].amax(0) for k in range(len(near))])
        hits = torch.nonzero((calm >= peak) & (calm > _THRESHOLD)).tolist()
        for frame, row, column in hits:
            if self._judged <= frame < end:
                time_s = self._centroid(calm, frame, row, column)
                position = 2 * (column + 0.5) / calm.shape[2] - 1
                self._peaks.append((calm[frame, row, column].item(), time_s, position))
        strongest = calm.flatten(1).amax(1).tolist()
        self._envelope += list(zip(self._cue_times[self._judged : end], strongest[self._judged : end], strict=True))
        drop = max(0, end - _AROUND)
        self._cues, self._cue_times, self._judged = self._cues[drop:], self._cue_times[drop:], end - drop

    def _centroid(self, calm: torch.Tensor, frame: int, row: int, column: int) -> float:
        """The time of an impulse that is spread over three frames."""
        first, last = max(frame - 1, 0), min(frame + 2, len(calm))
        around = calm[first:last, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].flatten(1).amax(1)
        around = around - around.min() if last - first == 3 else around  # noqa: PLR2004
        times = torch.tensor(self._cue_times[first:last], dtype=torch.float64)
        return float((around * times).sum() / around.sum().clamp_min(1e-9))

    def _sampled(self, duration_s: float) -> torch.Tensor:
        """The strongest cue of each frame, as an envelope `[N]` at `RATE_HZ`."""
        count = max(1, round(duration_s * RATE_HZ))
        if not self._envelope:
            return torch.zeros(count)
        times, values = np.array(self._envelope).T
        return torch.from_numpy(np.interp(np.arange(count) / RATE_HZ, times, values, 0.0, 0.0).astype(np.float32))


def _same(picture: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two pictures are one, shown twice."""
    change = np.subtract(picture.numpy(), other.numpy(), dtype=np.int16)  # ten times as fast as PyTorch on so little
    return bool(np.abs(change).max() < _SAME)


def _stops(residual: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """How much of the motion around each cell ends at a frame: 0 (none) to 1 (all), `[n, rows, columns]`."""
    height, width = residual.shape[1:]
    energy = nn.pad(residual.abs(), (0, columns * _CELL - width, 0, rows * _CELL - height))
    energy = nn.avg_pool2d(energy[:, None], _CELL)
    energy = nn.avg_pool2d(energy, 5, 1, 2, count_include_pad=False)[:, 0]
    before = torch.maximum(energy[:-1], torch.cat([energy[:1], energy[:-2]]))
    after = torch.minimum(energy[1:], torch.cat([energy[2:], energy[-1:]]))
    return ((before - after) / (before + 0.3)).clamp(0, 1)


def _background(cue: torch.Tensor) -> torch.Tensor:
    """The mean cue near each cell, three to five frames away."""
    near = max_around(cue)
    total = torch.zeros_like(cue)
    for step in range(3, _AROUND + 1):
        total[step:] += near[:-step]
        total[:-step] += near[step:]
    return total / 6


def analysis_size(clip: VideoClip) -> tuple[int, int]:
    """Height and width in pixels, multiples of 4, of the small pictures that the detector takes of a clip."""
    return _HEIGHT, min(max(4 * round(_HEIGHT / 4 * clip.width / clip.height), 16), 4 * _HEIGHT)


def detect_events(clip: VideoClip, ctx: RunContext) -> EventTrack:
    """Decode a clip once and find its events.

    Raises:
        MediaError: If the clip cannot be decoded.
        Cancelled: If the user asked to stop.
    """
    detectors = [EventDetector() for _ in range(clip.batch_size)]
    with one_thread():
        for chunk in clip.frames(size=analysis_size(clip), format="luma", draft=True):
            for detector, pictures in zip(detectors, chunk.images, strict=True):
                detector.push(pictures[:, 0], chunk.times_s)
            ctx.report(float(chunk.times_s[-1]) / clip.duration_s, "looking for events")
    return join_tracks([detector.finish(clip.duration_s) for detector in detectors])


def join_tracks(tracks: list[EventTrack]) -> EventTrack:
    """Make a batch of tracks of one item each, all of one length and rate."""
    return EventTrack(
        envelope=torch.cat([track.envelope for track in tracks]),
        rate_hz=tracks[0].rate_hz,
        onsets=[item for track in tracks for item in track.onsets],
        positions=[item for track in tracks for item in track.positions],
        views=[view for track in tracks for view in track.views or []] or None,
    )
