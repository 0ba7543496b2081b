"""What is refused when a sound is put to a clip, and what a run that stops leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from clicks import RATE, blocks, clicks

from versasound_core.containers import AudioData, VideoClip
from versasound_core.errors import Cancelled, InvalidInputError, MediaError
from versasound_core.media.mux import check_target, mux

VP9 = {"name": "clip.webm", "codec": "libvpx-vp9", "options": {"deadline": "realtime"}}


@pytest.mark.parametrize(
    ("arguments", "suffix", "says"),
    [
        ({}, ".webm", r"h264 picture, which a \.webm file cannot hold\. Write to \.mp4 or \.m4v or \.mov or \.mkv"),
        (VP9, ".mov", r"vp9 picture, which a \.mov file cannot hold\. Write to \.mp4 or \.m4v or \.mkv or \.webm"),
        ({"name": "clip.gif", "codec": "gif", "pix_fmt": "rgb8"}, ".mkv", "gif picture.* Convert"),
        ({"name": "clip.avi", "options": {"bf": "2"}}, ".mp4", "AVI, which does not say when"),
        ({}, ".avi", r"out\.avi is not a kind .* Write to \.mp4"),
        ({}, "", "out is not a kind"),
    ],
    ids=str,
)
def test_a_container_that_cannot_hold_the_picture_is_refused_by_name(make_clip, tmp_path, arguments, suffix, says):
    clip = VideoClip.open(make_clip(**arguments))
    for call in (check_target, lambda clip, out: mux(clip, blocks(clicks(1.0, (0.5,))), out)):
        with pytest.raises(InvalidInputError, match=says):
            call(clip, tmp_path / f"out{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_the_clip_itself_is_never_overwritten(make_clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(make_clip().read_bytes())
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    before = path.read_bytes()
    for output in (path, link, tmp_path / "." / "clip.mp4"):
        with pytest.raises(InvalidInputError, match="the clip itself"):
            mux(VideoClip.open(path), blocks(clicks(1.0, (0.5,))), output)
    assert path.read_bytes() == before


def test_sound_that_does_not_fit_one_picture_is_refused(make_clip, tmp_path):
    clip = VideoClip.open(make_clip())
    cases = [
        ([], "no block"),
        ([AudioData(torch.zeros(2, 2, 100), RATE)], "one item of the batch"),
        ([AudioData(torch.zeros(1, 3, 100), RATE)], "1, 2 or 6 channels"),
        ([AudioData(torch.zeros(1, 2, 100), RATE), AudioData(torch.zeros(1, 1, 100), RATE)], "differ"),
        ([AudioData(torch.zeros(1, 2, 100), RATE), AudioData(torch.zeros(1, 2, 100), 44100)], "differ"),
    ]
    for sound, says in cases:
        with pytest.raises(InvalidInputError, match=says):
            mux(clip, sound, tmp_path / "out.mp4")
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidInputError, match="frames in memory"):
        mux(VideoClip.from_tensor(torch.zeros(1, 2, 3, 4, 4), fps=2), blocks(clicks(1.0, ())), tmp_path / "out.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("where", ["report", "blocks"])
def test_stopping_midway_leaves_nothing_and_keeps_what_was_there(make_clip, tmp_path, suffix, where):
    clip = VideoClip.open(make_clip(frames=96))
    output = tmp_path / f"out{suffix}"
    output.write_text("what was there")

    def stop(fraction: float) -> None:
        if where == "report" and fraction > 0.5:
            raise Cancelled("Cancelled.")

    def broken() -> Iterator[AudioData]:
        yield from blocks(clicks(2.0, (0.5,)))
        if where == "blocks":
            raise KeyboardInterrupt

    with pytest.raises((Cancelled, KeyboardInterrupt)):
        mux(clip, broken(), output, report=stop)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert output.read_text() == "what was there"


def test_progress_rises_to_the_end(make_clip, tmp_path):
    told: list[float] = []
    mux(VideoClip.open(make_clip()), blocks(clicks(1.0, (0.5,))), tmp_path / "out.mp4", report=told.append)
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] == 1.0


def test_a_place_that_cannot_be_written_is_refused(make_clip, tmp_path):
    clip = VideoClip.open(make_clip())
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file" / "out.mp4", tmp_path / "missing" / "out.mp4"):
        with pytest.raises(MediaError, match="cannot be written") as caught:
            mux(clip, blocks(clicks(1.0, (0.5,))), output)
        assert str(output) in caught.value.message


FULL = """
import resource, sys
from pathlib import Path
import torch
from versasound_core.containers import AudioData, VideoClip
from versasound_core.errors import MediaError
from versasound_core.media.mux import mux
clip = VideoClip.open(sys.argv[1])
sound = AudioData(torch.rand(1, 2, 96000) - 0.5, 48000)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    mux(clip, [sound], sys.argv[2])
except MediaError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_disk_that_fills_leaves_nothing(make_clip, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(make_clip(frames=48)), str(output)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert f"{output} cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []
