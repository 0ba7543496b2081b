"""Who is in a scene: things that strike, and things that only move."""

from __future__ import annotations

import torch
from scenes import SOUNDING, THINGS, Draw, Motion, blows, bounces, walls, wanders
from strokes import followed, strokes, struck, swayed

_TOOL = 3  # of the motions that sound
STRUCK, ALONG, BODY = THINGS - 1, THINGS - 2, THINGS - 3  # what these may be


def mixed(draw: Draw, time: torch.Tensor, aspect: torch.Tensor) -> tuple[Motion, torch.Tensor]:
    """Choose a motion for each thing.

    Returns:
        The motions, `[B, K, N]`, and which things there are, `[B, K]`.
    """
    tools, silents = strokes(draw, time, aspect, SOUNDING), THINGS - SOUNDING
    sounding = [*(f(draw, time, aspect, SOUNDING) for f in (bounces, blows, walls)), tools.motion]
    kind = draw.choice([0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 3], SOUNDING)
    first = _chosen(sounding, kind)
    silent = [
        wanders(draw, time, aspect, silents),
        blows(draw, time, aspect, silents, soft=True),
        strokes(draw, time, aspect, silents, soft=True).motion,
    ]
    second = _chosen(silent, draw.choice([0, 0, 0, 0, 0, 0, 1, 1, 2, 2], silents))
    hit, along = struck(draw, time, tools), followed(draw, first)
    order = torch.arange(THINGS, device=time.device)
    count = draw.choice([0, 1, 1, 1, 1, 2, 2, 2, 3, 3])
    count = torch.where(draw.chance(0.05), torch.zeros_like(count), count)
    others = draw.choice([0, 0, 1, 1, 2, 3])
    there = torch.where(order < SOUNDING, order < count[:, None], order - SOUNDING < others[:, None])
    # The last ones may be what the first thing strikes, what moves along with it, and whose arm it is.
    for place, part, there_too in (
        (STRUCK, hit, (kind[:, 0] == _TOOL) & draw.chance(0.4) & there[:, 0]),
        (ALONG, along, draw.chance(0.6) & there[:, 0]),
        (BODY, swayed(draw, time, first), draw.chance(0.6) & there[:, 0]),
    ):
        there[:, place] |= there_too
        for whole, one in zip(second, part, strict=True):
            whole[:, place - SOUNDING] = torch.where(there_too[:, None], one[:, 0], whole[:, place - SOUNDING])
    return Motion(*(torch.cat(pair, 1) for pair in zip(first, second, strict=True))), there


def _chosen(motions: list[Motion], which: torch.Tensor) -> Motion:
    """Take for each thing `[B, K]` one of the motions."""
    parts = []
    for options in zip(*motions, strict=True):
        part = options[0]
        for number, option in enumerate(options[1:], 1):
            part = torch.where((which == number)[..., None], option, part)
        parts.append(part)
    return Motion(*parts)
