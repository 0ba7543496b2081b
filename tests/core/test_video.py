from __future__ import annotations

import math
import os
import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import VideoClip
from versasound_core.errors import InvalidInputError, MediaError
from versasound_core.media.video import Scaler, on_ticks, within

NTSC = Fraction(30000, 1001)
FFV1 = {"name": "clip.mkv", "codec": "ffv1"}


def gather(clip: VideoClip, **arguments) -> tuple[np.ndarray, np.ndarray]:
    """All frames `[n, C, H, W]` of the first item and their times."""
    chunks = list(clip.frames(**arguments))
    return (
        np.concatenate([chunk.images[0].numpy() for chunk in chunks]),
        np.concatenate([chunk.times_s.numpy() for chunk in chunks]),
    )


# The time axis


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


# Pixels


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


# Chunks


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


# What is refused


def test_files_that_are_not_video_are_refused(tmp_path, make_clip):
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("not a video\n" * 100)
    still = tmp_path / "still.png"
    with av.open(str(still), "w", format="image2") as out:
        stream = out.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(16000))
    cases = {
        tmp_path / "missing.mp4": "No such file",
        tmp_path: "is a folder",
        make_clip() / "below.mp4": "Not a directory",
        empty: "is empty",
        text: "not media",
        still: "still picture",
        sound: "has no picture",
    }
    for path, says in cases.items():
        with pytest.raises(MediaError, match=says) as caught:
            VideoClip.open(path)
        assert str(path) in caught.value.message
        assert caught.value.hint


def test_a_cover_image_is_not_a_picture(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = 1 << 10  # attached_pic
        track = out.add_stream("aac", rate=48000)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        block.sample_rate = 48000
        packets = track.encode(block) + track.encode(None)
        out.mux(cover.encode(av.VideoFrame(16, 16, "yuvj420p")) + cover.encode(None))
        out.mux(packets)
    with pytest.raises(MediaError, match="cover image"):
        VideoClip.open(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_the_right_to_read_it_is_refused(make_clip, tmp_path):
    path = tmp_path / "secret.mp4"
    path.write_bytes(make_clip().read_bytes())
    path.chmod(0)
    with pytest.raises(MediaError, match="Permission denied"):
        VideoClip.open(path)


def test_huge_frames_are_refused_before_they_are_decoded(make_clip, tmp_path):
    header = make_clip("clip.avi", codec="rawvideo", frames=2).read_bytes()
    old = (160).to_bytes(4, "little") + (96).to_bytes(4, "little")
    huge = (100_000).to_bytes(4, "little") * 2
    assert old in header
    path = tmp_path / "huge.avi"
    path.write_bytes(header.replace(old, huge))
    with pytest.raises(MediaError, match="more than 67108864 pixels"):
        VideoClip.open(path)

    with pytest.raises(MediaError, match="160x96 pixels; the limit is 1000") as caught:
        VideoClip.open(make_clip(), max_pixels=1000)
    assert "max_pixels" in caught.value.hint


@pytest.mark.parametrize("kept", [0.3, 0.7])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"container_options": {"movflags": "+faststart"}},
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "8"}},
        {"name": "clip.mkv"},
        {"name": "clip.webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime"}},
        {"name": "clip.avi", "codec": "mpeg4"},
    ],
    ids=str,
)
def test_a_file_cut_short_is_refused(make_clip, tmp_path, arguments, kept):
    whole = make_clip(**{"frames": 96, **arguments}).read_bytes()
    path = tmp_path / arguments.get("name", "clip.mp4")
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(MediaError, match="cut") as caught:
        VideoClip.open(path)
    assert str(path) in caught.value.message


def test_a_file_without_its_last_bytes_is_refused(make_clip, tmp_path):
    whole = make_clip(container_options={"movflags": "+faststart"}).read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(whole[:-10])
    with pytest.raises(MediaError, match="cut short"):
        VideoClip.open(path)


def damaged(path: Path, out: Path, first: int, last: int) -> Path:
    """Copy a file with the packets `first` to `last` of its picture overwritten by noise."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    rng = np.random.default_rng(0)
    for packet in packets[first:last]:
        data[packet.pos : packet.pos + packet.size] = rng.bytes(packet.size)
    out.write_bytes(data)
    return out


def test_damage_is_refused_where_it_is_and_a_lost_frame_is_not(make_clip, tmp_path, read_number):
    path = make_clip(frames=72, options={"g": "12", "bf": "0", "sc_threshold": "0"})
    clip = VideoClip.open(damaged(path, tmp_path / "bad.mp4", 24, 48))
    with pytest.raises(MediaError, match=r"damaged at (0\.9|1\.0)") as caught:
        gather(clip)
    assert "bad.mp4" in caught.value.message
    before, _ = gather(clip, end_s=0.9)
    assert [read_number(image) for image in before] == list(range(22))
    after, _ = gather(clip, start_s=2.0)
    assert [read_number(image) for image in after] == list(range(48, 72))

    # As players do: the frame before stays on screen.
    clip = VideoClip.open(damaged(path, tmp_path / "end.mp4", 71, 72))
    images, times = gather(clip, fps=24.0)
    assert len(images) == len(times) == 72
    assert [read_number(image) for image in images[:71]] == list(range(71))


def test_a_file_damaged_from_its_first_frame_on_is_refused(make_clip, tmp_path):
    with pytest.raises(MediaError, match="no picture that can be decoded"):
        VideoClip.open(damaged(make_clip(), tmp_path / "bad.mp4", 0, 24))


def test_a_recording_that_starts_between_key_frames_starts_at_its_first_whole_picture(make_clip, tmp_path, read_number):
    whole = make_clip("clip.ts", frames=60, options={"g": "24", "bf": "0"})
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    path = tmp_path / "late.ts"
    # Tables first, as a receiver would send them again.
    path.write_bytes(whole.read_bytes()[: 3 * 188] + whole.read_bytes()[packets[10].pos :])
    clip = VideoClip.open(path)
    images, times = gather(clip)
    numbers = [read_number(image) for image in images]
    assert numbers[-1] == 59
    assert numbers == list(range(numbers[0], 60))
    assert times[0] == 0
    assert len(numbers) == clip.num_frames


# Real files


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
