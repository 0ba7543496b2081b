"""Pairs, crops, the index, and what is said of folders that cannot be used."""

from __future__ import annotations

import json
import logging

import av
import numpy as np
import pytest
import torch
from versasound_plugin_training import VideoAudioDataset
from versasound_plugin_training.rendered import MATERIALS, rendered_scene

from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError, MediaError
from versasound_core.media.audio import load_audio


def index_files(folder):
    return list((folder.parent / "cache" / "datasets").iterdir())


def test_videos_are_paired_with_the_sounds_of_their_names(folder):
    (folder / "audio" / "scene_000001.wav").unlink()
    (folder / "audio" / "unrelated.wav").write_bytes(b"")
    dataset = VideoAudioDataset("videos", "audio", duration_s=1.0, prompts="labels.csv")
    assert [pair.video.stem for pair in dataset.pairs] == ["scene_000000", "scene_000002"]
    assert [pair.audio.stem for pair in dataset.pairs] == ["scene_000000", "scene_000002"]
    assert list(dataset.left_out) == [str((folder / "videos" / "scene_000001.mp4").resolve())]
    assert "no file of its name" in next(iter(dataset.left_out.values()))
    assert [dataset[k].prompt for k in range(2)] == [rendered_scene(k, 2.0).material for k in (0, 2)]


def test_a_crop_is_the_sound_of_its_time(folder):
    dataset = VideoAudioDataset("videos", "audio", duration_s=0.5)
    whole = load_audio(folder / "audio" / "scene_000001.wav").waveform
    example = dataset[1]
    start = round(example.start_s * 16000)
    assert example.sound.shape == (1, 1, 8000)
    torch.testing.assert_close(example.sound.waveform, whole[..., start : start + 8000], atol=1e-4, rtol=0)


def test_random_crops_differ_from_epoch_to_epoch_and_are_the_same_again(folder):
    dataset = VideoAudioDataset("videos", "audio", duration_s=0.5, seed=3)
    first = [dataset.place(k, 0) for k in range(3)]
    assert [pair for pair, _ in first] == [0, 1, 2]
    assert [dataset.place(k, 1) for k in range(3)] != first
    dataset.set_epoch(1)
    dataset.set_epoch(0)
    assert [(k, dataset[k].start_s) for k in range(3)] == first
    assert all(0 <= start_s <= 1.5 for _, start_s in first)


def test_a_grid_covers_each_pair(folder):
    dataset = VideoAudioDataset("videos", "audio", duration_s=0.8, crops="grid")
    places = [dataset.place(k, 5) for k in range(len(dataset))]
    assert len(dataset) == 6
    assert [pair for pair, _ in places] == [0, 0, 1, 1, 2, 2]
    assert [start_s for _, start_s in places[:2]] == pytest.approx([0.0, 0.8])


def test_what_is_too_short_ends_in_silence(folder):
    example = VideoAudioDataset("videos", "audio", duration_s=3.0)[0]
    assert example.start_s == 0
    assert example.sound.shape == (1, 1, 48000)
    assert not example.sound.waveform[..., 33000:].any()
    assert example.sound.waveform[..., :32000].any()


def test_a_transform_changes_what_is_trained_on(folder):
    import attrs

    dataset = VideoAudioDataset("videos", "audio", lambda example: attrs.evolve(example, prompt="thud"))
    assert dataset[0].prompt == "thud"


def test_the_sound_of_the_video_itself(folder):
    from versasound_core.containers import VideoClip
    from versasound_core.media.mux import mux

    for k in range(2):
        name = f"scene_{k:06d}"
        (folder / "own").mkdir(exist_ok=True)
        sound = load_audio(folder / "audio" / f"{name}.wav", sample_rate=48000)
        mux(VideoClip.open(folder / "videos" / f"{name}.mp4"), [sound], folder / "own" / f"{name}.mp4")
    (folder / "own" / "silent.mp4").write_bytes((folder / "videos" / "scene_000002.mp4").read_bytes())
    dataset = VideoAudioDataset("own", duration_s=1.0)
    assert [pair.video.stem for pair in dataset.pairs] == ["scene_000000", "scene_000001"]
    assert "has no sound track" in next(iter(dataset.left_out.values()))
    assert dataset[0].sound.waveform.abs().max() > 0.05


def test_folders_are_looked_through_once_and_again_when_they_change(folder):
    VideoAudioDataset("videos", "audio")
    (index,) = index_files(folder)
    written = index.stat().st_mtime_ns
    damaged = folder / "videos" / "scene_000002.mp4"
    damaged.write_bytes(b"no film")  # in place: the folder's names are as they were
    assert len(VideoAudioDataset("videos", "audio").pairs) == 3
    assert index.stat().st_mtime_ns == written
    (folder / "videos" / "new.mp4").write_bytes((folder / "videos" / "scene_000000.mp4").read_bytes())
    (folder / "audio" / "new.wav").write_bytes((folder / "audio" / "scene_000000.wav").read_bytes())
    dataset = VideoAudioDataset("videos", "audio")
    assert [pair.video.stem for pair in dataset.pairs] == ["new", "scene_000000", "scene_000001"]
    assert list(dataset.left_out) == [str(damaged.resolve())]


