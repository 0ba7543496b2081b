"""Clips in, clips with sound out; whatever goes wrong has a sentence, a code and no half file."""

from __future__ import annotations

import os
import resource
import shutil

import av
import numpy as np
import pytest

from versasound_core.media.audio import load_audio

pytestmark = pytest.mark.usefixtures("defaults")


def streams(path):
    with av.open(str(path)) as file:
        return sorted(stream.type for stream in file.streams)


def packets(path):
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(video=0) if packet.size]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class TestOneClip:
    def test_the_result_lies_beside_the_clip_and_its_path_on_stdout(self, cli, clip):
        run = cli("add-sound", "clip.mp4", "--prompt", "wooden impacts, zebra")
        assert run.code == 0
        assert run.lines == ["clip_with_sound.mp4"]
        assert "zebra" in run.err
        assert streams("clip_with_sound.mp4") == ["audio", "video"]
        assert packets("clip_with_sound.mp4") == packets(clip)

    def test_quiet_says_only_where_the_result_is(self, cli, clip):
        run = cli("add-sound", clip, "--quiet", "-o", "x.mkv")
        assert (run.code, run.out, run.err) == (0, "x.mkv\n", "")

    @pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a"])
    def test_the_sound_alone(self, cli, clip, suffix):
        assert cli("add-sound", clip, "-o", f"x{suffix}").code == 0
        assert load_audio(f"x{suffix}").duration == pytest.approx(2.0, abs=0.03)

    def test_options_reach_the_backends(self, cli, clip):
        cli("add-sound", clip, "-o", "soft.wav", "--refiner-target-lufs", "-40")
        cli("add-sound", clip, "-o", "loud.wav", "--refiner-target-lufs", "-25")
        soft, loud = (load_audio(name).waveform.square().mean().item() for name in ("soft.wav", "loud.wav"))
        assert 10 * np.log10(loud / soft) == pytest.approx(15, abs=1)

    def test_a_folder_for_one_clip(self, cli, clip, folder):
        run = cli("add-sound", clip, "-o", "new/")
        assert run.lines == ["new/clip_with_sound.mp4"]
        assert (folder / "new" / "clip_with_sound.mp4").is_file()

    def test_what_mp4_cannot_hold_goes_into_matroska(self, cli, clip, folder):
        with av.open(str(clip)) as source, av.open("old.flv", "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
        assert cli("add-sound", "old.flv").lines == ["old_with_sound.mkv"]

    def test_report(self, cli, clip, folder):
        pytest.importorskip("matplotlib", reason="matplotlib, which draws reports, is not installed")
        run = cli("add-sound", clip, "-o", "x.mp4", "--report", "--prompt", "$5 火")
        assert run.code == 0
        assert run.lines == ["x.mp4"]
        assert (folder / "x.png").read_bytes().startswith(b"\x89PNG")


class TestVariations:
    def test_seeds_count_up_from_the_one_given(self, cli, clip):
        run = cli("add-sound", clip, "-o", "x.wav", "--variations", "2", "--seed", "5")
        assert run.lines == ["x_1.wav", "x_2.wav"]
        for name, seed in (("x_1.wav", 5), ("x_2.wav", 6)):
            cli("add-sound", clip, "-o", "one.wav", "--seed", seed)
            assert load_audio(name).waveform.equal(load_audio("one.wav").waveform)
        assert not load_audio("x_1.wav").waveform.equal(load_audio("x_2.wav").waveform)

    @pytest.mark.parametrize("number", ["0", "-1", "1.5", "many"])
    def test_how_many_must_be_a_number(self, cli, clip, number):
        assert cli("add-sound", clip, "--variations", number).code == 2


class TestManyClips:
    def test_a_folder_is_done_in_order_and_its_results_are_not_done_again(self, cli, clip, folder):
        shutil.copy(clip, "b.mov")
        (folder / "notes.txt").write_text("no clip", encoding="utf-8")
        assert cli("add-sound", ".").lines == ["b_with_sound.mov", "clip_with_sound.mp4"]
        again = cli("add-sound", folder)
        assert [line.rpartition("/")[2] for line in again.lines] == ["b_with_sound.mov", "clip_with_sound.mp4"]

    def test_one_that_fails_stops_no_other_and_gives_the_code(self, cli, clip, folder):
        (folder / "bad.mp4").write_bytes(b"no video" * 99)
        shutil.copy(clip, "z.mp4")
        run = cli("add-sound", "bad.mp4", clip, "z.mp4", "-o", "deep/out")
        assert run.code == 4
        assert run.lines == ["deep/out/clip_with_sound.mp4", "deep/out/z_with_sound.mp4"]
        assert run.err.splitlines()[-1] == "2 of 3 clips done; failed: bad.mp4"
        assert sum(line.startswith("versasound: error: bad.mp4") for line in run.err.splitlines()) == 1

    def test_a_folder_made_for_nothing_is_taken_away(self, cli, folder):
        (folder / "bad.mp4").write_bytes(b"no video" * 99)
        assert cli("add-sound", "bad.mp4", "worse.mp4", "-o", "deep/out").code == 4
        assert files(folder) == ["bad.mp4"]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("clip.mp4", "other/clip.mp4", "-o", "out"), "would both be written to"),
            (("clip.mp4", "clip_with_sound.mp4"), "is one of the clips"),
            (("clip.mp4", "other", "-o", "out.mp4"), "several clips"),
            (("clip.mp4", "-o", "clip.mp4"), "is one of the clips"),
            (("empty",), "holds no video file"),
        ],
    )
    def test_nothing_is_written_over_a_clip_or_another_result(self, cli, clip, folder, words, said):
        for name in ("other", "empty"):
            (folder / name).mkdir()
        shutil.copy(clip, "other/clip.mp4")
        shutil.copy(clip, "clip_with_sound.mp4")
        before = files(folder)
        run = cli("add-sound", *words)
        assert run.code == 3
        assert said in run.err
        assert files(folder) == before


