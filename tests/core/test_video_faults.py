"""Files that are no video, are cut short or damaged."""

from __future__ import annotations

import os
import wave

import av
import numpy as np
import pytest
from clips import damaged, gather

from versasound_core.containers import VideoClip
from versasound_core.errors import MediaError


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
