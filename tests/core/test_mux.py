"""A clip with a new sound: the picture is untouched, and the sound sits where it was put."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clicks import RATE, blocks, click, clicks

from versasound_core.containers import AudioData, VideoClip
from versasound_core.media.mux import mux

VP9 = {"name": "clip.webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime"}}


def packets(path: Path) -> list[tuple[str, float]]:
    """Digest and presentation time of every packet of the picture."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        return [
            (hashlib.sha256(bytes(packet)).hexdigest(), float(packet.pts * packet.time_base))
            for packet in container.demux(stream)
            if packet.size
        ]


def heard(path: Path) -> tuple[np.ndarray, float]:
    """The sound `[T]` of a file by its own timestamps, sample 0 at the first frame, and the rate."""
    start_s = VideoClip.open(path).start_s
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        rate = track.codec_context.sample_rate
        sound = np.zeros(rate * 60, np.float32)
        end = 0
        for frame in container.decode(track):
            samples = frame.to_ndarray()[0]
            first = round((float(frame.pts * frame.time_base) - start_s) * rate)
            samples = samples[max(0, -first) :]
            first = max(0, first)
            sound[first : first + len(samples)] = samples
            end = max(end, first + len(samples))
    return sound[:end], rate


def click_times(sound: np.ndarray, rate: int, count: int) -> list[float]:
    likeness = np.correlate(sound, click(rate), "valid")
    found = []
    for _ in range(count):
        peak = int(np.argmax(likeness))
        found.append(peak / rate)
        likeness[max(0, peak - rate // 20) : peak + rate // 20] = -np.inf
    return sorted(found)


MATRIX = [
    ({"options": {"bf": "3"}}, ".mp4"),
    ({"options": {"bf": "3"}}, ".m4v"),
    ({"options": {"bf": "3"}}, ".mov"),
    ({"options": {"bf": "3"}}, ".mkv"),
    ({"start_s": 0.5}, ".mp4"),
    ({"start_s": 0.5}, ".mov"),
    ({"start_s": 0.5}, ".mkv"),
    ({"container_options": {"movflags": "frag_keyframe+empty_moov"}}, ".mp4"),
    ({"name": "clip.mkv", "options": {"bf": "3"}}, ".mkv"),
    ({"name": "clip.mkv", "options": {"bf": "3"}}, ".mp4"),
    ({"times_ms": [40 * n + n % 7 for n in range(48)]}, ".mp4"),
    ({"codec": "mpeg4"}, ".mp4"),
    ({"name": "clip.avi", "codec": "mpeg4", "options": {"bf": "2"}}, ".mp4"),
    ({"name": "clip.mov", "codec": "prores_ks", "pix_fmt": "yuv422p10le"}, ".mov"),
    ({"pix_fmt": "yuv420p10le"}, ".mp4"),
    (VP9, ".webm"),
    (VP9, ".mkv"),
    (VP9, ".mp4"),
    ({**VP9, "start_s": 0.5}, ".webm"),
    ({"sound": np.ones((1, RATE), np.float32) * 0.1}, ".mp4"),
    ({"sound": np.ones((6, RATE * 4), np.float32) * 0.1, "layout": "5.1"}, ".mkv"),
]


@pytest.mark.parametrize(("arguments", "suffix"), MATRIX, ids=str)
def test_the_picture_is_untouched_and_the_sound_sits_where_it_was_put(make_clip, tmp_path, arguments, suffix):
    source = make_clip(**{"frames": 48, **arguments})
    clip = VideoClip.open(source)
    at_s = (0.1, 0.5, 1.25)

    written = mux(clip, blocks(clicks(clip.duration_s, at_s)), tmp_path / f"out{suffix}")

    assert [digest for digest, _ in packets(written)] == [digest for digest, _ in packets(source)]
    # Matroska keeps milliseconds, others the times as they were.
    exact = suffix not in (".mkv", ".webm")
    before, after = ([time for _, time in packets(path)] for path in (source, written))
    np.testing.assert_allclose(after, before, atol=1e-5 if exact else 1e-3)

    sound, rate = heard(written)
    assert rate == RATE
    np.testing.assert_allclose(click_times(sound, rate, 3), at_s, atol=1e-3)
    # The last block of a codec may be longer than what is left to say.
    assert clip.duration_s - 2e-3 <= len(sound) / rate <= clip.duration_s + 1024 / RATE
    with av.open(str(written)) as container:
        (track,) = container.streams.audio
        assert track.codec_context.name == ("opus" if suffix == ".webm" else "aac")
        assert len(container.streams.video) == 1


@pytest.mark.parametrize("length_s", [0.4, 5.0])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_is_cut_or_padded_to_the_picture(make_clip, tmp_path, suffix, length_s):
    clip = VideoClip.open(make_clip(frames=48))
    written = mux(clip, blocks(clicks(length_s, (0.2,))), tmp_path / f"out{suffix}")
    with av.open(str(written)) as container:
        ends = [packet.pts + packet.duration for packet in container.demux(audio=0) if packet.size]
        assert float(max(ends) * container.streams.audio[0].time_base) == pytest.approx(2.0, abs=1e-3 + 1024 / RATE)
    sound, rate = heard(written)
    assert click_times(sound, rate, 1) == pytest.approx([0.2], abs=1e-3)
    assert np.abs(sound[rate // 2 :]).max() < 1e-3


@pytest.mark.parametrize(("rate", "kept"), [(44100, 44100), (50000, 48000), (22050, 22050), (192000, 48000)])
def test_other_rates_are_kept_or_resampled_without_a_seam(make_clip, tmp_path, rate, kept):
    clip = VideoClip.open(make_clip(frames=48))
    noise = 0.3 * torch.rand(1, 1, 2 * rate, generator=torch.Generator().manual_seed(0)) - 0.15
    in_blocks, written_rate = heard(mux(clip, blocks(noise, rate, 3001), tmp_path / "blocks.mp4"))
    at_once, _ = heard(mux(clip, [AudioData(noise, rate)], tmp_path / "once.mp4"))
    assert written_rate == kept
    np.testing.assert_allclose(in_blocks, at_once, atol=1e-5)

    webm = VideoClip.open(make_clip(**{**VP9, "frames": 48}))
    sound, written_rate = heard(mux(webm, blocks(clicks(2.0, (0.7,), rate), rate, 3001), tmp_path / "out.webm"))
    assert written_rate == 48000
    assert click_times(sound, 48000, 1) == pytest.approx([0.7], abs=1e-3)


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo"), (6, "5.1")])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_channels_are_kept(make_clip, tmp_path, channels, layout, suffix):
    source = make_clip(**(VP9 if suffix == ".webm" else {}))
    written = mux(VideoClip.open(source), blocks(clicks(1.0, (0.5,), channels=channels)), tmp_path / f"out{suffix}")
    with av.open(str(written)) as container:
        assert container.streams.audio[0].codec_context.layout.name == layout


def test_rotation_colours_tags_and_chapters_are_kept(make_clip, tmp_path):
    chapters = [
        {
            "id": n,
            "start": n * 500,
            "end": (n + 1) * 500,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": f"c{n}"},
        }
        for n in range(2)
    ]
    source = make_clip(rotation=90, full_range=True, metadata={"title": "A walk", "comment": "x"}, chapters=chapters)
    with av.open(str(source)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["c0", "c1"]
    for suffix in (".mp4", ".mov", ".mkv"):
        written = mux(VideoClip.open(source), blocks(clicks(1.0, (0.5,))), tmp_path / f"out{suffix}")
        with av.open(str(written)) as container:
            assert VideoClip.open(written).rotation == 90
            assert container.streams.video[0].codec_context.color_range == 2
            tags = {key.lower(): value for key, value in container.metadata.items()}
            assert (tags["title"], tags["comment"]) == ("A walk", "x")
            assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["c0", "c1"]
            assert [chapter["start"] * chapter["time_base"] for chapter in container.chapters()] == [0, Fraction(1, 2)]


def with_subtitles(source: Path, path: Path, codec: str) -> Path:
    """Copy a clip and give it one subtitle."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
        titles = new.add_mux_stream(codec, time_base=Fraction(1, 1000))
        text = b"\x00\x05Hello" if codec == "mov_text" else b"Hello"
        line = av.Packet(text)
        line.stream, line.pts, line.dts, line.duration, line.time_base = titles, 200, 200, 300, Fraction(1, 1000)
        for index, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            packet.stream = picture
            new.mux(packet)
            if index == 4:
                new.mux(line)
    return path


@pytest.mark.parametrize(
    ("codec", "old", "new", "kept"),
    [
        ("mov_text", ".mp4", ".mp4", True),
        ("mov_text", ".mp4", ".mov", True),
        ("mov_text", ".mp4", ".mkv", False),
        ("subrip", ".mkv", ".mkv", True),
        ("subrip", ".mkv", ".mp4", False),
    ],
)
def test_subtitles_are_kept_where_the_container_can_hold_them(make_clip, tmp_path, codec, old, new, kept):
    source = with_subtitles(make_clip(), tmp_path / f"titled{old}", codec)
    written = mux(VideoClip.open(source), blocks(clicks(1.0, (0.5,))), tmp_path / f"out{new}")
    with av.open(str(written)) as container:
        texts = [bytes(packet) for packet in container.demux(subtitles=0) if packet.size] if kept else []
        assert len(container.streams.subtitles) == kept
    assert any(b"Hello" in text for text in texts) == kept


def test_frames_that_an_edit_list_hides_stay_hidden(make_clip, tmp_path, read_number):
    whole = make_clip(frames=48, options={"bf": "0"})
    source = tmp_path / "edited.mp4"
    with av.open(str(whole)) as old, av.open(str(source), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
        hidden = round(0.25 / old.streams.video[0].time_base)
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - hidden, packet.dts - hidden, picture
                new.mux(packet)
    clip = VideoClip.open(source)
    written = mux(clip, blocks(clicks(clip.duration_s, (0.5,))), tmp_path / "out.mp4")
    for path in (source, written):
        shown = [image for chunk in VideoClip.open(path).frames(format="luma") for image in chunk.images[0].numpy()]
        assert [read_number(image) for image in shown] == list(range(6, 48))
    assert [digest for digest, _ in packets(written)] == [digest for digest, _ in packets(source)]
    assert click_times(*heard(written), 1) == pytest.approx([0.5], abs=1e-3)


def test_a_broadcast_clock_is_set_to_zero(make_clip, tmp_path):
    clip = VideoClip.open(make_clip("clip.ts", start_s=3000.0, frames=48))
    written = mux(clip, blocks(clicks(2.0, (0.5,))), tmp_path / "out.mp4")
    assert VideoClip.open(written).start_s < 1
    assert click_times(*heard(written), 1) == pytest.approx([0.5], abs=1e-3)


def test_hevc_gets_the_tag_that_every_player_knows(make_clip, tmp_path):
    quiet = {"x265-params": "log-level=none"}
    for name in ("clip.mkv", "clip.mp4"):
        source = make_clip(name, codec="libx265", options=quiet)
        written = mux(VideoClip.open(source), blocks(clicks(1.0, (0.5,))), tmp_path / "out.mp4")
        with av.open(str(source)) as old, av.open(str(written)) as new:
            expected = "hev1" if old.streams.video[0].codec_tag == "hev1" else "hvc1"
            assert new.streams.video[0].codec_tag == expected


def test_an_mp4_starts_to_play_before_it_has_arrived(make_clip, tmp_path):
    data = mux(VideoClip.open(make_clip()), blocks(clicks(1.0, (0.5,))), tmp_path / "out.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_and_picture_lie_side_by_side_in_the_file(make_clip, tmp_path, suffix):
    clip = VideoClip.open(make_clip(frames=240))
    written = mux(clip, [AudioData(clicks(10.0, (0.5,)), RATE)], tmp_path / f"out{suffix}")
    with av.open(str(written)) as container:
        found = [
            (packet.pos, packet.stream.type, float(packet.pts * packet.time_base))
            for packet in container.demux()
            if packet.size
        ]
    reached = {"audio": 0.0, "video": 0.0}
    for _, kind, time in sorted(found):
        reached[kind] = time
        assert abs(reached["audio"] - reached["video"]) < 1.1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_real_clips_get_a_new_sound_and_keep_their_picture(real_clips, tmp_path, suffix):
    for source in real_clips:
        clip = VideoClip.open(source)
        written = mux(clip, blocks(clicks(clip.duration_s, (0.3, 1.1))), tmp_path / f"{source.stem}{suffix}")
        assert [digest for digest, _ in packets(written)] == [digest for digest, _ in packets(source)], source.name
        sound, rate = heard(written)
        np.testing.assert_allclose(click_times(sound, rate, 2), (0.3, 1.1), atol=1e-3, err_msg=source.name)
        assert abs(len(sound) / rate - clip.duration_s) <= 1 / clip.fps
