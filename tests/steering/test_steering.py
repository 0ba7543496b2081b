"""What every steered generator shares, against closed forms and a model that is a few lines of noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, DeviceError, InvalidInputError, PluginError
from versasound_core.segments import cross_faded
from versasound_core.steering import Job, Settings, TextToSound, noise_on_axis, wordings
from versasound_core.steering.timing import envelope_gain, start_noise
from versasound_core.steering.windows import joined, windows
from versasound_core.weights import Checkpoint

RATE = 16000
WANTED = Checkpoint(role="generator", backend="noise", variant="v", repository="a/b", size_gb=1, licence="MIT")


class NoiseModel:
    """Noise on the clip's axis, a little different in each window: what a model without words would make."""

    sample_rate, channels, longest, unit = RATE, 1, 10 * RATE, 160
    steps, guidance = 4, 1.0

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.jobs: list[Job] = []
        self.fits = 1000

    def size(self, job: Job) -> object:
        return job.length

    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        if len(jobs) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.batches.append(len(jobs))
        self.jobs.extend(jobs)
        for step in range(4):
            tick(step / 4)
        return torch.stack([self._sound(job) for job in jobs])

    def _sound(self, job: Job) -> torch.Tensor:
        def draw(seed: int) -> torch.Tensor:
            return torch.randn(1, self.longest, generator=torch.Generator().manual_seed(seed))

        span = range(job.start, job.start + job.length)
        own = torch.randn(1, job.length, generator=torch.Generator().manual_seed(99 + job.start))
        sound = 0.1 * noise_on_axis(draw, job.seed, span, self.longest) + 0.05 * own
        return sound if job.draft is None else (1 - job.strength) * sound + job.strength * job.draft


def make(tmp_path: Path, model: NoiseModel | None = None, **options: Any) -> TextToSound:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    chosen = {"words": True, "timing": "none", "timing_strength": 0.5, "adapter": None, "batch_size": None}
    chosen |= options
    return TextToSound(WANTED, tmp_path, Settings(**chosen), lambda *_: model or NoiseModel())


def seen(
    *onsets: list[tuple[float, float]], labels: Any = None, seconds: float = 10.0, fps: float = 8.0
) -> VisualFeatures:
    items = len(onsets)
    track = EventTrack(torch.zeros(items, round(100 * seconds)), 100.0, list(onsets))
    return VisualFeatures(torch.zeros(items, round(fps * seconds), 4), {"fps": fps}, track, labels)


def ask(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"duration_s": 2.0, "sample_rate": RATE, "prompt": "rain"} | fields)


# Words


@pytest.mark.parametrize(
    ("prompt", "negative", "labels", "text", "added"),
    [
        ("footsteps", None, [("dog barking", 0.5), ("rain", 0.3), ("car", 0.1)], "footsteps, dog barking, rain", 2),
        ("a dog barking loudly", None, [("dog barking", 0.9)], "a dog barking loudly", 0),
        ("footsteps", "no dog barking", [("dog barking", 0.9), ("rain", 0.2)], "footsteps, rain", 1),
        (None, None, [("dog barking", 0.05), ("rain", 0.04)], "dog barking", 1),
        (None, None, [("a", 0.4), ("rain", 0.3), ("wind", 0.25), ("fire", 0.21), ("car", 0.2)], "rain, wind, fire", 3),
        ("  footsteps ", None, [], "  footsteps ", 0),
        (None, None, [], "", 0),
    ],
)
def test_the_users_words_come_first(prompt: Any, negative: Any, labels: Any, text: str, added: int) -> None:
    (words,) = wordings(seen([], labels=[labels]), ask(prompt=prompt, negative_prompt=negative))
    assert (words.text, len(words.added), words.negative) == (text, added, negative)
    assert text.endswith(", ".join(words.added))
    (off,) = wordings(seen([], labels=[labels]), ask(prompt=prompt, negative_prompt=negative), on=False)
    assert (off.text, off.added) == (prompt or "", ())