class TestOriginalSound:
    @pytest.fixture
    def tone(self, cli, clip):
        """A clip whose own sound is 1 kHz, and how much of it is in a file."""
        import torch

        from versasound_core.containers import AudioData, VideoClip
        from versasound_core.media.mux import mux

        wave = 0.25 * torch.sin(2 * torch.pi * 1000 * torch.arange(96000) / 48000)
        mux(VideoClip.open(clip), [AudioData(wave.repeat(1, 2, 1), 48000)], "tone.mp4")

        def share(path):
            wave = load_audio(path, sample_rate=48000, mono=True).waveform[0, 0].numpy()
            power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
            at = round(1000 * len(wave) / 48000)
            return power[at - 4 : at + 5].sum() / power.sum()

        return share

    @pytest.mark.parametrize(
        ("words", "kept"), [((), False), (("--keep-original",), True), (("--keep-original", "duck"), True)]
    )
    def test_it_is_kept_where_that_is_asked_for(self, cli, tone, words, kept):
        assert cli("add-sound", *words, "tone.mp4", "-o", "x.mp4", "--prompt", "rain").code == 0
        assert (tone("x.mp4") > 0.2) == kept

    def test_its_level_counts(self, cli, tone):
        shares = []
        for level in ("-20", "0"):
            cli(
                "add-sound", "tone.mp4", "-o", "x.wav", "--prompt", "rain", "--keep-original", "--original-level", level
            )
            shares.append(tone("x.wav"))
        assert shares[0] < 0.1 < shares[1]


