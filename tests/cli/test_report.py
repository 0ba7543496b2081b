"""The picture of a run shows what was in the files."""

from __future__ import annotations

import sys

import av
import numpy as np
import pytest
import torch

from versasound_core.containers import AudioData, EventTrack, VideoClip, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, VersaSoundError
from versasound_core.media.audio import save_audio
from versasound_core.pipeline import Result
from versasound_core.recipe import Recipe
from versasound_core.report import PICTURES, filmstrip, outline_of, require_matplotlib, write_report


def write_shades(path, seconds, gop):
    """A clip of 25 pictures a second whose brightness rises from dark to bright."""
    count = seconds * 25
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"g": str(gop), "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(count):
            picture = np.full((48, 64, 3), 20 + 200 * k // count, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("gop", [5, 1000], ids=["by seeking", "in one go"])
def test_the_filmstrip_shows_the_middle_of_each_stretch(tmp_path, gop):
    strip = filmstrip(VideoClip.open(write_shades(tmp_path / "x.mp4", 4, gop)))
    assert len(strip) == PICTURES
    assert strip[0].shape == (180, 240, 3)
    wanted = 20 + 200 * (np.arange(PICTURES) + 0.5) / PICTURES
    assert np.abs([picture.mean() for picture in strip] - wanted).max() < 6


def test_the_filmstrip_of_one_frame(tmp_path):
    strip = filmstrip(VideoClip.from_tensor(torch.zeros(1, 1, 3, 8, 8, dtype=torch.uint8), 1.0))
    assert len(strip) == PICTURES


def test_the_outline_is_that_of_the_samples(tmp_path):
    rng = np.random.default_rng(0)
    wave = rng.uniform(-0.9, 0.9, (2, 30_000)).astype(np.float32)
    save_audio(AudioData(torch.from_numpy(wave)[None], 8000), tmp_path / "x.wav")
    outline = outline_of(tmp_path / "x.wav", 3.75, RunContext(), columns=100)
    parts = wave.reshape(2, 100, 300)
    np.testing.assert_allclose(outline.low, parts.min((0, 2)), atol=1e-6)
    np.testing.assert_allclose(outline.high, parts.max((0, 2)), atol=1e-6)
    np.testing.assert_allclose(outline.rms, np.sqrt((parts**2).mean((0, 2))), atol=1e-6)


def test_sound_shorter_and_longer_than_the_picture(tmp_path):
    save_audio(AudioData(torch.full((1, 1, 8000), 0.5), 8000), tmp_path / "x.wav")
    short = outline_of(tmp_path / "x.wav", 2.0, RunContext(), columns=10)
    np.testing.assert_allclose(short.high, [0.5] * 5 + [0] * 5, atol=1e-6)
    np.testing.assert_allclose(outline_of(tmp_path / "x.wav", 0.5, RunContext(), columns=10).high, 0.5, atol=1e-6)


@pytest.fixture
def made(tmp_path):
    """The result of a run, and its clip."""
    clip = write_shades(tmp_path / "clip.mp4", 2, 50)
    random = torch.Generator().manual_seed(0)
    save_audio(AudioData(torch.randn(1, 2, 88200, generator=random) / 10, 44100), tmp_path / "x.wav")
    track = EventTrack(torch.rand(1, 200, generator=random), 100.0, [[(0.5, 1.0), (1.5, 0.3)]])
    features = VisualFeatures(torch.zeros(1, 50, 4), {"fps": 25.0}, events=track)
    notes = ["A $ and a %."]
    return Result(path=tmp_path / "x.wav", seed=3, duration_s=2.0, features=features, notes=notes, metadata={}), clip


def test_all_panels_share_one_time_axis(made, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib, which draws reports, is not installed")
    from versasound_core import report

    result, source = made
    clip = VideoClip.open(source)
    figure = report._draw(result, clip, filmstrip(clip), outline_of(result.path, 2.0, RunContext()), Recipe())
    strip, events, sound = figure.axes
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 2.0)}
    assert len({(axes.get_position().x0, axes.get_position().x1) for axes in figure.axes}) == 1
    assert [image.get_extent()[:2] for image in strip.images] == [
        pytest.approx((k / 6, (k + 1) / 6), abs=0.003) for k in range(PICTURES)
    ]
    assert [line.get_xdata()[0] for line in sound.lines if len(set(line.get_xdata())) == 1] == [0.5, 1.5]
    assert events.texts[1].get_text() == "2 onsets"


def test_the_png_is_written_whole_and_pyplot_is_left_alone(made, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib, which draws reports, is not installed")
    loaded = "matplotlib.pyplot" in sys.modules
    result, source = made
    path = write_report(result, source, tmp_path / "x.png", Recipe(prompt="$x^{ 火"))
    with av.open(str(path)) as file:
        assert file.streams.video[0].width == 2000
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_cancelled_it_leaves_nothing(made, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib, which draws reports, is not installed")
    token = CancelToken()
    token.cancel()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Cancelled):
        write_report(*made, tmp_path / "x.png", Recipe(), RunContext(cancel=token))
    assert sorted(tmp_path.iterdir()) == before


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(VersaSoundError, match="pip install matplotlib"):
        require_matplotlib()
