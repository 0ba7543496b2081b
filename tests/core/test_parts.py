"""Parts that are decoded side by side give the frames of the whole, in the same chunks."""

from __future__ import annotations

import threading
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from clips import damaged

from versasound_core.containers import VideoClip
from versasound_core.errors import MediaError
from versasound_core.media import parts
from versasound_core.media.video import Decoder

CUT = {"options": {"g": "12", "bf": "3"}}


@pytest.fixture
def side_by_side(monkeypatch):
    """Two processors, whatever there are, and parts that may be short; returns how often a picture was parted."""
    chosen = []
    of = parts.Parts.of.__func__

    def counted(cls, *arguments):
        found = of(cls, *arguments)
        chosen.append(found)
        return found

    monkeypatch.setattr(parts, "_processors", lambda: 2)
    monkeypatch.setattr(parts, "_LEAST_S", 0.2)
    monkeypatch.setattr(parts.Parts, "of", classmethod(counted))
    return chosen


def chunks(clip, **arguments):
    return [(chunk.images.numpy(), chunk.times_s.tolist()) for chunk in clip.frames(size=(24, 40), **arguments)]


def alone(monkeypatch, clip, **arguments):
    with monkeypatch.context() as one:
        one.setattr(parts, "_processors", lambda: 1)
        return chunks(clip, **arguments)


@pytest.mark.parametrize("fps", [None, 10.0, 24.0])
@pytest.mark.parametrize(
    "arguments",
    [
        CUT,
        {"rate": Fraction(30000, 1001), **CUT},
        {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1"}},  # not all of its key frames part it
        {"rotation": 90, **CUT},
        {"start_s": 3.0, **CUT},
        {"container_options": {"movflags": "frag_keyframe+empty_moov"}, **CUT},
        {"times_ms": [k * 40 + (k * 7) % 23 for k in range(96)], **CUT},
        {"name": "clip.mkv", **CUT},
        {"name": "clip.mkv", "codec": "ffv1"},
        {"name": "clip.webm", "codec": "libvpx-vp9", "options": {"g": "12", "deadline": "realtime"}},
        {"name": "clip.mov", "codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    ],
    ids=str,
)
def test_parts_make_the_same_chunks(make_clip, side_by_side, monkeypatch, arguments, fps):
    clip = VideoClip.open(make_clip(frames=96, **arguments))
    for bounds in ({}, {"start_s": 0.21}, {"start_s": 0.5, "end_s": 3.9}):
        for draft in (False, True):
            whole = alone(monkeypatch, clip, fps=fps, chunk=7, draft=draft, **bounds)
            assert side_by_side.pop() is None
            parted = chunks(clip, fps=fps, chunk=7, draft=draft, **bounds)
            assert side_by_side.pop().workers == 2
            assert [times for _, times in parted] == [times for _, times in whole]
            assert all(np.array_equal(one, other) for (one, _), (other, _) in zip(parted, whole, strict=True))


@pytest.mark.parametrize(
    "arguments",
    [
        {"options": {"g": "250"}},
        {"name": "clip.ts", **CUT},
        {"name": "clip.avi", "codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    ],
    ids=str,
)
def test_what_cannot_be_parted_is_decoded_as_a_whole(make_clip, side_by_side, read_number, arguments):
    clip = VideoClip.open(make_clip(frames=96, **arguments))
    numbers = [read_number(image) for images, _ in chunks(clip) for image in images[0]]
    assert numbers == list(range(96))
    assert side_by_side == [None]


@pytest.mark.parametrize("chunk", [1, 5, 96, 10**6])
def test_chunks_have_the_length_that_was_asked_for(make_clip, side_by_side, chunk):
    clip = VideoClip.open(make_clip(frames=96, **CUT))
    lengths = [len(times) for _, times in chunks(clip, chunk=chunk)]
    assert side_by_side.pop() is not None
    assert sum(lengths) == 96
    assert set(lengths[:-1]) <= {chunk}
    assert 0 < lengths[-1] <= chunk


def test_large_pictures_are_not_parted(make_clip, side_by_side):
    next(VideoClip.open(make_clip(frames=96, **CUT)).frames(size=(1000, 1000)))
    assert side_by_side == [None]


def test_memory_stays_within_bounds(make_clip, side_by_side, monkeypatch):
    monkeypatch.setattr(parts, "_BYTES", 4 * 2**20)
    clip = VideoClip.open(make_clip(frames=900, **CUT))
    for _ in clip.frames(size=(96, 160), end_s=2.0):
        pass  # what is imported and cached on first use
    tracemalloc.start()
    for _ in clip.frames(size=(96, 160)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert side_by_side[-1].workers == 2
    assert peak < 2 * 4 * 2**20  # what waits, and the chunks made of it; the whole clip takes 41 MiB


def test_damage_is_told_of_where_it_is(make_clip, side_by_side, monkeypatch, tmp_path):
    path = make_clip(frames=96, options={"g": "12", "bf": "0", "sc_threshold": "0"})
    clip = VideoClip.open(damaged(path, tmp_path / "damaged.mp4", 40, 60))
    said = []
    for decoded in (alone, lambda _, clip: chunks(clip)):
        with pytest.raises(MediaError, match="is damaged at") as caught:
            decoded(monkeypatch, clip)
        said.append(caught.value.message)
    assert said[0] == said[1]
    assert side_by_side.pop() is not None


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi"])
def test_a_decoder_goes_back(make_clip, name):
    info = VideoClip.open(make_clip(name, frames=48, **CUT)).info
    with Decoder(info) as decoder:
        whole = [time for time, _ in decoder.frames()]
        assert len(whole) == 48
        for start_s in (1.2, 0.0):
            again = [time for time, _ in decoder.frames(start_s)]
            assert again == whole[-len(again) :]
            assert again[0] <= start_s


def test_who_stops_early_leaves_no_thread(make_clip, side_by_side):
    frames = VideoClip.open(make_clip(frames=96, **CUT)).frames(size=(24, 40), chunk=4)
    next(frames)
    assert any(thread.name.startswith("versasound-part") for thread in threading.enumerate())
    frames.close()
    assert not any(thread.name.startswith("versasound-part") for thread in threading.enumerate())
    assert side_by_side.pop() is not None
