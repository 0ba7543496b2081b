"""The default encoder: what a clip's colours do, how much moves where, and when something strikes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from versasound_core.containers import VisualFeatures
from versasound_core.device import one_thread
from versasound_core.events import EventDetector, analysis_size, join_tracks

if TYPE_CHECKING:
    from versasound_core.containers import VideoClip
    from versasound_core.context import RunContext

_GRID = 4
_CHANNELS = 4  # of each cell: luma, two of chroma, motion


class MotionEncoder:
    """Statistics of a 4x4 grid, and the core's events, from one pass over the frames.

    Args:
        fps: Feature vectors per second.
    """

    def __init__(self, *, fps: float) -> None:
        self.fps = fps

    def encode(self, clip: VideoClip, ctx: RunContext) -> VisualFeatures:
        """Return features `[B, T, 64]`: of each cell luma, chroma (Y, U, V in 0..1) and mean change of luma per frame.

        A vector averages the frames shown during its `1 / fps` seconds; where none begins, the last one stays.

        Raises:
            MediaError: If the clip cannot be decoded.
            Cancelled: If the user asked to stop.
        """
        detectors = [EventDetector() for _ in range(clip.batch_size)]
        bins = _Bins(clip.batch_size, max(1, round(clip.duration_s * self.fps)), self.fps)
        last = None
        with one_thread():
            for chunk in clip.frames(size=analysis_size(clip), format="yuv", draft=True):
                luma = chunk.images[:, :, 0]
                for detector, pictures in zip(detectors, luma, strict=True):
                    detector.push(pictures, chunk.times_s)
                before = torch.cat([luma[:, :1] if last is None else last, luma[:, :-1]], 1)
                change = torch.maximum(luma, before) - torch.minimum(luma, before)
                bins.add(_cells(torch.cat([chunk.images, change[:, :, None]], 2)), chunk.times_s)
                last = luma[:, -1:]
                ctx.report(float(chunk.times_s[-1]) / clip.duration_s, "looking at the clip")
            events = join_tracks([detector.finish(clip.duration_s) for detector in detectors])
        return VisualFeatures(bins.means(), metadata={"backbone": "motion", "fps": self.fps}, events=events)


def _cells(images: torch.Tensor) -> torch.Tensor:
    """Mean over each cell of uint8 `[B, n, 4, H, W]`, `[B, n, 64]` in 0..1."""
    batch, count, channels, height, width = images.shape
    grid = images.reshape(batch, count, channels, _GRID, height // _GRID, _GRID, width // _GRID)
    return grid.sum((4, 6), dtype=torch.int32).flatten(2) / (255 * height * width / _GRID**2)


class _Bins:
    """Averages frames over the even grid of the features' time axis."""

    def __init__(self, batch: int, count: int, fps: float) -> None:
        self.fps = fps
        self.sums = torch.zeros(batch, count, _CHANNELS * _GRID * _GRID)
        self.counts = torch.zeros(count)

    def add(self, vectors: torch.Tensor, times_s: torch.Tensor) -> None:
        index = (times_s * self.fps + 1e-6).long().clamp(0, self.sums.shape[1] - 1)
        self.sums.index_add_(1, index, vectors)
        self.counts.index_add_(0, index, torch.ones(len(index)))

    def means(self) -> torch.Tensor:
        filled = torch.nonzero(self.counts)[:, 0]
        shown = torch.searchsorted(filled, torch.arange(len(self.counts)), right=True) - 1
        source = filled[shown.clamp_min(0)]
        return self.sums[:, source] / self.counts[source, None]
