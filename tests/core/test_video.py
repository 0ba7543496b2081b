"""Every frame of a clip comes once and at its own time, whether from a file or from memory."""

from __future__ import annotations

import math
import os
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import FFV1, gather
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import VideoClip
from versasound_core.errors import InvalidInputError
from versasound_core.media.video import on_ticks, within

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    "arguments",
    [
        {"rate": Fraction(21, 2)},
        {"rate": 24, "options": {"bf": "3", "g": "8"}},
        {"rate": NTSC, "codec": "mpeg4"},
        {"rate": 60, "frames": 60},
        {"name": "clip.mkv", "rate": NTSC, "options": {"bf": "3"}},
        {"name": "clip.webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime"}},
        {"name": "clip.mov", "codec": "prores_ks", "pix_fmt": "yuv422p10le"},
        {"name": "clip.avi", "codec": "mpeg4", "options": {"bf": "2"}},
        {"name": "clip.avi", "options": {"bf": "2"}},
        {"name": "clip.ts", "start_s": 5.0},
        {"name": "clip.flv"},
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "8"}},
        {"start_s": 2.0},
        {"size": (57, 101), **FFV1},
        {"pix_fmt": "yuv420p10le"},
    ],
    ids=str,
)
def test_every_frame_comes_once_at_its_own_time(make_clip, read_number, arguments):
    rate, count = arguments.get("rate", 24), arguments.get("frames", 24)
    clip = VideoClip.open(make_clip(**arguments))

    images, times = gather(clip, chunk=7)

    assert [read_number(image) for image in images] == list(range(count))
    # Matroska and FLV keep whole milliseconds.
    np.testing.assert_allclose(times, [index / float(rate) for index in range(count)], atol=1.1e-3)
    assert times[0] == 0
    assert clip.num_frames == count
    assert clip.duration_s == pytest.approx(count / rate, abs=2e-3)
    assert clip.fps == pytest.approx(float(rate), rel=2e-3)
    assert clip.start_s >= arguments.get("start_s", 0.0)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_variable_rate_keeps_the_time_of_every_frame(make_clip, read_number, name):
    times_ms = [0, 40, 55, 300, 310, 320, 900, 1000, 1750, 1800]
    clip = VideoClip.open(make_clip(name, frames=10, times_ms=times_ms))

    images, times = gather(clip)
    assert [read_number(image) for image in images] == list(range(10))
    np.testing.assert_allclose(times, np.array(times_ms) / 1000, atol=1e-6)

    images, times = gather(clip, fps=20.0)
    assert times.tolist() == [tick / 20 for tick in range(math.ceil(clip.duration_s * 20))]
    shown = [max(index for index in range(10) if times_ms[index] / 1000 <= time + 1e-6) for time in times]
    assert [read_number(image) for image in images] == shown


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("fps", [5.0, 12.0, 24.0, 25.0, 60.0])
def test_a_tick_shows_the_frame_on_screen(make_clip, read_number, name, fps):
    clip = VideoClip.open(make_clip(name, frames=48))
    images, times = gather(clip, fps=fps, size=(48, 80), format="luma")
    assert times.tolist() == [tick / fps for tick in range(round(2 * fps))]
    assert [read_number(image) for image in images] == [math.floor(time * 24 + 1e-6) for time in times]


@given(
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    fps=st.sampled_from([1.0, 7.5, 10.0, 24.0, 29.97, 60.0]),
    start_ms=st.integers(0, 3000),
    length_ms=st.integers(0, 5000),
)
def test_sampling_gives_the_last_picture_that_has_appeared(steps, fps, start_ms, length_ms):
    times = [ms / 1000 for ms in np.cumsum([0, *steps])]
    start_s, end_s = start_ms / 1000, (start_ms + length_ms) / 1000
    given_ = list(on_ticks(zip(times, range(len(times)), strict=True), fps, start_s, end_s))

    first = math.ceil(round(start_s * fps, 4))
    assert [time for time, _ in given_] == [first / fps + 0 if not n else (first + n) / fps for n in range(len(given_))]
    assert len(given_) == max(0, math.ceil(round(end_s * fps, 4)) - first)
    for time, picture in given_:
        assert times[picture] <= time + 1e-5
        assert picture + 1 == len(times) or times[picture + 1] >= time - 1e-5


