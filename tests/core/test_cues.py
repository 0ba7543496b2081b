"""What aligners compare: cues that are largest at the strike, and none where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from versasound_core.containers import AudioData, EventTrack, VideoClip
from versasound_core.context import RunContext
from versasound_core.events import detect_events
from versasound_core.events.cues import picture_cues, sound_cues
from versasound_core.events.lags import finer, knots_at, lag_products


def falling_square(fps: float, lands_s: float) -> VideoClip:
    """A bright square that falls for a second, faster and faster, and lies still from `lands_s` on."""
    frames = torch.full((round(2 * fps), 3, 96, 128), 60, dtype=torch.uint8)
    for k in range(len(frames)):
        bottom = round(22 + 68 * min(max(k / fps - lands_s + 1, 0.0), 1.0) ** 2)
        frames[k, :, bottom - 20 : bottom, 50:70] = 220
    return VideoClip.from_tensor(frames[None], fps)


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
def test_every_cue_of_a_thing_that_lands_is_largest_there(fps: float) -> None:
    events = detect_events(falling_square(fps, 1.2), RunContext())
    cues = picture_cues(events, 0, 200)
    assert len(cues) == 3
    for cue in cues:
        assert cue.argmax() / 100 == pytest.approx(1.2, abs=1.5 / fps)
        assert cue.mean() == pytest.approx(0, abs=1e-5)
        assert cue.std() == pytest.approx(1, abs=1e-4)


def test_where_nothing_is_seen_every_cue_is_0() -> None:
    events = detect_events(
        VideoClip.from_tensor(torch.full((1, 60, 3, 64, 64), 9, dtype=torch.uint8), 30.0), RunContext()
    )
    assert not np.any(picture_cues(events, 0, 200))


def test_events_without_a_view_are_one_cue() -> None:
    track = EventTrack(torch.zeros(1, 100), 100.0, [[(0.25, 1.0), (0.735, 0.5)]])
    (cue,) = picture_cues(track, 0, 100)
    assert cue[25] > cue[74] > cue[50]
    assert cue[73] == pytest.approx(cue[74], abs=1e-5)  # a strike between two steps is divided


def test_a_sound_that_begins_in_the_middle_begins_nothing() -> None:
    noise = torch.randn(1, 1, 32000, generator=torch.Generator().manual_seed(0)) * 0.1
    click = noise * 0.01
    click[..., 16000:16100] = 0.9
    _, (steady,) = sound_cues(AudioData(noise, 16000), 200)
    cues, (struck,) = sound_cues(AudioData(click, 16000), 200)
    assert 0 not in steady[:1]
    assert struck.tolist() == pytest.approx([1.0], abs=0.011)
    assert cues[0].argmax() == pytest.approx(100, abs=1)


def test_products_at_every_lag() -> None:
    rng = np.random.default_rng(0)
    seen, heard = rng.normal(size=(2, 23)).astype(np.float32)
    table = lag_products(seen, heard, 4, 5)
    assert table.shape == (5, 9)
    for row in range(5):
        for column, lag in enumerate(range(-4, 5)):
            pairs = [(n, n - lag) for n in range(5 * row, min(5 * row + 5, 23)) if 0 <= n - lag < 23]
            assert table[row, column] == pytest.approx(sum(seen[n] * heard[m] for n, m in pairs) / 5, abs=1e-5)


def test_a_parabola_is_largest_at_its_vertex() -> None:
    steps = np.arange(9, dtype=np.float32)
    assert finer(-((steps - 4.3) ** 2), 4) == pytest.approx(4.3, abs=1e-4)
    assert finer(steps, 8) == 8


def test_no_knot_overtakes_another() -> None:
    knots = knots_at(np.array([1.0, 2.0, 3.0], np.float32), np.array([0.5, -0.6, 0.0], np.float32))
    assert knots == [(1.0, 1.5), (3.0, 3.0)]
