"""The default encoder: the right number in the right place at the right time."""

from __future__ import annotations

import math

import pytest
import torch
from versasound_plugin_motion import MotionEncoder

from versasound_core import registry
from versasound_core.containers import VideoClip, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError
from versasound_core.events import detect_events
from versasound_core.scenes import random_scene, write_scene

CELLS = 16
BLACK, RED, WHITE = (0, 0, 0), (255, 0, 0), (255, 255, 255)


def encode(clip: VideoClip, fps: float = 25.0) -> VisualFeatures:
    return MotionEncoder(fps=fps).encode(clip, RunContext())


def frames(colours: list[tuple[int, int, int]], batch: int = 1) -> torch.Tensor:
    """One colour a frame."""
    picture = torch.tensor(colours, dtype=torch.uint8)[None, :, :, None, None]
    return picture.expand(batch, -1, -1, 48, 64).contiguous()


def channel(features: VisualFeatures, number: int) -> torch.Tensor:
    """Y, U, V or motion of all cells, `[B, T, 16]`."""
    return features.features[:, :, number * CELLS : (number + 1) * CELLS]


@pytest.mark.parametrize(("fps", "count"), [(25.0, 50), (12.5, 25), (1.0, 2), (60.0, 120)])
@pytest.mark.parametrize("batch", [1, 3])
def test_shape_and_rate(fps: float, count: int, batch: int) -> None:
    came = encode(VideoClip.from_tensor(frames([BLACK] * 60, batch), 30.0), fps)
    assert tuple(came.shape) == (batch, count, 4 * CELLS)
    assert (came.fps, came.metadata["backbone"], came.labels) == (fps, "motion", None)
    assert came.events is not None
    assert came.events.duration_s == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("colour", "yuv"),
    # ITU-R BT.601, limited range
    [(BLACK, (16, 128, 128)), (WHITE, (235, 128, 128)), (RED, (81.5, 90.2, 240))],
)
def test_a_colour_is_its_luma_and_chroma(colour, yuv) -> None:
    came = encode(VideoClip.from_tensor(frames([colour] * 10), 25.0))
    for number, expected in enumerate((*yuv, 0)):
        assert channel(came, number).flatten() == pytest.approx(expected / 255, abs=2 / 255)


@pytest.mark.parametrize("fps", [10.0, 25.0, 50.0])
def test_a_change_of_colour_is_in_the_feature_of_its_moment(fps: float) -> None:
    came = encode(VideoClip.from_tensor(frames([BLACK] * 30 + [WHITE] * 30), 30.0), fps)
    luma, motion = channel(came, 0).mean(2)[0], channel(came, 3).mean(2)[0]
    change = int(fps)  # the feature that begins at second 1
    assert luma[:change] == pytest.approx(16 / 255, abs=2 / 255)
    assert luma[change:] == pytest.approx(235 / 255, abs=2 / 255)
    assert torch.nonzero(motion)[:, 0].tolist() == [change]
    shown = math.ceil(30 / fps)  # frames that share the vector: those that begin before 1 s + 1 / fps
    assert motion[change] == pytest.approx(219 / 255 / shown, rel=0.02)


def test_a_change_in_one_corner_is_in_its_cell() -> None:
    pictures = frames([BLACK] * 20)
    pictures[:, 10:, :, -12:, -16:] = 255  # the lower right
    came = encode(VideoClip.from_tensor(pictures, 20.0), 20.0)
    for number in (0, 3):
        there = channel(came, number)[0, 10]
        assert int(there.argmax()) == CELLS - 1
        assert there[:-1] == pytest.approx(channel(came, number)[0, 0, 0].item(), abs=2 / 255)


def test_a_batch_is_its_items_one_by_one() -> None:
    pictures = torch.randint(0, 255, (3, 40, 3, 60, 90), generator=torch.Generator().manual_seed(0))
    pictures = pictures.to(torch.uint8)
    both = encode(VideoClip.from_tensor(pictures, 30.0))
    assert both.events is not None
    for item in range(3):
        alone = encode(VideoClip.from_tensor(pictures[item : item + 1], 30.0))
        assert alone.events is not None
        assert torch.equal(both.features[item : item + 1], alone.features)
        assert torch.equal(both.events.envelope[item : item + 1], alone.events.envelope)
        assert both.events.onsets[item : item + 1] == alone.events.onsets


def test_the_events_are_the_cores_own(tmp_path) -> None:
    """One pass over the frames gives what the core's detector finds in a pass of its own."""
    clip = VideoClip.open(write_scene(random_scene(100, 3.0), tmp_path / "scene.mp4", height=96))
    events, found = encode(clip).events, detect_events(clip, RunContext())
    assert events is not None
    assert len(events.onsets[0]) > 0
    assert (events.onsets, events.positions) == (found.onsets, found.positions)
    assert torch.equal(events.envelope, found.envelope)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("fps", [1.0, 25.0, 120.0])
def test_very_short_clips(count: int, fps: float) -> None:
    came = encode(VideoClip.from_tensor(frames([RED] * count), 30.0), fps)
    assert came.shape[1] == max(1, round(count / 30 * fps))
    assert channel(came, 0).flatten() == pytest.approx(81.5 / 255, abs=2 / 255)


def test_it_tells_how_far_it_is_and_stops_when_asked() -> None:
    clip = VideoClip.from_tensor(frames([BLACK] * 100), 30.0)
    told: list[float] = []
    MotionEncoder(fps=25.0).encode(clip, RunContext(progress=lambda fraction, _: told.append(fraction)))
    assert told == sorted(told)
    assert told[-1] > 0.9
    token, threads = CancelToken(), torch.get_num_threads()
    with pytest.raises(Cancelled):
        MotionEncoder(fps=25.0).encode(clip, RunContext(progress=lambda *_: token.cancel(), cancel=token))
    assert torch.get_num_threads() == threads


def test_the_registry_makes_it_from_its_card() -> None:
    clip = VideoClip.from_tensor(frames([BLACK] * 30), 30.0)
    assert registry.create("encoder", "motion").encode(clip, RunContext()).fps == 25.0
    assert registry.create("encoder", "motion", fps=5).encode(clip, RunContext()).shape[1] == 5
    for wrong in ({"fps": 0}, {"fps": 1000.0}, {"rate": 5}):
        with pytest.raises(InvalidInputError):
            registry.create("encoder", "motion", **wrong)
