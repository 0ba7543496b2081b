"""The view of a clip that the event pass keeps: what changed, where and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import torch

from versasound_core.cache import FeatureCache
from versasound_core.containers import EventTrack, EventView, VideoClip, VisualFeatures
from versasound_core.containers.view import view_cells
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError
from versasound_core.events import detect_events

if TYPE_CHECKING:
    from pathlib import Path


def view(count: int = 20, step_s: float = 0.05) -> EventView:
    cells = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 16, 16).contiguous()
    return EventView(cells, torch.arange(count + 1, dtype=torch.float64) * step_s)


def features() -> VisualFeatures:
    track = EventTrack(torch.zeros(2, 100), 100.0, [[], []], views=[view(), view(10)])
    return VisualFeatures(torch.zeros(2, 10, 3), {"fps": 10.0}, track)


def test_cells_are_roots_of_mean_signed_and_largest_change() -> None:
    pictures = torch.full((2, 48, 64), 100.0)
    pictures[1, :3, :4] = 84.0  # the first cell, and nothing else, 16 levels darker
    pictures[1, 0, 0] = 36.0
    cells = view_cells(pictures)[0]
    mean = (11 * 16 + 64) / 12
    assert cells[:, 0, 0].tolist() == [round(16 * mean**0.5), round(128 - 8 * mean**0.5), 128]
    assert cells[:, 1:].float().mean((1, 2)).tolist() == [0, 128, 0]


@pytest.mark.parametrize("count", [1, 2, 3, 66, 67, 150])
def test_the_event_pass_keeps_every_change_once(count: int) -> None:
    moving = (torch.arange(count)[:, None, None] * 7 + torch.arange(64) * 3 + torch.arange(48)[:, None] * 5) % 200
    clip = VideoClip.from_tensor(moving[None, :, None].to(torch.uint8), 25.0)
    events = detect_events(clip, RunContext())
    (kept,) = events.views or []
    assert kept.times_s.tolist() == pytest.approx([k / 25 for k in range(count)])
    assert torch.equal(kept.cells, view_cells(moving))


def test_a_window_holds_the_changes_that_overlap_it() -> None:
    part = view().window(0.22, 0.41)
    assert part.cells[:, 0, 0, 0].tolist() == [4, 5, 6, 7, 8]
    assert part.times_s.tolist() == pytest.approx([-0.02, 0.03, 0.08, 0.13, 0.18, 0.23])
    assert len(view().window(5.0, 6.0).cells) == 0
    assert features().window(0.2, 0.4).events.views[1].cells[:, 0, 0, 0].tolist() == [4, 5, 6, 7]


def test_the_cache_keeps_views(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.store("a", features())
    back = cache.load("a")
    assert back is not None
    for got, sent in zip(back.events.views, features().events.views, strict=True):
        assert torch.equal(got.cells, sent.cells)
        assert torch.equal(got.times_s, sent.times_s)
    cache.store("b", attrs.evolve(features(), events=attrs.evolve(features().events, views=None)))
    assert cache.load("b").events.views is None


def test_what_cannot_be_is_refused() -> None:
    good = view(3)
    for cells, times_s in (
        (good.cells.float(), good.times_s),
        (good.cells[:, :2], good.times_s),
        (good.cells, good.times_s[1:]),
        (good.cells, good.times_s.flip(0)),
        (good.cells, good.times_s * float("nan")),
    ):
        with pytest.raises(InvalidInputError):
            EventView(cells, times_s)
    with pytest.raises(InvalidInputError):
        EventTrack(torch.zeros(1, 10), 10.0, [[]], views=[view(), view()])
