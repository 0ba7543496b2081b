"""A sound that is late comes back to its picture, and what cannot be matched is said and left as it is."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest
import torch

from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.events import onset_envelope
from versasound_core.media.audio import load_audio, save_audio
from versasound_core.registry import default_registry
from versasound_core.scenes import random_scene, write_scene

pytestmark = pytest.mark.usefixtures("defaults")
LATE_S = 0.3
RATE = 48000


@pytest.fixture(scope="session")
def struck(tmp_path_factory):
    """A scene of six seconds, and a sound that is late for it."""
    scene = random_scene(4, confounders=False)
    path = write_scene(scene, tmp_path_factory.mktemp("struck") / "scene.mp4", height=120)
    onsets = [(s.time_s + LATE_S, s.strength) for s in scene.strikes if s.time_s + LATE_S < 5.9]
    track = EventTrack(torch.zeros(1, 600), 100.0, [onsets])
    features = VisualFeatures(torch.zeros(1, 600, 1), {"fps": 100.0}, track)
    request = GenerationRequest(duration_s=6.0, prompt="wooden knocks", sample_rate=RATE)
    sound = default_registry.create("generator", "foley", ambience=0.0).generate(features, request, RunContext())
    return path, sound


@pytest.fixture
def late(folder, struck):
    path, sound = struck
    (folder / "clip.mp4").write_bytes(path.read_bytes())
    save_audio(sound, folder / "late.wav")
    return folder


def lag_s(before: AudioData, after: AudioData) -> float:
    """By how much the onsets of `after` are earlier."""
    first, second = (onset_envelope(audio)[0].numpy() for audio in (before, after))
    products = np.correlate(first, second, "full")
    return (products.argmax() - len(second) + 1) / 100


class TestAlign:
    def test_late_sound_comes_back(self, cli, late):
        run = cli("align", "clip.mp4", "late.wav", "--quiet")
        assert (run.code, run.lines) == (0, ["late_aligned.wav"])
        assert "late (" in run.err
        before, after = load_audio("late.wav"), load_audio("late_aligned.wav")
        assert after.shape == before.shape
        assert lag_s(before, after) == pytest.approx(LATE_S, abs=0.02)

    def test_half_strength_moves_half_the_way(self, cli, late):
        cli("align", "clip.mp4", "late.wav", "--sync-strength", "0.5", "-o", "half.wav")
        assert lag_s(load_audio("late.wav"), load_audio("half.wav")) == pytest.approx(LATE_S / 2, abs=0.02)

    def test_strength_0_keeps_every_sample(self, cli, late):
        cli("align", "clip.mp4", "late.wav", "--sync-strength", "0", "-o", "same.wav")
        assert torch.equal(load_audio("same.wav").waveform, load_audio("late.wav").waveform)

    def test_into_the_clip(self, cli, late):
        assert cli("align", "clip.mp4", "late.wav", "-o", "out.mp4").code == 0
        with av.open("out.mp4") as file:
            assert sorted(stream.type for stream in file.streams) == ["audio", "video"]

    def test_a_sound_of_another_length(self, cli, late):
        save_audio(AudioData(load_audio("late.wav").waveform[..., : 4 * RATE], RATE), late / "short.wav")
        assert cli("align", "clip.mp4", "short.wav", "-o", "out.mkv").code == 0
        assert load_audio("out.mkv").duration == pytest.approx(6.0, abs=0.03)

    @pytest.mark.parametrize("kind", ["silent", "hiss"])
    def test_what_matches_nothing_is_said_and_written_as_it_is(self, cli, late, kind):
        noise = 0.02 * torch.randn(1, 1, 6 * RATE, generator=torch.Generator().manual_seed(0))
        save_audio(AudioData(noise * (kind == "hiss"), RATE), late / "x.wav")
        run = cli("align", "clip.mp4", "x.wav")
        assert run.code == 0
        assert "Nothing in the sound can be matched" in run.err
        assert torch.equal(load_audio("x_aligned.wav").waveform, load_audio("x.wav").waveform)

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("clip.mp4", "late.wav", "-o", "late.wav"), 3, "one of the sources"),
            (("clip.mp4", "late.wav", "-o", "clip.mp4"), 3, "one of the sources"),
            (("clip.mp4", "nowhere.wav"), 4, "nowhere.wav"),
            (("nowhere.mp4", "late.wav"), 4, "nowhere.mp4"),
            (("clip.mp4", "late.wav", "--aligner", "none"), 3, "without an aligner"),
            (("clip.mp4", "late.wav", "--sync-strength", "2"), 3, "sync_strength"),
            (("clip.mp4", "late.wav", "--aligner-max-offset", "2"), 2, "max-offset-s"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, cli, late, words, code, said):
        run = cli("align", *words, "--quiet")
        assert run.code == code
        assert said in run.err
        assert sorted(path.name for path in late.iterdir()) == ["clip.mp4", "late.wav"]


class TestSyncReport:
    def test_the_offset_and_each_onset_are_told(self, cli, late):
        run = cli("sync-report", "clip.mp4", "late.wav", "--no-picture", "--json")
        told = json.loads(run.out)
        assert told["offset_s"] == pytest.approx(LATE_S, abs=0.02)
        assert 0.3 < told["confidence"] <= 1
        assert np.median([event["late_s"] for event in told["events"]]) == pytest.approx(told["offset_s"], abs=0.001)
        assert sorted(path.name for path in late.iterdir()) == ["clip.mp4", "late.wav"]

    def test_in_words_there_is_a_line_for_each(self, cli, late):
        told = json.loads(cli("sync-report", "clip.mp4", "late.wav", "--no-picture", "--json").out)
        lines = cli("sync-report", "clip.mp4", "late.wav", "--no-picture").lines
        assert f"{round(1000 * told['offset_s'])} ms late" in lines[0]
        assert len(lines) == 1 + len(told["events"])

    def test_the_picture_is_drawn(self, cli, late):
        pytest.importorskip("matplotlib", reason="matplotlib, which draws reports, is not installed")
        run = cli("sync-report", "clip.mp4", "late.wav", "--quiet")
        assert "clip_sync.png" in run.err
        with av.open("clip_sync.png") as file:
            assert next(file.decode(video=0)).width == 2000

    def test_the_sound_of_the_clip_itself(self, cli, late):
        cli("align", "clip.mp4", "late.wav", "-o", "out.mp4")
        told = json.loads(cli("sync-report", "out.mp4", "--no-picture", "--json").out)
        assert told["offset_s"] == pytest.approx(0.0, abs=0.012)
        run = cli("sync-report", "clip.mp4")
        assert run.code == 3
        assert "no sound of its own" in run.err
