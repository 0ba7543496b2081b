"""The pixels of a clip: turned, coloured and shrunk as a player would."""

from __future__ import annotations

import av
import numpy as np
import pytest
from clips import FFV1, gather

from versasound_core.containers import VideoClip
from versasound_core.media.video import Scaler


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("format_", ["rgb", "luma", "yuv"])
def test_rotation_turns_the_picture_as_a_player_does(make_clip, name, rotation, format_):
    upright = VideoClip.open(make_clip(name))
    turned = VideoClip.open(make_clip(name, rotation=rotation))
    assert turned.rotation == rotation
    sideways = rotation != 180
    assert (turned.width, turned.height) == ((96, 160) if sideways else (160, 96))

    expected, _ = gather(upright, format=format_, size=(48, 80))
    images, _ = gather(turned, format=format_, size=(80, 48) if sideways else (48, 80))
    np.testing.assert_array_equal(images, np.rot90(expected, rotation // 90, axes=(2, 3)))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"size": (57, 101), **FFV1},
        {"pix_fmt": "yuv422p", **FFV1},
        {"pix_fmt": "yuv444p10le", **FFV1},
        {"pix_fmt": "gray", **FFV1},
        {"pix_fmt": "bgr0", **FFV1},
        {"pix_fmt": "yuv420p", "full_range": True, **FFV1},
    ],
    ids=str,
)
def test_colours_are_right_in_every_pixel_format(make_clip, arguments):
    gray = arguments.get("pix_fmt") == "gray"
    colour = (120, 120, 120) if gray else (200, 60, 30)
    path = make_clip(colour=colour, frames=2, **arguments)
    for size in (None, (33, 41), (300, 200)):
        images, _ = gather(VideoClip.open(path), size=size)
        assert images.shape[1] == 3
        assert size is None or images.shape[2:] == size
        np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), colour, atol=4)

    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24").transpose(2, 0, 1) for frame in container.decode(video=0)]
    np.testing.assert_allclose(gather(VideoClip.open(path))[0].astype(int), expected, atol=3)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("size", [(96, 160), (57, 101)])
def test_luma_is_the_stored_plane(make_clip, size, full_range):
    path = make_clip(size=size, full_range=full_range, frames=3, **FFV1)
    with av.open(str(path)) as container:
        planes = [frame.planes[0] for frame in container.decode(video=0)]
        stored = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, : plane.width]
            for plane in planes
        ]
    clip = VideoClip.open(path)
    luma, _ = gather(clip, format="luma")
    np.testing.assert_array_equal(luma[:, 0], stored)
    yuv, _ = gather(clip, format="yuv")
    np.testing.assert_array_equal(yuv[:, 0], stored)
    assert luma.shape == (3, 1, *size)
    assert yuv.shape == (3, 3, *size)
    assert luma.max() == (255 if full_range else 235)


def test_shrinking_averages(make_clip):
    clip = VideoClip.open(make_clip(frames=3, **FFV1))
    large, _ = gather(clip, format="luma")
    small, _ = gather(clip, format="luma", size=(24, 40))
    np.testing.assert_allclose(small[:, 0], large[:, 0].reshape(3, 24, 4, 40, 4).mean(axis=(2, 4)), atol=2)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("width", [64, 66, 72, 99, 214])
def test_every_column_is_written(pix_fmt, width):
    stored = np.random.default_rng(width).integers(16, 236, (48, width), dtype=np.uint8)
    frame = av.VideoFrame(width, 48, pix_fmt)
    for plane, values in zip(frame.planes, (stored, 128, 128), strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = values
        plane.update(padded)
    out = np.full((3, 48, width), 77, np.uint8)
    Scaler((48, width), "rgb").write(frame, out)
    assert np.abs(out - (stored - 16.0) * 255 / 219).max() <= 2  # BT.601 without colour
