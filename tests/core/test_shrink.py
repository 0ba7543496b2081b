"""Small pictures of large ones are the means of their boxes."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from versasound_core.media.shrink import can_shrink, pixels, shrink
from versasound_core.media.video import Scaler


def noise(height: int, width: int, pixel_format: str = "yuv420p") -> av.VideoFrame:
    shade = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    rgb = np.ascontiguousarray(shade.repeat(8, 0).repeat(8, 1))
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_means_of_whole_boxes_are_exact(plane: int) -> None:
    frame = noise(384, 672)
    stored = pixels(frame, plane).astype(float)
    height, width = stored.shape[0] // 24, stored.shape[1] // 42
    boxes = stored.reshape(24, height, 42, width).mean((1, 3))
    assert np.array_equal(shrink(frame, plane, 24, 42), np.floor(boxes + 0.5))


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_a_draft_takes_five_rows_of_a_box_and_has_colour_in_bands_of_four_rows(plane: int) -> None:
    frame = noise(960, 1344)
    rows, high = (12, 40) if plane else (48, 20)
    every = high // 5
    taken = pixels(frame, plane).astype(float)[every // 2 :: every]
    boxes = taken.reshape(rows, 5, 84, -1).mean((1, 3))
    assert np.array_equal(shrink(frame, plane, 48, 84, draft=True), np.floor(boxes + 0.5).repeat(48 // rows, axis=0))


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (488, 872), (2160, 3840)])
@pytest.mark.parametrize("kind", ["luma", "yuv"])
def test_it_agrees_with_swscale(size: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, scaler = noise(*size), Scaler((48, 84), kind)
    ours, theirs = np.empty((2, scaler.channels, 48, 84), np.uint8)
    assert can_shrink(frame, 48, 84)
    scaler.write(frame, ours)
    monkeypatch.setattr("versasound_core.media.video.can_shrink", lambda *_: False)
    scaler.write(frame, theirs)
    # A border of a box may be half a pixel from swscale's: of four pixels a side an eighth is another's.
    difference = ours.astype(float) - theirs
    assert np.sqrt((difference**2).mean()) < 0.15 * theirs.std()
    assert abs(difference.mean()) < 0.6  # swscale rounds down in places


def test_what_it_cannot_read_is_left_to_swscale() -> None:
    frame = noise(720, 1280)
    assert can_shrink(frame, 48, 84)
    assert not can_shrink(frame, 120, 84)  # chroma has 360 rows
    assert not can_shrink(noise(720, 1280, "yuv420p10le"), 48, 84)
    assert not can_shrink(noise(720, 1280, "nv12"), 48, 84)
    frame.color_range = ColorRange.JPEG
    assert not can_shrink(frame, 48, 84)
