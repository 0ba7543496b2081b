"""An event track as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from versasound_core.containers import EventTrack

_WIDTH, _HEIGHT = 1024, 288
_LEFT, _RIGHT, _TOP, _BOTTOM = 24, 24, 40, 40
_PAPER, _INK, _FAINT = (24, 26, 32), (226, 228, 233), (84, 90, 104)
_MOTION, _STRIKE = (88, 142, 196), (246, 168, 66)
_STEPS_S = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
_MOST_TICKS = 12


def draw(events: EventTrack, item: int = 0) -> torch.Tensor:
    """Draw what moves and when it strikes, `[1, H, W, 3]` in [0, 1].

    Args:
        events: The events.
        item: Which of the batch.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    pen, small = ImageDraw.Draw(image), ImageFont.load_default(14)
    wide, floor = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM
    length_s = max(events.duration_s, 1e-6)

    def across(time_s: float) -> float:
        return _LEFT + wide * min(max(time_s / length_s, 0.0), 1.0)

    envelope = events.envelope[item].detach().to("cpu", torch.float32)
    heights = torch.nn.functional.adaptive_max_pool1d(envelope[None], wide)[0] if len(envelope) else torch.zeros(wide)
    heights = heights / heights.max().clamp_min(1e-9)
    for column, height in enumerate(heights.tolist()):
        pen.line([(_LEFT + column, floor), (_LEFT + column, floor - height * (floor - _TOP))], _MOTION)
    for time_s, strength in events.onsets[item]:
        top = floor - strength * (floor - _TOP)
        pen.line([(across(time_s), floor), (across(time_s), top)], _STRIKE, 2)
        pen.ellipse([across(time_s) - 4, top - 4, across(time_s) + 4, top + 4], _STRIKE)
    step_s = next((step for step in _STEPS_S if length_s / step <= _MOST_TICKS), length_s)
    for tick in range(int(length_s / step_s) + 1):
        at = across(tick * step_s)
        pen.line([(at, floor), (at, floor + 6)], _FAINT)
        pen.text((at, floor + 10), f"{tick * step_s:g} s", _INK, small, anchor="ma")
    count = len(events.onsets[item])
    said = f"{count} strike{'s' * (count != 1)} in {length_s:.2f} s"
    pen.text((_LEFT, 12), f"{said}, over what moves" if count else f"nothing strikes in {length_s:.2f} s", _INK, small)
    return torch.from_numpy(np.asarray(image).copy()).float()[None] / 255
