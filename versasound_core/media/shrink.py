"""Large pictures made small by averaging boxes of pixels, several times faster than swscale's area filter."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import ColorRange

if TYPE_CHECKING:
    from av import VideoFrame

# Borders of boxes lie on whole pixels. In boxes of four and more that moves none by over an eighth of its side.
_LEAST = 4
_MOST = 256  # rows of bytes whose sum sixteen bits can hold
_BANDS = 4  # rows of a draft that share their colour
_DRAFT = 5  # of the rows that a box has, a draft adds up so many, evenly spread
_PLANAR = frozenset({"yuv420p", "yuv422p", "yuv444p"})


def can_shrink(frame: VideoFrame, height: int, width: int) -> bool:
    """Whether every plane of `frame` is stored as bytes of limited range and is at least four times as large."""
    if frame.format.name not in _PLANAR or frame.color_range == ColorRange.JPEG:
        return False
    smallest = frame.planes[1]
    return frame.height <= _MOST * height and _LEAST * height <= smallest.height and _LEAST * width <= smallest.width


def shrink(frame: VideoFrame, plane: int, height: int, width: int, *, draft: bool = False) -> np.ndarray:
    """Return the means, uint8 `[height, width]`, of boxes of one plane that are as equal as whole pixels allow.

    A draft takes some rows of each box only, and has colour in bands of four rows: reading takes longest.
    """
    stored = pixels(frame, plane)
    bands = _BANDS if draft and plane and height % _BANDS == 0 else 1
    rows, borders, weight = _boxes(*stored.shape, height // bands, width, _DRAFT if draft else _MOST)
    stored = stored if rows is None else stored.take(rows, axis=0)
    across = stored.reshape(height // bands, -1, stored.shape[1]).sum(1, dtype=np.uint16)
    mean = np.add.reduceat(across, borders, axis=1, dtype=np.uint32) * weight
    rounded: np.ndarray = (mean + np.float32(0.5)).astype(np.uint8)
    return rounded.repeat(bands, axis=0) if bands > 1 else rounded


@functools.lru_cache(maxsize=16)
def _boxes(
    rows: int, columns: int, height: int, width: int, most: int
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """The rows to take (None: as they are), the first column of each box, and one over its number of pixels.

    Every box gets as many rows, `most` if it has more; one that lies on a border is in both boxes or in one.
    """
    each = min(-(-rows // height), most)
    taken = None
    if rows != height * each:
        taken = ((np.arange(height * each) + 0.5) * rows / (height * each)).astype(np.intp)
    borders = np.round(np.arange(width + 1) * columns / width).astype(np.intp)
    return taken, borders[:-1], (1 / (each * np.diff(borders))).astype(np.float32)


def pixels(frame: VideoFrame, plane: int) -> np.ndarray:
    """Return a plane of bytes as it is stored, uint8 `[H, W]`, without a copy."""
    stored = frame.planes[plane]
    return np.frombuffer(memoryview(stored), np.uint8).reshape(stored.height, stored.line_size)[:, : stored.width]
