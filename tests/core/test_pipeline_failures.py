"""What happens to a run when a plugin fails, an observer raises or the user stops it."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import torch
from pipelines import RATE, Eyes, Voice, backend, clip_of, files_in, pipeline, returning, seen, watched

from versasound_core import Pipeline, Recipe
from versasound_core.containers import AudioData
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import (
    BrokenPluginError,
    Cancelled,
    InvalidInputError,
    MediaError,
    ModelLoadError,
)
from versasound_core.hooks import hookimpl
from versasound_core.segments import SEGMENT_S

if TYPE_CHECKING:
    from versasound_core.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return watched()


def raising(error: BaseException) -> Callable[..., Any]:
    def action(*_: object) -> Any:
        raise error

    return action


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