@given(steps=st.lists(st.integers(1, 400), min_size=1, max_size=30), cut_ms=st.integers(0, 3000))
def test_two_halves_are_the_whole(steps, cut_ms):
    times = [ms / 1000 for ms in np.cumsum([0, *steps])]
    pictures = list(zip(times, range(len(times)), strict=True))
    cut = cut_ms / 1000
    assert [*within(pictures, 0.0, cut), *within(pictures, cut, 1e9)] == pictures


@pytest.mark.parametrize("fps", [None, 10.0])
@pytest.mark.parametrize(
    "arguments",
    [
        {"options": {"g": "12", "bf": "3"}},
        {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1"}},
        {"name": "clip.mkv", "options": {"g": "12", "bf": "3"}},
        {"name": "clip.ts", "options": {"g": "12", "bf": "3"}},
        {"name": "clip.avi", "options": {"g": "12", "bf": "3"}},
        {"name": "clip.avi", "codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
        {"name": "clip.webm", "codec": "libvpx-vp9", "options": {"g": "12", "deadline": "realtime"}},
        {"start_s": 3.0, "options": {"g": "12", "bf": "3"}},
    ],
    ids=str,
)
def test_parts_are_cut_from_the_same_frames(make_clip, read_number, arguments, fps):
    clip = VideoClip.open(make_clip(frames=60, **arguments))
    images, times = gather(clip, fps=fps)
    for start_s, end_s in ((0.0, 0.7), (0.7, 1.3), (1.0, 2.2), (2.4, 2.5)):
        part, part_times = gather(clip, fps=fps, start_s=start_s, end_s=end_s)
        chosen = (times >= start_s - 1e-6) & (times < end_s - 1e-6)
        assert part_times.tolist() == times[chosen].tolist()
        assert [read_number(image) for image in part] == [read_number(image) for image in images[chosen]]


def test_chunks_are_no_longer_than_asked_and_keep_the_batch_axis(make_clip):
    chunks = list(VideoClip.open(make_clip()).frames(chunk=10, size=(12, 20)))
    assert [list(chunk.images.shape) for chunk in chunks] == [[1, 10, 3, 12, 20], [1, 10, 3, 12, 20], [1, 4, 3, 12, 20]]
    assert all(chunk.images.dtype == torch.uint8 and chunk.times_s.dtype == torch.float64 for chunk in chunks)


def test_a_chunk_is_shortened_before_it_takes_too_much_memory(make_clip):
    chunk = next(VideoClip.open(make_clip()).frames(chunk=10**6, size=(2000, 2000)))
    assert chunk.images.numel() <= 256 * 2**20


def test_memory_does_not_grow_with_the_clip(make_clip):
    clip = VideoClip.open(make_clip(frames=900, size=(96, 160)))
    for _ in clip.frames(chunk=8, end_s=1.0):
        pass  # what is imported and cached on first use
    tracemalloc.start()
    chunk = max(chunk.images.numel() for chunk in clip.frames(chunk=8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One chunk is looked at, two wait, one is being made; the whole clip is 112 of them.
    assert peak < 5 * chunk


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system has no /proc/self/fd to look at")
def test_the_file_is_closed_when_the_caller_stops(make_clip):
    path = make_clip(frames=60)

    def is_open() -> bool:
        links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
        return any(link.is_symlink() and os.path.realpath(link) == os.path.realpath(path) for link in links)

    frames = VideoClip.open(path).frames(chunk=4)
    assert not is_open()
    next(frames)
    assert is_open()
    frames.close()
    assert not is_open()


# Frames in memory


def test_a_tensor_comes_back_as_it_went_in():
    frames = torch.randint(0, 256, (2, 5, 3, 30, 41), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clip = VideoClip.from_tensor(frames, fps=10, start_s=1.5)
    assert (clip.batch_size, clip.num_frames, clip.width, clip.height) == (2, 5, 41, 30)
    assert (clip.duration_s, clip.fps, clip.start_s) == (0.5, 10.0, 1.5)
    assert (clip.path, clip.has_audio, clip.rotation) == (None, False, 0)

    chunks = list(clip.frames(chunk=3))
    assert torch.equal(torch.cat([chunk.images for chunk in chunks], dim=1), frames)
    assert torch.cat([chunk.times_s for chunk in chunks]).tolist() == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_a_tensor_of_floats_and_of_gray_is_the_same_picture():
    levels = torch.arange(0, 250, 5, dtype=torch.uint8).reshape(1, 2, 1, 5, 5)
    images, _ = gather(VideoClip.from_tensor(levels.float() / 255, fps=2))
    np.testing.assert_array_equal(images, levels[0].expand(2, 3, 5, 5).numpy())


def test_a_tensor_is_sampled_on_ticks_and_in_parts():
    frames = torch.arange(10, dtype=torch.uint8).reshape(1, 10, 1, 1, 1).expand(1, 10, 3, 4, 4)
    clip = VideoClip.from_tensor(frames, fps=10)
    images, times = gather(clip, fps=25.0, start_s=0.3, end_s=0.7)
    assert times.tolist() == [tick / 25 for tick in range(8, 18)]
    assert images[:, 0, 0, 0].tolist() == [int(time * 10 + 1e-6) for time in times]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (torch.zeros(2, 3, 4, 4), "B, T, C, H, W"),
        (torch.zeros(1, 2, 4, 4, 4), "1 or 3 channels"),
        (torch.zeros(1, 0, 3, 4, 4), "empty"),
        (torch.full((1, 1, 3, 4, 4), 2.0), "0, 1"),
        (torch.full((1, 1, 3, 4, 4), math.nan), "finite"),
        (torch.zeros(1, 1, 3, 4, 4, dtype=torch.int64), "uint8"),
        (np.zeros((1, 1, 3, 4, 4), np.uint8), "ndarray"),
    ],
)
def test_tensors_of_another_shape_are_refused(frames, says):
    with pytest.raises(InvalidInputError, match=says):
        VideoClip.from_tensor(frames, fps=10)


def test_a_hash_tells_contents_apart(make_clip, tmp_path):
    path = make_clip()
    copy = tmp_path / "other-name.mp4"
    copy.write_bytes(path.read_bytes())
    assert VideoClip.open(path).content_hash() == VideoClip.open(copy).content_hash()
    assert VideoClip.open(path).content_hash() != VideoClip.open(make_clip(frames=23)).content_hash()

    frames = torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)
    other = frames.clone()
    other[0, 1, 2, 3, 3] = 1
    hashes = {VideoClip.from_tensor(x, fps=fps).content_hash() for x in (frames, other) for fps in (10, 12)}
    assert len(hashes) == 4
    assert VideoClip.from_tensor(frames.clone(), fps=10).content_hash() in hashes


@pytest.mark.parametrize(
    "arguments",
    [{"size": (0, 10)}, {"fps": 0.0}, {"fps": math.nan}, {"chunk": 0}, {"format": "bgr"}, {"start_s": 9.0}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(make_clip, arguments):
    with pytest.raises(InvalidInputError):
        VideoClip.open(make_clip()).frames(**arguments)


def test_real_clips_decode_as_ffmpeg_decodes_them(real_clips):
    for path in real_clips:
        clip = VideoClip.open(path)
        with av.open(str(path)) as container:
            stream = container.streams.best("video")
            stream.thread_type = "AUTO"
            expected = [float(frame.pts * stream.time_base) for frame in container.decode(stream)]
        _, times = gather(clip, size=(9, 16), format="luma")
        np.testing.assert_allclose(times, np.array(expected) - expected[0], atol=1e-9, err_msg=path.name)
        assert clip.num_frames == len(expected)
        assert clip.has_audio


def test_of_two_pictures_the_best_is_taken(real_clips):
    path = next((path for path in real_clips if path.name == "nasa_13013.mp4"), None)
    if path is None:
        pytest.skip("nasa_13013.mp4 is not among the real clips")
    clip = VideoClip.open(path)
    assert (clip.width, clip.height, clip.num_frames) == (480, 270, 390)
    assert clip.duration_s == pytest.approx(13.013)