def test_only_what_is_new_is_opened_even_after_a_look_that_was_broken_off(folder, monkeypatch):
    from versasound_plugin_training import index

    opened, look = [], index._shared_s

    def counted(video, audio):
        if len(opened) == 2 and not broken:
            broken.append(True)
            raise KeyboardInterrupt
        opened.append(video.stem)
        return look(video, audio)

    broken = []
    monkeypatch.setattr(index, "_shared_s", counted)
    monkeypatch.setattr(index, "_KEPT_EVERY", 1)
    with pytest.raises(KeyboardInterrupt):
        VideoAudioDataset("videos", "audio")
    assert len(VideoAudioDataset("videos", "audio")) == 3
    assert opened == ["scene_000000", "scene_000001", "scene_000002"]
    for name in ("videos/{}.mp4", "audio/{}.wav"):
        (folder / name.format("new")).write_bytes((folder / name.format("scene_000000")).read_bytes())
    assert len(VideoAudioDataset("videos", "audio")) == 4
    assert opened[3:] == ["new"]


def test_the_first_look_tells_how_far_it_is_and_can_be_stopped(folder):
    token, told = CancelToken(), []

    def progress(fraction, message):
        told.append((fraction, message))
        if len(told) == 2:
            token.cancel()

    ctx = RunContext(progress=progress, cancel=token)
    with pytest.raises(Cancelled):
        VideoAudioDataset("videos", "audio", ctx=ctx)
    assert told == [(1 / 3, "opening video 1 of 3"), (2 / 3, "opening video 2 of 3")]
    (index,) = index_files(folder)
    assert len(json.loads(index.read_text())["files"]) == 3
    assert len(VideoAudioDataset("videos", "audio")) == 3


def test_what_is_left_out_is_said(folder, caplog):
    (folder / "audio" / "scene_000001.wav").write_bytes(b"no sound")
    with caplog.at_level(logging.WARNING, "versasound"):
        dataset = VideoAudioDataset("videos", "audio")
    assert len(dataset) == 2
    assert "1 of 3 videos are left out" in caplog.text
    assert "scene_000001.wav" in caplog.text


def test_an_index_that_cannot_be_kept_stops_nobody(folder, monkeypatch, caplog):
    (folder / "file").write_text("in the way")
    monkeypatch.setenv("VERSASOUND_CACHE", str(folder / "file"))
    with caplog.at_level(logging.WARNING, "versasound"):
        assert len(VideoAudioDataset("videos", "audio")) == 3
    assert "index of the folders cannot be kept" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("nowhere", "audio"), InvalidInputError, "video_dir nowhere does not exist"),
        (("labels.csv", "audio"), InvalidInputError, r"video_dir labels\.csv is not a folder"),
        (("videos", "nowhere"), InvalidInputError, "audio_dir nowhere does not exist"),
        (("empty", "audio"), InvalidInputError, "empty holds no video"),
        (("videos", "empty"), InvalidInputError, "empty holds no sound"),
        (("videos", "other"), InvalidInputError, "no video in videos has a sound of its name in other"),
        (("videos", None), MediaError, r"none of the 3 videos in videos can be trained on: .* has no sound track"),
        (("broken", "audio"), MediaError, r"none of the 1 videos in broken can be trained on: .*scene_000000\.mp4"),
    ],
)
def test_each_unusable_folder_has_its_sentence(folder, arguments, error, words):
    for name in ("empty", "other", "broken"):
        (folder / name).mkdir()
    (folder / "other" / "elsewhere.wav").write_bytes((folder / "audio" / "scene_000000.wav").read_bytes())
    (folder / "broken" / "scene_000000.mp4").write_bytes(b"no film")
    with pytest.raises(error, match=words):
        VideoAudioDataset(*arguments)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"duration_s": 0}, "duration_s"),
        ({"crops": "some"}, "random or grid"),
        ({"transform": "flip"}, "transform"),
        ({"prompts": "nothing.csv"}, "cannot be read"),
        ({"prompts": "audio/scene_000000.wav"}, "prompts"),
    ],
)
def test_each_unusable_option_has_its_sentence(folder, options, words):
    with pytest.raises(InvalidInputError, match=words):
        VideoAudioDataset("videos", "audio", **options)


def test_rendered_scenes_look_and_sound_as_they_say(folder):
    made = rendered_scene(1, 2.0)
    assert made.material in MATERIALS
    sound = made.sound().waveform[0, 0]
    first = made.scene.strikes[0].time_s
    assert float(sound[: round((first - 0.02) * 16000)].abs().max()) < 1e-3
    assert float(sound[round(first * 16000) : round((first + 0.05) * 16000)].abs().max()) > 0.02
    with av.open(str(folder / "videos" / "scene_000001.mp4")) as file:
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    assert abs(shown.astype(float) - made.clip(30.0, 48).source[0].movedim(1, -1).numpy()).mean() < 8
    assert len(list((folder / "audio").iterdir())) == 3
