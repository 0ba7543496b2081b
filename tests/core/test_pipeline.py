"""From a clip to a clip with sound, with backends made for one question each."""

from __future__ import annotations

import logging
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from versasound_core import Pipeline, Recipe, add_sound
from versasound_core.config import Config, load_config
from versasound_core.containers import Alignment, AudioData, EventTrack, GenerationRequest, VideoClip, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import (
    BrokenPluginError,
    Cancelled,
    InvalidInputError,
    MediaError,
    ModelLoadError,
    VersaSoundError,
)
from versasound_core.events import detect_events
from versasound_core.hooks import hookimpl
from versasound_core.media.audio import load_audio
from versasound_core.registry import Registry
from versasound_core.scenes import random_scene, write_scene
from versasound_core.segments import OVERLAP_S, SEGMENT_S, segments

RATE = 8000
BARE = {"aligner": None, "refiner": None, "sample_rate": RATE}


def clip_of(seconds: float = 1.0, batch: int = 1, fps: float = 10.0, seed: int = 0) -> VideoClip:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 255, (batch, round(seconds * fps), 3, 16, 24), generator=generator, dtype=torch.uint8)
    return VideoClip.from_tensor(frames, fps)


def seen(clip: VideoClip, *, events: bool = True) -> VisualFeatures:
    count = round(clip.duration_s * 10)
    track = EventTrack(torch.zeros(clip.batch_size, count), 10.0, [[(0.25, 1.0)]] * clip.batch_size)
    return VisualFeatures(torch.zeros(clip.batch_size, count, 2), {"fps": 10.0}, events=track if events else None)


class Eyes:
    """Counts how often it looks."""

    looks = 0

    def __init__(self, **options: Any) -> None:
        self.options = options

    def encode(self, clip, ctx):
        type(self).looks += 1
        return seen(clip)


class Voice:
    """Noise that depends on the seed and the time alone."""

    def generate(self, features, request, ctx):
        waves = [noise_at(request, item) for item in range(features.shape[0])]
        said = [f"from {request.start_s:g} s"]
        return AudioData(torch.stack(waves), request.sample_rate, {"generator": "voice", "notes": said})