def test_what_was_said_is_reported(tmp_path: Path) -> None:
    features = seen([], [], labels=[[("rain", 0.9)], [("wind", 0.9)]])
    request = ask(prompt=None, negative_prompt="music", guidance_scale=3.0)
    audio = make(tmp_path).generate(features, request, RunContext())
    assert audio.metadata["prompts"] == ["rain", "wind"]
    assert audio.metadata["words_added"] == [["rain"], ["wind"]]
    assert audio.metadata["negative_prompt"] == "music"
    assert audio.metadata["notes"] == [
        f"Item {k}: The picture added to the prompt: “{w}”." for k, w in ((0, "rain"), (1, "wind"))
    ]
    nothing = make(tmp_path).generate(None, ask(prompt=None), RunContext())
    assert "Neither a prompt nor the picture" in nothing.metadata["notes"][0]


# Timing


def test_the_gain_is_its_formula() -> None:
    onsets, rate, strength = [(-0.1, 1.0), (0.5, 0.6), (0.75, 1.0), (5.0, 1.0)], 1000, 0.7
    gain = envelope_gain(onsets, 2000, rate, strength)
    for at in range(0, 2000, 7):
        heights = []
        for time_s, height in onsets:
            past = at / rate - time_s
            kernel = math.exp(-past / 0.25) if past >= 0 else max(0.0, 1 + past / 0.005)
            heights.append(height * kernel if kernel > 1e-4 else 0.0)
        assert float(gain[at]) == pytest.approx(0.3 + 0.7 * max(heights), abs=1e-4)
    assert torch.equal(envelope_gain(onsets, 2000, rate, 0.0), torch.ones(2000))
    assert float(envelope_gain([], 100, rate, 1.0).max()) == 0


@pytest.mark.parametrize("timing", ["envelope", "draft"])
def test_at_strength_0_nothing_changes(tmp_path: Path, timing: str) -> None:
    features = seen([(0.5, 1.0)])
    plain = make(tmp_path).generate(features, ask(), RunContext())
    steered = make(tmp_path, timing=timing, timing_strength=0.0).generate(features, ask(), RunContext())
    assert torch.equal(plain.waveform, steered.waveform)
    assert (steered.metadata["timing"], steered.metadata["timing_strength"]) == ("none", 0.0)


@pytest.mark.parametrize("timing", ["envelope", "draft"])
def test_without_events_nothing_changes_and_it_is_said(tmp_path: Path, timing: str) -> None:
    plain = make(tmp_path).generate(seen([]), ask(), RunContext())
    for features in (seen([]), None):
        steered = make(tmp_path, timing=timing).generate(features, ask(), RunContext())
        assert torch.equal(plain.waveform, steered.waveform)
        assert f"timing={timing} changed nothing" in steered.metadata["notes"][0]


def test_an_envelope_goes_on_across_segments(tmp_path: Path) -> None:
    features = seen([(0.5, 1.0), (2.9, 0.8), (3.5, 1.0)])
    steered = make(tmp_path, timing="envelope", timing_strength=0.9)
    whole = steered.generate(features, ask(duration_s=6.0), RunContext())
    part = steered.generate(features.window(3.0, 6.0), ask(duration_s=3.0, start_s=3.0), RunContext())
    plain = make(tmp_path)
    gain = whole.waveform / plain.generate(features, ask(duration_s=6.0), RunContext()).waveform
    of_part = part.waveform / plain.generate(features, ask(duration_s=3.0, start_s=3.0), RunContext()).waveform
    torch.testing.assert_close(gain[..., 3 * RATE :], of_part, rtol=1e-3, atol=1e-3)


def test_a_draft_is_foley_of_the_same_events(tmp_path: Path) -> None:
    pytest.importorskip("versasound_plugin_foley", reason="versasound-plugin-foley is not installed")
    from versasound_core import registry

    features, request = seen([(0.5, 1.0), (1.2, 0.7)]), ask(prompt="hammer on metal")
    foley = registry.create("generator", "foley").generate(features, request, RunContext())
    steered = make(tmp_path, timing="draft", timing_strength=1.0).generate(features, request, RunContext())
    torch.testing.assert_close(steered.waveform, foley.waveform.mean(1, keepdim=True))
    half = make(tmp_path, timing="draft", timing_strength=0.5).generate(features, request, RunContext())
    plain = make(tmp_path).generate(features, request, RunContext())
    torch.testing.assert_close(half.waveform, (plain.waveform + steered.waveform) / 2)
    assert (half.metadata["timing"], half.metadata["timing_strength"]) == ("draft", 0.5)


