"""From a clip to a clip with sound, with backends made for one question each."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import pytest
import torch
from pipelines import RATE, Eyes, backend, clip_of, files_in, noise_at, pipeline, returning, seen, watched

from versasound_core import Pipeline, Recipe, add_sound
from versasound_core.containers import Alignment, AudioData, EventTrack, GenerationRequest, VideoClip, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.errors import (
    BrokenPluginError,
    InvalidInputError,
    MediaError,
)
from versasound_core.events import detect_events
from versasound_core.media.audio import load_audio
from versasound_core.scenes import random_scene, write_scene

if TYPE_CHECKING:
    from versasound_core.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return watched()


class TestEncode:
    def test_events_are_filled_in_where_the_encoder_has_none(self, registry: Registry, make_clip) -> None:
        clip = VideoClip.open(make_clip())
        registry.register("encoder", "blind", backend("encode", lambda clip, ctx: seen(clip, events=False)))
        came = pipeline(registry, encoder="blind").encode(clip)
        found = detect_events(clip, RunContext())
        assert came.events is not None
        assert came.events.onsets == found.onsets
        assert torch.equal(came.events.envelope, found.envelope)

    def test_what_was_seen_is_not_looked_at_again(self, registry: Registry, tmp_path: Path) -> None:
        ctx = RunContext(cache_dir=tmp_path)
        first = pipeline(registry, ctx).encode(clip_of())
        again = pipeline(registry, ctx, prompt="rain", seed=3).encode(clip_of())
        assert Eyes.looks == 1
        assert torch.equal(first.features, again.features)
        assert first.events.onsets == again.events.onsets

    @pytest.mark.parametrize(
        "other",
        [{"clip": clip_of(seed=1)}, {"encoder_options": {"level": 0.5}}, {"precision": "bf16"}, {"encoder": "eyes2"}],
    )
    def test_anything_else_is(self, registry: Registry, tmp_path: Path, other: dict) -> None:
        registry.register("encoder", "eyes2", Eyes)
        ctx = RunContext(cache_dir=tmp_path)
        clip = other.pop("clip", clip_of())
        pipeline(registry, ctx).encode(clip_of())
        pipeline(registry, ctx, **other).encode(clip)
        assert Eyes.looks == 2

    def test_an_option_left_out_is_its_default(self, registry: Registry, tmp_path: Path) -> None:
        ctx = RunContext(cache_dir=tmp_path)
        pipeline(registry, ctx).encode(clip_of())
        pipeline(registry, ctx, encoder_options={"level": 1.0}).encode(clip_of())
        assert Eyes.looks == 1

    def test_without_a_folder_nothing_is_kept(self, registry: Registry) -> None:
        pipeline(registry).encode(clip_of())
        pipeline(registry).encode(clip_of())
        assert Eyes.looks == 2

    @pytest.mark.parametrize(
        ("returned", "word"),
        [
            (None, "None"),
            (torch.zeros(1, 2, 3), "no VisualFeatures"),
            (VisualFeatures(torch.zeros(2, 5, 3), {"fps": 5.0}), "batch of 1"),
            (VisualFeatures(torch.zeros(1, 5, 3)), "fps"),
        ],
    )
    def test_what_is_no_features_is_refused_by_name(self, registry: Registry, returned: object, word: str) -> None:
        registry.register("encoder", "odd", backend("encode", lambda clip, ctx: returned))
        with pytest.raises(BrokenPluginError, match=f"encoder odd .*{word}"):
            pipeline(registry, encoder="odd").encode(clip_of())


class TestSound:
    def test_is_as_long_as_the_picture_and_says_what_made_it(self, registry: Registry) -> None:
        clip = clip_of(seconds=2.3)
        audio = pipeline(registry).sound(clip, seen(clip))
        assert tuple(audio.shape) == (1, 2, round(2.3 * RATE))
        assert audio.metadata == {"generator": "voice", "notes": ["from 0 s"]}
        assert torch.equal(audio.waveform[0], noise_at(GenerationRequest(duration_s=2.3, sample_rate=RATE)))

    def test_a_long_one_is_made_in_segments_and_tells_everything_once(self, registry: Registry) -> None:
        clip = clip_of(seconds=70, fps=2)
        audio = pipeline(registry, seed=5).sound(clip, seen(clip))
        whole = noise_at(GenerationRequest(duration_s=70.0, seed=5, sample_rate=RATE))
        torch.testing.assert_close(audio.waveform[0], whole, atol=1e-6, rtol=1e-5)
        assert audio.metadata["notes"] == ["from 0 s", "from 30 s", "from 60 s"]

    def test_each_segment_sees_its_own_stretch_of_the_whole(self, registry: Registry) -> None:
        given = []

        def generate(features, request, ctx):
            given.append((request.start_s, request.duration_s, features))
            return AudioData(torch.zeros(1, 1, request.num_samples), request.sample_rate)

        registry.register("generator", "keeps", backend("generate", generate))
        clip = clip_of(seconds=70, fps=2)
        onsets = [(float(second) + 0.5, 1.0) for second in range(70)]
        features = VisualFeatures(
            torch.arange(700.0).reshape(1, 700, 1), {"fps": 10.0}, EventTrack(torch.zeros(1, 700), 10.0, [onsets])
        )
        pipeline(registry, generator="keeps").sound(clip, features)
        assert [(start, duration) for start, duration, _ in given] == [(0, 32), (30, 32), (60, 10)]
        for start, duration, part in given:
            assert part.features[0, 0, 0] == start * 10
            assert part.shape[1] == duration * 10
            assert part.events.onsets[0][0][0] == pytest.approx(0.5)
            assert part.whole is features

    def test_a_batch_is_its_items_made_one_by_one(self, registry: Registry) -> None:
        both = pipeline(registry, seed=7).sound(clip_of(batch=2), seen(clip_of(batch=2)))
        for item in range(2):
            alone = pipeline(registry, seed=7 + item).sound(clip_of(), seen(clip_of()))
            assert torch.equal(both.waveform[item : item + 1], alone.waveform)

    @pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
    def test_the_aligner_is_applied_as_far_as_asked(self, registry: Registry, strength: float) -> None:
        def generate(features, request, ctx):
            wave = torch.zeros(1, 1, request.num_samples)
            wave[..., RATE // 4] = 1
            return AudioData(wave, request.sample_rate)

        def estimate(audio, features, ctx):
            return Alignment([[(0.25, 0.45)]], [1.0])

        registry.register("generator", "click", backend("generate", generate))
        registry.register("aligner", "late", backend("estimate", estimate))
        audio = pipeline(registry, generator="click", aligner="late", sync_strength=strength).sound(
            clip_of(), seen(clip_of())
        )
        assert int(audio.waveform[0, 0].argmax()) == round((0.25 + 0.2 * strength) * RATE)

    @pytest.mark.parametrize(
        ("timed", "said", "move_s", "moves"),
        [
            (True, {}, 0.1, True),
            (True, {}, 0.5, False),
            (True, {"timing": "envelope"}, 0.5, False),
            (True, {"timing": "none"}, 0.5, True),
            (False, {}, 0.5, True),
        ],
    )
    def test_what_is_made_at_the_events_is_not_moved_far_from_them(
        self, registry: Registry, timed: bool, said: dict, move_s: float, moves: bool
    ) -> None:
        def generate(features, request, ctx):
            wave = torch.zeros(1, 1, request.num_samples)
            wave[..., RATE // 4] = 1
            return AudioData(wave, request.sample_rate, said)

        def estimate(audio, features, ctx):
            return Alignment([[(0.25, 0.25 + move_s)]], [1.0])

        card = {"summary": "Clicks.", "timed": timed}
        registry.register("generator", "click", backend("generate", generate), card)
        registry.register("aligner", "late", backend("estimate", estimate))
        audio = pipeline(registry, generator="click", aligner="late").sound(clip_of(), seen(clip_of()))
        assert int(audio.waveform[0, 0].argmax()) == round((0.25 + move_s * moves) * RATE)

    @pytest.mark.parametrize("channels", [1, 2])
    def test_a_refiner_gets_the_whole_sound_or_blocks_as_it_can(self, registry: Registry, channels: int) -> None:
        def generate(features, request, ctx):
            return AudioData(noise_at(request)[None, :channels], request.sample_rate)

        class Halves:
            def refine(self, audio, ctx):
                assert audio.shape[2] == round(40.5 * RATE)
                return attrs.evolve(audio, waveform=audio.waveform / 2)

        class HalvesBlocks(Halves):
            def refine_blocks(self, blocks, ctx):
                assert sum(block.shape[2] for block in blocks) == round(40.5 * RATE)
                for block in blocks:
                    assert block.shape[2] <= RATE
                    yield attrs.evolve(block, waveform=block.waveform / 2, metadata={"notes": ["softer"]})

        registry.register("generator", "own", backend("generate", generate))
        registry.register("refiner", "halves", Halves)
        registry.register("refiner", "halves_blocks", HalvesBlocks)
        clip = clip_of(seconds=40.5, fps=2)
        whole, halved, blockwise = (
            pipeline(registry, generator="own", refiner=name).sound(clip, seen(clip))
            for name in (None, "halves", "halves_blocks")
        )
        assert torch.equal(halved.waveform, whole.waveform / 2)
        assert torch.equal(blockwise.waveform, whole.waveform / 2)
        assert blockwise.metadata["notes"] == ["softer"]


class TestAddSound:
    @pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.wav", "out.flac", "out.m4a"])
    def test_writes_the_clip_or_the_sound_alone(self, registry: Registry, make_clip, tmp_path: Path, name: str) -> None:
        result = pipeline(registry, seed=4).add_sound(make_clip(), tmp_path / name, seed=9)
        assert result.path == tmp_path / name
        assert (result.seed, result.duration_s, result.notes) == (9, 1.0, ["from 0 s"])
        assert result.metadata == {"generator": "voice"}
        sound = load_audio(result.path)
        assert sound.duration == pytest.approx(1.0, abs=1 / 24)
        if name.endswith((".wav", ".flac")):
            expected = noise_at(GenerationRequest(duration_s=1.0, seed=9, sample_rate=RATE))
            torch.testing.assert_close(sound.waveform[0], expected, atol=2**-23, rtol=0)

    def test_frames_in_memory_get_a_sound_file_and_no_picture(self, registry: Registry, tmp_path: Path) -> None:
        pipeline(registry).add_sound(clip_of(), tmp_path / "out.wav")
        with pytest.raises(InvalidInputError, match="no video packets"):
            pipeline(registry).add_sound(clip_of(), tmp_path / "out.mp4")
        assert files_in(tmp_path) == ["out.wav"]

    def test_what_cannot_be_written_is_refused_before_the_work(self, registry: Registry, make_clip, tmp_path) -> None:
        for output in (make_clip(), tmp_path / "out.txt", tmp_path / "out.webm"):
            with pytest.raises(InvalidInputError):
                pipeline(registry).add_sound(make_clip(), output)
        same = tmp_path / "same.ogg"
        same.write_bytes(make_clip("clip.mkv").read_bytes())
        with pytest.raises(InvalidInputError, match="it would be lost"):
            pipeline(registry).add_sound(same, same)
        assert Eyes.looks == 0
        assert files_in(tmp_path) == ["same.ogg"]

    @pytest.mark.parametrize("name", ["gone/out.mp4", "gone/out.wav"])
    def test_a_folder_that_is_not_there(self, registry: Registry, make_clip, tmp_path: Path, name: str) -> None:
        with pytest.raises(MediaError, match="there is no folder"):
            pipeline(registry).add_sound(make_clip(), tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_a_clip_that_is_none(self, registry: Registry, tmp_path: Path) -> None:
        (tmp_path / "text.mp4").write_text("no video")
        with pytest.raises(MediaError):
            pipeline(registry).add_sound(tmp_path / "text.mp4", tmp_path / "out.mp4")
        assert files_in(tmp_path) == ["text.mp4"]

    @pytest.mark.parametrize("mode", ["mix", "duck", "replace"])
    def test_the_clips_own_sound(self, registry: Registry, make_clip, tmp_path: Path, mode: str) -> None:
        tone = 0.2 * np.sin(2 * np.pi * 1000 * np.arange(2 * 48000) / 48000).astype(np.float32)[None]
        clip = make_clip(frames=48, sound=tone)
        registry.register("generator", "hush", backend("generate", returning(value=1e-7)))
        pipeline(registry, generator="hush", keep_original=mode).add_sound(clip, tmp_path / "out.wav")
        spectrum = np.abs(np.fft.rfft(load_audio(tmp_path / "out.wav").waveform[0, 0].numpy()))
        kept = 2 * spectrum[2000] / (2 * RATE)
        assert kept == pytest.approx(0.0 if mode == "replace" else 0.2, rel=0.05, abs=1e-4)

    @pytest.mark.parametrize("mode", ["mix", "duck"])
    def test_a_clip_without_sound_has_none_to_keep(self, registry: Registry, make_clip, tmp_path: Path, mode) -> None:
        for name, keep in (("kept.wav", mode), ("replaced.wav", "replace")):
            pipeline(registry, keep_original=keep).add_sound(make_clip(), tmp_path / name)
        assert (tmp_path / "kept.wav").read_bytes() == (tmp_path / "replaced.wav").read_bytes()

    def test_the_seed_reproduces_the_file(self, make_clip, tmp_path: Path) -> None:
        """With the default backends, from picture to packet."""
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            add_sound(make_clip(), tmp_path / f"{name}.mp4", prompt="rain on leaves", seed=seed)
        a, b, c = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
        assert a == b
        assert a != c

    def test_features_from_the_cache_make_the_same_file(self, tmp_path: Path) -> None:
        source = write_scene(random_scene(100, 3.0), tmp_path / "scene.mp4", height=96)
        for name in ("fresh", "kept"):
            ctx = RunContext(cache_dir=tmp_path / "cache")
            Pipeline(Recipe(prompt="wooden knocks"), ctx).add_sound(source, tmp_path / f"{name}.mp4")
        assert (tmp_path / "kept.mp4").read_bytes() == (tmp_path / "fresh.mp4").read_bytes()

    def test_nothing_global_is_touched(self, make_clip, tmp_path: Path) -> None:
        threads, states = torch.get_num_threads(), (torch.get_rng_state(), str(np.random.get_state()))
        handlers = list(logging.getLogger().handlers)
        add_sound(make_clip(), tmp_path / "out.mp4", prompt="footsteps on gravel")
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.get_rng_state(), states[0])
        assert str(np.random.get_state()) == states[1]
        assert logging.getLogger().handlers == handlers


def test_importing_the_pipeline_and_running_it_loads_no_model_library(make_clip, tmp_path: Path) -> None:
    code = (
        "import sys; from versasound_core import add_sound\n"
        f"add_sound({str(make_clip())!r}, {str(tmp_path / 'out.mp4')!r})\n"
        "print({'transformers', 'diffusers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