def noise_at(request: GenerationRequest, item: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(request.seed_for(item))
    end = round(request.start_s * request.sample_rate) + request.num_samples
    return 0.1 * torch.randn(2, 3 * 60 * RATE, generator=generator)[:, end - request.num_samples : end]


@pytest.fixture
def registry() -> Registry:
    """What is installed, and an encoder and a generator of this module."""
    registry = Registry()
    Eyes.looks = 0
    level = {"type": "float", "default": 1.0, "min": 0, "max": 2, "help": "Some number."}
    registry.register("encoder", "eyes", Eyes, {"summary": "Looks.", "options": {"level": level}})
    registry.register("generator", "voice", Voice)
    return registry


def backend(verb: str, action: Callable[..., Any]) -> type:
    """A class whose `verb` is `action`."""
    return type("Made", (), {verb: lambda _self, *arguments: action(*arguments)})


def pipeline(registry: Registry, ctx: RunContext | None = None, **fields: Any) -> Pipeline:
    return Pipeline(Recipe(**{"encoder": "eyes", "generator": "voice", **BARE, **fields}), ctx, registry)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


@pytest.fixture(scope="module")
def made() -> tuple[torch.Tensor, torch.Tensor]:
    seconds, rate = 75.0, 16000
    rng = np.random.default_rng(4)
    times = np.sort(rng.uniform(0, seconds, 90))
    # Some strikes just before and in the overlaps, where their tails must not be cut.
    times = np.sort(np.concatenate([times, [29.95, 30.5, 31.9, 59.99, 61.0]]))
    onsets = [(float(t), float(s)) for t, s in zip(times, rng.uniform(0.2, 1, times.size), strict=True)]
    places = [float(p) for p in rng.uniform(-0.9, 0.9, times.size)]
    envelope = torch.from_numpy(rng.uniform(0, 0.5, (1, 7500))).float()
    features = VisualFeatures(torch.zeros(1, 750, 1), {"fps": 10.0}, EventTrack(envelope, 100.0, [onsets], [places]))
    recipe = Recipe(aligner=None, refiner=None, sample_rate=rate, prompt="hammering metal in the rain", seed=3)
    running = Pipeline(recipe)
    in_segments = running.sound(clip_of(seconds, fps=1), features).waveform
    request = GenerationRequest(duration_s=seconds, prompt=recipe.prompt, seed=3, sample_rate=rate)
    in_one = running.registry.create("generator", "foley").generate(features, request, RunContext()).waveform
    return in_segments, in_one


class TestFoleyInSegments:
    """The generator `foley` makes the same sound in segments as in one piece; so must the pipeline."""

    def test_away_from_the_joins_it_is_the_same(self, made) -> None:
        in_segments, in_one = made
        rate = 16000
        for part in segments(in_one.shape[-1], rate):
            # A segment does not hear what was struck before it began: 4 s is what a tail lasts.
            first, last = part.start + (4 * rate if part.start else 0), part.fade - rate // 10
            torch.testing.assert_close(in_segments[..., first:last], in_one[..., first:last], atol=1e-4, rtol=0)

    def test_no_step_in_level_at_a_join(self, made) -> None:
        window = 16000
        for at in (30, 60):
            for start in np.arange(at - 1.0, at + OVERLAP_S + 1.0, 0.5):
                span = slice(round(start * 16000), round(start * 16000) + window)
                levels = [10 * np.log10(float(wave[..., span].square().mean())) for wave in made]
                assert levels[0] == pytest.approx(levels[1], abs=1.0)

    def test_no_click_at_a_join(self, made) -> None:
        steps = [wave.diff().abs() for wave in made]
        for at in (30, 60):
            span = slice(at * 16000 - 800, (at + OVERLAP_S) * 16000 + 800)
            assert steps[0][..., span].max() <= 1.05 * steps[1][..., span].max()


def raising(error: BaseException) -> Callable[..., Any]:
    def action(*_: object) -> Any:
        raise error

    return action


def returning(**changes: Any) -> Callable[..., Any]:
    def generate(features, request, ctx):
        shape = (changes.get("batch", 1), changes.get("channels", 1), request.num_samples + changes.get("more", 0))
        return AudioData(torch.zeros(shape) + changes.get("value", 0.0), changes.get("rate", request.sample_rate))

    return generate


def refining(change: Callable[[AudioData], Any]) -> Callable[..., Any]:
    return lambda audio, ctx: change(audio)


ROLES = {"encoder": "encode", "generator": "generate", "aligner": "estimate", "refiner": "refine"}


class TestPluginsThatFail:
    """Whatever a plugin does, the error names it and nothing is left behind."""

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("error", [OSError("libfoo.so.1: no such file"), SystemExit("gave up"), KeyError("x")])
    def test_what_it_raises_is_named(self, registry: Registry, make_clip, tmp_path: Path, role, error) -> None:
        registry.register(role, "bad", backend(ROLES[role], raising(error)))
        with pytest.raises(BrokenPluginError, match=f"{role} bad .* failed: {type(error).__name__}") as caught:
            pipeline(registry, **{role: "bad"}).add_sound(make_clip(), tmp_path / "out.mp4")
        assert caught.value.__cause__ is error
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("role", ROLES)
    def test_its_own_kind_of_error_gets_through(self, registry: Registry, make_clip, tmp_path: Path, role) -> None:
        error = ModelLoadError("the weights are gated.", "Accept the licence.")
        registry.register(role, "gated", backend(ROLES[role], raising(error)))
        with pytest.raises(ModelLoadError) as caught:
            pipeline(registry, **{role: "gated"}).add_sound(make_clip(), tmp_path / "out.mp4")
        assert caught.value is error
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("role", ROLES)
    def test_a_container_that_refuses_its_values_says_whose_they_are(
        self, registry: Registry, tmp_path: Path, role
    ) -> None:
        registry.register(role, "nan", backend(ROLES[role], lambda *_: AudioData(torch.full((1, 1, 9), torch.nan))))
        with pytest.raises(InvalidInputError, match=f"{role} nan: waveform .* not finite"):
            pipeline(registry, **{role: "nan"}).add_sound(clip_of(), tmp_path / "out.wav")

    @pytest.mark.parametrize(
        "generate",
        [
            returning(more=1),
            returning(more=-1),
            returning(batch=2),
            returning(channels=3),
            returning(rate=RATE + 1),
            lambda *_: None,
            lambda features, request, ctx: torch.zeros(1, 1, request.num_samples),
        ],
    )
    def test_a_generator_that_returns_something_else(self, registry: Registry, make_clip, tmp_path, generate) -> None:
        registry.register("generator", "odd", backend("generate", generate))
        with pytest.raises(BrokenPluginError, match=f"generator odd returned .* at {RATE} Hz was asked for"):
            pipeline(registry, generator="odd").add_sound(make_clip(), tmp_path / "out.mp4")
        assert list(tmp_path.iterdir()) == []

    def test_a_generator_that_changes_its_mind_about_channels(self, registry: Registry) -> None:
        def generate(features, request, ctx):
            return AudioData(torch.zeros(1, 2 if request.start_s else 1, request.num_samples), request.sample_rate)

        registry.register("generator", "odd", backend("generate", generate))
        clip = clip_of(seconds=40, fps=1)
        with pytest.raises(BrokenPluginError, match="generator odd returned .* where \\[1, 1, "):
            pipeline(registry, generator="odd").sound(clip, seen(clip))

    @pytest.mark.parametrize(
        "change",
        [
            lambda audio: attrs.evolve(audio, waveform=audio.waveform[..., 1:]),
            lambda audio: attrs.evolve(audio, waveform=torch.cat([audio.waveform] * 2, -1)),
            lambda audio: attrs.evolve(audio, waveform=torch.cat([audio.waveform] * 2)),
            lambda audio: attrs.evolve(audio, sample_rate=RATE // 2),
            lambda audio: None,
        ],
    )
    @pytest.mark.parametrize("name", ["out.mp4", "out.wav"])
    def test_a_refiner_that_returns_something_else(self, registry: Registry, make_clip, tmp_path, change, name) -> None:
        registry.register("refiner", "odd", backend("refine", refining(change)))
        with pytest.raises(BrokenPluginError, match="refiner odd returned"):
            pipeline(registry, refiner="odd").add_sound(make_clip(), tmp_path / name)
        assert list(tmp_path.iterdir()) == []


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


class TestHooks:
    def told_by(self, registry: Registry, **more: Callable[..., Any]) -> list[tuple[str, Any]]:
        told: list[tuple[str, Any]] = []

        def versasound_run_started(clip, recipe):
            told.append(("started", recipe.seed))

        def versasound_progress(fraction, message):
            told.append(("progress", fraction))

        def versasound_run_finished(result, error):
            told.append(("finished", result or error))

        ours = {f.__name__: f for f in (versasound_run_started, versasound_progress, versasound_run_finished)}
        registry.hooks.register(types.SimpleNamespace(**{n: hookimpl(f) for n, f in {**ours, **more}.items()}))
        return told

    def test_started_then_progress_then_finished(self, registry: Registry, make_clip, tmp_path: Path) -> None:
        told, heard = self.told_by(registry), []
        ctx = RunContext(progress=lambda fraction, message: heard.append(fraction))
        result = pipeline(registry, ctx, refiner="mastering").add_sound(make_clip(), tmp_path / "out.mp4", seed=6)
        assert told[0] == ("started", 6)
        assert told[-1] == ("finished", result)
        fractions = [value for what, value in told if what == "progress"]
        assert told[1:-1] == [("progress", value) for value in fractions]
        assert fractions == heard == sorted(heard)
        assert heard[-1] == 1.0
        assert all(0 <= fraction <= 1 for fraction in heard)

    def test_a_run_that_fails_is_finished_with_its_error(self, registry: Registry, make_clip, tmp_path: Path) -> None:
        told = self.told_by(registry)
        registry.register("generator", "bad", backend("generate", raising(ValueError("no"))))
        with pytest.raises(BrokenPluginError) as caught:
            pipeline(registry, generator="bad").add_sound(make_clip(), tmp_path / "out.mp4")
        assert told[-1] == ("finished", caught.value)

    def test_a_run_that_never_started_does_not_finish(self, registry: Registry, tmp_path: Path) -> None:
        told = self.told_by(registry)
        with pytest.raises(MediaError):
            pipeline(registry).add_sound(tmp_path / "gone.mp4", tmp_path / "out.mp4")
        assert told == []

    def test_an_observer_that_raises_stops_nothing(self, registry: Registry, make_clip, tmp_path: Path) -> None:
        def versasound_run_started():
            raise ValueError

        def versasound_run_finished():
            raise SystemExit

        self.told_by(
            registry,
            versasound_run_started=versasound_run_started,
            versasound_run_finished=versasound_run_finished,
        )
        before = len(registry.hooks.failures)
        pipeline(registry).add_sound(make_clip(), tmp_path / "out.mp4")
        assert len(registry.hooks.failures) - before == 2
        assert (tmp_path / "out.mp4").exists()


class TestCancel:
    def test_at_any_report_nothing_is_left(self, registry: Registry, make_clip, tmp_path: Path) -> None:
        """Stop at the first report, the second, and so on until a run comes through, with the default backends."""
        clip = make_clip(frames=72)
        reports = 0
        for stop_at in [*range(1, 8), *range(8, 1000, 5)]:
            token, reports = CancelToken(), 0

            def stop(fraction: float, message: str, token=token, stop_at=stop_at) -> None:
                nonlocal reports
                reports += 1
                if reports == stop_at:
                    token.cancel()

            run = Pipeline(Recipe(prompt="rain", sample_rate=16000), RunContext(progress=stop, cancel=token), registry)
            try:
                run.add_sound(clip, tmp_path / "out.mp4")
            except Cancelled:
                assert list(tmp_path.iterdir()) == []
            else:
                break
        assert reports <= stop_at  # the last report is of a run that is done
        assert files_in(tmp_path) == ["out.mp4"]

    def test_backends_that_never_ask_are_stopped_between_their_turns(self, registry: Registry) -> None:
        for stage in ("encode", "generate", "refine"):
            token, calls = CancelToken(), []

            def called(what: str, token=token, calls=calls, stage=stage) -> None:
                calls.append(what)
                if what == stage:
                    token.cancel()

            class Deaf(Eyes, Voice):
                def encode(self, clip, ctx, called=called):
                    called("encode")
                    return seen(clip)

                def generate(self, features, request, ctx, called=called):
                    called("generate")
                    return AudioData(torch.zeros(1, 1, request.num_samples), request.sample_rate)

                def refine(self, audio, ctx, called=called):
                    called("refine")
                    return audio

            for role in ("encoder", "generator", "refiner"):
                registry.register(role, "deaf", Deaf)
            running = pipeline(registry, RunContext(cancel=token), encoder="deaf", generator="deaf", refiner="deaf")
            clip = clip_of(seconds=SEGMENT_S + 10, fps=1)
            with pytest.raises(Cancelled):
                running.sound(clip, running.encode(clip))
            assert calls[-1] == stage
            assert calls.count(stage) == 1


class TestRecipe:
    @pytest.mark.parametrize(
        "fields",
        [
            {"sync_strength": 1.5},
            {"sync_strength": float("nan")},
            {"keep_original": "loop"},
            {"sample_rate": 0},
            {"sample_rate": 44100.5},
            {"seed": -1},
            {"seed": 2**63},
            {"original_level_db": float("inf")},
        ],
    )
    def test_refuses_what_no_run_can_do(self, fields: dict) -> None:
        with pytest.raises(InvalidInputError, match=next(iter(fields))):
            Recipe(**fields)

    @pytest.mark.parametrize("role", ROLES)
    def test_an_option_that_no_card_has_is_refused_when_the_pipeline_is_made(self, role: str) -> None:
        with pytest.raises(InvalidInputError, match="loudnes"):
            Pipeline(Recipe(**{f"{role}_options": {"loudnes": 1}}))

    def test_of_a_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_text(
            "visual_encoder: {backbone: motion, options: {fps: 12.5}}\n"
            "audio_generator: {default_model: foley, sample_rate: 44100, options: {material: wood}}\n"
            "temporal_aligner: {sync_method: cross_correlation, sync_strength: 0.25, options: {adaptive: false}}\n"
            "audio_refiner: {denoise_strength: 0.1, normalize: false, options: {target_lufs: -23}}\n"
            "device: {device_type: cpu, precision: bf16}\n"
        )
        recipe = Recipe.from_config(load_config(tmp_path / "config.yaml"))
        assert (recipe.encoder, recipe.generator) == ("motion", "foley")
        assert (recipe.aligner, recipe.refiner) == ("cross_correlation", "mastering")
        assert recipe.encoder_options == {"fps": 12.5}
        assert recipe.generator_options == {"material": "wood"}
        assert recipe.aligner_options == {"adaptive": False}
        # Settings of the section that its backend has as options, and the section's own options.
        assert recipe.refiner_options == {
            "denoise_strength": 0.1,
            "normalize": False,
            "bass_boost": 1.0,
            "treble_boost": 1.0,
            "compression_ratio": 0.7,
            "target_lufs": -23,
        }
        assert (recipe.sample_rate, recipe.sync_strength) == (44100, 0.25)
        assert (recipe.device, recipe.precision) == ("cpu", "bf16")
        Pipeline(recipe)

    def test_of_a_configuration_that_names_what_is_not_there(self) -> None:
        config = Config()
        config.visual_encoder.backbone = "crystal_ball"
        with pytest.raises(VersaSoundError, match="crystal_ball"):
            Recipe.from_config(config)


def test_importing_the_pipeline_and_running_it_loads_no_model_library(make_clip, tmp_path: Path) -> None:
    code = (
        "import sys; from versasound_core import add_sound\n"
        f"add_sound({str(make_clip())!r}, {str(tmp_path / 'out.mp4')!r})\n"
        "print({'transformers', 'diffusers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