def test_a_draft_without_foley_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from versasound_core.registry import Registry, default_registry

    monkeypatch.setattr(default_registry, "get", Registry().get)
    monkeypatch.setattr("versasound_core.registry._discover", list)
    with pytest.raises(PluginError, match="pip install versasound-plugin-foley"):
        make(tmp_path, timing="draft").generate(seen([(0.5, 1.0)]), ask(), RunContext())


def test_noise_on_a_draft_goes_from_all_to_none() -> None:
    assert start_noise(0) == math.inf
    assert start_noise(0.5) == pytest.approx(1.0)
    assert start_noise(1) == pytest.approx(0.0)
    with pytest.raises(InvalidInputError, match="timing_strength"):
        start_noise(1.5)


# Windows


@given(st.integers(1, 500_000), st.integers(2_000, 60_000), st.sampled_from([1, 7, 64, 160]))
def test_windows_cover_the_sound(count: int, longest: int, unit: int) -> None:
    parts = windows(count, longest, unit, 1000)
    assert parts[0].start == 0
    assert parts[-1].end == parts[-1].fade == count
    for before, after in itertools.pairwise(parts):
        assert after.start == before.fade
        assert after.start % unit == 0
        assert before.end - before.fade >= min(2000, longest // unit * unit // 4) // unit * unit
    lengths = [part.end - part.start for part in parts]
    assert max(lengths) <= longest
    assert set(lengths[:-1]) <= {lengths[0]}
    assert lengths[0] - unit < lengths[-1] <= lengths[0]
    torch.testing.assert_close(joined(parts, [torch.ones(1, length) for length in lengths], 1000), torch.ones(1, count))


def test_noise_is_of_one_piece(tmp_path: Path) -> None:
    def draw(seed: int) -> torch.Tensor:
        return torch.randn(2, 10, generator=torch.Generator().manual_seed(seed))

    long = noise_on_axis(draw, 5, range(40), 10)
    assert torch.equal(long[:, :10], draw(5))
    assert torch.equal(noise_on_axis(draw, 5, range(7, 33), 10), long[:, 7:33])
    assert not torch.equal(long[:, 10:20], long[:, :10])
    correlation = torch.corrcoef(long.reshape(8, 10))
    assert float((correlation - torch.eye(8)).abs().max()) < 0.95


def flux(sound: torch.Tensor, step: int = RATE // 100) -> torch.Tensor:
    """Half-wave rectified change of the log spectrum, every 10 ms."""
    spectrum = sound.unfold(-1, 4 * step, step).mul(torch.hann_window(4 * step)).to(torch.float64)
    level = torch.log(1e-4 + torch.fft.rfft(spectrum).abs())
    return (level[1:] - level[:-1]).clamp_min(0).mean(-1)


@pytest.mark.parametrize("seconds", [12.0, 47.0, 120.0])
def test_joins_are_not_heard(tmp_path: Path, seconds: float) -> None:
    model = NoiseModel()
    audio = make(tmp_path, model).generate(None, ask(duration_s=seconds), RunContext())
    assert audio.shape[2] == round(seconds * RATE)
    sound = audio.waveform[0, 0]
    parts = windows(len(sound), model.longest, model.unit, RATE)
    assert audio.metadata["windows"] == len(parts) > 1
    level = 10 * torch.log10(sound[: len(sound) // 1600 * 1600].view(-1, 1600).square().mean(1))
    change = flux(sound)
    for part in parts[1:]:
        at = (part.start - RATE // 2) // 1600, (part.start + 5 * RATE // 2) // 1600
        near = level[at[0] : at[1]]
        assert float((near[5:].mean() - near[:5].mean()).abs()) <= 1.0
        assert float((near - level.mean()).abs().max()) <= 1.0
        around = change[10 * at[0] : 10 * at[1]]
        assert float(around.max()) <= float(change.mean() + 6 * change.std())
    assert float(sound.diff().abs().max()) <= 8 * float(sound.diff().std())


def test_features_without_a_rate_are_no_hindrance(tmp_path: Path) -> None:
    features = VisualFeatures(torch.zeros(1, 8, 4))
    assert make(tmp_path).generate(features, ask(duration_s=25.0), RunContext()).shape[2] == 25 * RATE


def test_windows_of_what_is_alike_add_up(tmp_path: Path) -> None:
    same = torch.randn(1, 1, 100)
    torch.testing.assert_close(cross_faded(same, same), same)


# Batches, seeds, progress


def test_a_batch_is_its_items(tmp_path: Path) -> None:
    features = seen([], [], [], labels=[[("rain", 0.9)], [("wind", 0.9)], [("fire", 0.9)]])
    together = make(tmp_path, batch_size=3).generate(features, ask(seed=7, duration_s=25.0), RunContext())
    for item in range(3):
        alone = make(tmp_path).generate(seen([]), ask(seed=7 + item, duration_s=25.0), RunContext())
        assert torch.equal(together.waveform[item], alone.waveform[0])


def test_requests_are_made_together(tmp_path: Path) -> None:
    model = NoiseModel()
    asked = [(None, ask(seed=k)) for k in range(5)] + [(None, ask(seed=9, duration_s=1.0))]
    made = make(tmp_path, model, batch_size=4).generate_all(asked, RunContext())
    assert model.batches == [4, 1, 1]
    for (_, request), audio in zip(asked, made, strict=True):
        assert torch.equal(audio.waveform, make(tmp_path).generate(None, request, RunContext()).waveform)


def test_batches_are_halved_when_memory_runs_out(tmp_path: Path) -> None:
    model = NoiseModel()
    model.fits = 3
    generator = make(tmp_path, model, batch_size=8)
    generator.generate(seen(*[[]] * 8), ask(), RunContext())
    assert model.batches == [2, 2, 2, 2]
    model.fits = 0
    with pytest.raises(DeviceError, match="not enough memory"):
        generator.generate(None, ask(), RunContext())


@pytest.mark.parametrize(("duration_s", "rate"), [(0.5, 16000), (5.0, 44100), (0.3333, 48000), (12.34567, 22050)])
def test_the_length_is_exact_at_any_rate(tmp_path: Path, duration_s: float, rate: int) -> None:
    audio = make(tmp_path).generate(None, ask(duration_s=duration_s, sample_rate=rate), RunContext())
    assert (audio.shape[2], audio.sample_rate) == (round(duration_s * rate), rate)


def test_segments_of_a_clip_share_their_noise(tmp_path: Path) -> None:
    model = NoiseModel()
    whole = make(tmp_path, model).generate(None, ask(duration_s=10.0), RunContext())
    later = make(tmp_path, model).generate(None, ask(duration_s=4.0, start_s=6.0), RunContext())
    before, after = whole.waveform[0, 0, 6 * RATE :], later.waveform[0, 0]
    assert float(torch.corrcoef(torch.stack([before, after]))[0, 1]) > 0.7


def test_progress_rises_at_every_step_and_cancelling_stops(tmp_path: Path) -> None:
    told: list[float] = []
    generator = make(tmp_path)
    generator.generate(seen([], []), ask(), RunContext(progress=lambda f, _: told.append(f)))
    assert len(told) == 1 + 2 * 4
    assert told == sorted(told)
    cancel = CancelToken()

    def stop(fraction: float, _: str) -> None:
        told.append(fraction)
        if fraction > 0.3:
            cancel.cancel()

    told.clear()
    with pytest.raises(Cancelled):
        generator.generate(seen([], []), ask(), RunContext(progress=stop, cancel=cancel))
    assert sum(fraction > 0.3 for fraction in told) == 1
    assert generator.generate(None, ask(), RunContext()).shape == (1, 1, 2 * RATE)


def test_numbers_that_overflow_are_not_sound(tmp_path: Path) -> None:
    class Overflows(NoiseModel):
        def _sound(self, job: Job) -> torch.Tensor:
            return torch.full((1, job.length), math.nan)

    with pytest.raises(DeviceError, match="overflowed in fp16.*bf16 or fp32"):
        make(tmp_path, Overflows()).generate(None, ask(), RunContext(precision="fp16"))


@pytest.mark.parametrize("options", [{"timing": "sometimes"}, {"timing_strength": 1.5}])
def test_bad_settings_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        make(tmp_path, **options)
