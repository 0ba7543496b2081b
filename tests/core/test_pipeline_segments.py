"""The generator `foley` makes the same sound in segments as in one piece; so must the pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pipelines import clip_of

from versasound_core import Pipeline, Recipe
from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.segments import OVERLAP_S, segments


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