class TestBadInput:
    @pytest.mark.parametrize(
        "name", ["missing.mp4", "empty.mp4", "text.mp4", "cut.mp4", "corrupt.mp4", "still.png", "sound.wav"]
    )
    def test_each_has_its_sentence_and_the_code_of_media(self, cli, clip, folder, name):
        data = clip.read_bytes()
        if name == "sound.wav":
            cli("add-sound", clip, "-o", name)
        elif name == "still.png":
            with av.open(str(clip)) as source:
                next(source.decode(video=0)).save(name)
        elif name != "missing.mp4":
            noise = np.random.default_rng(0).bytes(len(data))
            bad = {"empty.mp4": b"", "text.mp4": b"once upon a time " * 99, "cut.mp4": data[: len(data) // 2]}
            (folder / name).write_bytes(bad.get(name, data[:64] + noise[64:]))
        before = files(folder)
        run = cli("add-sound", name, "-o", "x.mp4")
        assert run.code == 4
        assert run.err.startswith(f"versasound: error: {name}")
        assert len(run.err.splitlines()) == 1
        assert files(folder) == before

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("-o", "clip.mp4/x.mp4"), 4, "there is no folder"),
            (("-o", "nowhere/x.mp4"), 4, "there is no folder"),
            (("-o", "x.gif"), 3, "x.gif"),
            (("-o", "/dev/null"), 3, "/dev/null"),
            (("--sync-strength", "2"), 3, "sync_strength"),
            (("--seed", "-1"), 3, "seed"),
            (("--sample-rate", "0"), 3, "sample_rate"),
            (("--encoder", "nope"), 5, "there is no encoder 'nope'"),
            (("--device", "cuda:9"), 7, "cuda:9"),
            (("--device", "abacus"), 3, "abacus"),
            (("--config", "nowhere.yaml"), 3, "nowhere.yaml"),
        ],
    )
    def test_what_cannot_be_done_is_refused(self, cli, clip, folder, words, code, said):
        run = cli("add-sound", clip, *words)
        assert (run.code, run.out) == (code, "")
        assert said in run.err
        assert "Traceback" not in run.err
        assert files(folder) == ["clip.mp4"]

    def test_a_full_disk(self, program, clip, folder):
        run = program(
            "add-sound", clip, "-o", "x.wav",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        )  # fmt: skip
        assert (run.code, run.out) == (4, "")
        assert run.err.splitlines()[-1].startswith("versasound: error: ")
        assert "Traceback" not in run.err
        assert files(folder) == ["clip.mp4"]

    def test_a_default_of_a_configuration_that_cannot_be_used_says_where_it_comes_from(self, program, clip, folder):
        text = "audio_generator: {default_model: foley}\ntemporal_aligner: {sync_method: dtw}\n"
        (folder / "short.yaml").write_text(text, encoding="utf-8")
        words = ("add-sound", clip, "--config", "short.yaml")
        run = program(*words, env={**os.environ, "VERSASOUND_DISABLE": "videomae"})
        assert run.code == 5
        assert "encoder videomae (" in run.err
        assert "leaves visual_encoder.backbone out has videomae; without weights, motion works" in run.err
        run = program(*words, env={**os.environ, "VERSASOUND_DISABLE": "dtw"})
        assert run.code == 5
        assert "leaves" not in run.err

    def test_an_older_configuration_is_read_with_a_clean_warning(self, program, clip, folder):
        (folder / "old.yaml").write_text("audio_generator: {model_name: foley, use_lora: true}\n", encoding="utf-8")
        run = program("add-sound", clip, "--config", "old.yaml", "--encoder", "motion", "--aligner", "none")
        assert run.err.startswith("versasound: warning: old.yaml is in an older layout.")
        assert "ConfigMigrationWarning" not in run.err


def test_real_clips(cli, folder, real_clips):
    run = cli("add-sound", *real_clips[:3], "-o", "out", "--no-cache")
    assert run.code == 0, run.err
    for path, clip in zip(run.lines, real_clips, strict=False):
        assert packets(path) == packets(clip)
    assert not (folder.parent / "cache").exists()
