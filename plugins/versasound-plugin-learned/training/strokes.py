"""Hands, sticks and tools that come from afar, strike, rest, are lifted away and hover; and what they strike."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scenes import IMPACTS, NEVER, Draw, Motion


class Strokes(NamedTuple):
    """Things that strike, and where: `[B, K, 1]` each."""

    motion: Motion
    x: torch.Tensor
    y: torch.Tensor


def strokes(draw: Draw, time: torch.Tensor, aspect: torch.Tensor, count: int, *, soft: bool = False) -> Strokes:
    """Strike one place again and again, often from outside the picture; in between the hand is never still.

    Some strokes end in a gentle touch that makes no sound; with `soft` all do.
    """
    hits = _hits(draw, count)
    share = draw.choice([0.0, 0.03, 0.06, 0.3], count)
    gentle = draw.uniform(0, 1, count, IMPACTS) < (1.0 if soft else share[..., None])
    which = torch.searchsorted(hits.contiguous(), time[:, None].expand(-1, count, -1).contiguous(), right=True)
    low, high = (which - 1).clamp_min(0), which.clamp(max=IMPACTS - 1)
    before, after = torch.gather(hits, 2, low), torch.gather(hits, 2, high)
    gap, since = (after - before).clamp_min(0.1), (time[:, None] - before).clamp_min(0)
    phase = (since / gap).clamp(0, 1)
    fall = (draw.log_uniform(0.05, 0.25, count)[..., None] / gap).clamp(max=0.4)
    rest = (draw.uniform(0, 0.5, count) * draw.chance(0.8, count))[..., None] * (1 - fall)
    lift = (1 - fall - rest) * draw.uniform(0.3, 1.0, count)[..., None]
    raised = 0.5 - 0.5 * torch.cos(math.pi * ((phase - rest) / lift.clamp_min(1e-3)).clamp(0, 1))
    hard = 1 - ((phase - 1 + fall) / fall).clamp(0, 1) ** draw.uniform(1.0, 2.5, count)[..., None]
    slow = 0.5 + 0.5 * torch.cos(math.pi * ((phase - 1 + 2.5 * fall) / (2.5 * fall)).clamp(0, 1))
    home = torch.where(torch.gather(gentle, 2, high), slow, hard)
    force = torch.gather(draw.uniform(0.5, 1, count, IMPACTS), 2, high)
    away = force * torch.minimum(raised, home) * (1 + _hover(draw, time, count))
    # It jumps back a little, and is held, or sinks into what is soft: the blow is heard before the motion ends.
    spring = draw.log_uniform(0.03, 0.12, count)[..., None]
    rebound = draw.uniform(0.02, 0.15, count) * draw.choice([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0], count)
    away = away + rebound[..., None] * home * since / spring * torch.exp(1 - since / spring)
    x, y = draw.uniform(0.12, 0.88, count)[..., None] * aspect[:, None, None], draw.uniform(0.2, 0.9, count)[..., None]
    return Strokes(_placed(draw, away, torch.where(gentle, NEVER, hits), x, y), x, y)


def _hits(draw: Draw, count: int) -> torch.Tensor:
    """Moments `[B, K, I]`, most of them nearly even."""
    period, loose = draw.log_uniform(0.2, 2.4, count), draw.log_uniform(0.01, 0.6, count)
    gaps = period[..., None] * (1 + loose[..., None] * draw.uniform(-1, 1, count, IMPACTS))
    double = draw.chance(0.3, count)[..., None] & draw.chance(0.3, count, IMPACTS)  # a rhythm
    seldom = draw.choice([0.03, 0.06, 0.3], count)[..., None]
    pause = (draw.uniform(0, 1, count, IMPACTS) < seldom) * draw.uniform(0.5, 2.5, count, IMPACTS)
    gaps = torch.where(double, gaps / 2, gaps) + pause
    return gaps.clamp_min(0.11).cumsum(-1) - draw.uniform(0.2, 3, count)[..., None]


def _hover(draw: Draw, time: torch.Tensor, count: int) -> torch.Tensor:
    total = torch.zeros(draw.batch, count, time.shape[1], device=time.device)
    for _ in range(2):
        rate, phase = draw.log_uniform(0.4, 5, count)[..., None], draw.uniform(0, 6.3, count)[..., None]
        total = total + draw.normal(count)[..., None] * torch.sin(math.tau * rate * time[:, None] + phase)
    return (0.12 * draw.chance(0.7, count)[..., None] * total).clamp(-0.6, 0.6)


def _placed(draw: Draw, away: torch.Tensor, hits: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> Motion:
    """Turn about a joint that may be outside the picture, or come straight; mostly downward."""
    count = away.shape[1]
    turning = draw.chance(0.6, count)
    reach = torch.where(turning, draw.uniform(0.2, 1.5, count), draw.log_uniform(0.05, 1.0, count))[..., None]
    arm, base = draw.log_uniform(0.12, 0.9, count)[..., None], 0.4 * draw.normal(count)[..., None]
    side = torch.where(draw.chance(0.5, count), 1.0, -1.0)[..., None]  # where the joint is: left or right
    base = torch.where(side > 0, base, base + math.pi)
    heading = (-math.pi / 2 + 0.7 * draw.normal(count))[..., None]
    angle = base - side * reach * away * turning[..., None]
    swing_x, swing_y = arm * (torch.cos(angle) - torch.cos(base)), arm * (torch.sin(angle) - torch.sin(base))
    straight = reach * away
    bent = draw.uniform(-1, 1, count)[..., None] * draw.chance(0.4, count)[..., None]  # it turns while it comes
    turning = turning[..., None]
    return Motion(
        x + torch.where(turning, swing_x, straight * torch.cos(heading)),
        y + torch.where(turning, swing_y, straight * torch.sin(heading)),
        torch.where(turning, angle, base + bent * away),
        hits,
    )


def struck(draw: Draw, time: torch.Tensor, hit: Strokes) -> Motion:
    """What is struck: it gives way, trembles, and comes to rest."""
    count = hit.x.shape[1]
    order = hit.motion.impacts.sort(2)[0].contiguous()
    which = torch.searchsorted(order, time[:, None].expand(-1, count, -1).contiguous(), right=True)
    since = (time[:, None] - torch.gather(order, 2, (which - 1).clamp_min(0))).clamp(0, 10)
    tremble = torch.sin(math.tau * draw.log_uniform(2, 12, count)[..., None] * since)
    tremble = tremble * torch.exp(-since / draw.log_uniform(0.05, 0.4, count)[..., None]) * (which > 0)
    size, heading = draw.log_uniform(0.003, 0.04, count)[..., None], draw.uniform(-3.2, 3.2, count)[..., None]
    return Motion(
        hit.x + draw.uniform(-0.05, 0.05, count)[..., None] + size * tremble * torch.cos(heading),
        hit.y + draw.uniform(0, 0.1, count)[..., None] + size * tremble * torch.sin(heading),
        draw.uniform(-0.5, 0.5, count)[..., None] + 2 * size * tremble,
        torch.full_like(order, NEVER),
    )


def followed(draw: Draw, motion: Motion) -> Motion:
    """What moves along: a shadow, a reflection, the hand that holds a tool."""
    count = motion.x.shape[1]
    x, y = 0.12 * draw.normal(count)[..., None], 0.12 * draw.normal(count)[..., None]
    part = draw.uniform(0.4, 1.1, count)[..., None]
    middle_x, middle_y = motion.x.mean(2, keepdim=True), motion.y.mean(2, keepdim=True)
    return Motion(
        middle_x + x + part * (motion.x - middle_x),
        middle_y + y + part * (motion.y - middle_y),
        motion.angle + draw.uniform(-1, 1, count)[..., None],
        torch.full_like(motion.impacts, NEVER),
    )


def swayed(draw: Draw, time: torch.Tensor, motion: Motion) -> Motion:
    """Whose arm it is: a body that goes along a little, sways, and stands beside."""
    count = motion.x.shape[1]
    part = draw.uniform(0.02, 0.35, count)[..., None]
    middle_x, middle_y = motion.x.mean(2, keepdim=True), motion.y.mean(2, keepdim=True)
    sway = [_sway(draw, time, count) for _ in range(2)]
    return Motion(
        middle_x + 0.35 * draw.normal(count)[..., None] + part * (motion.x - middle_x) + sway[0],
        middle_y + draw.uniform(-0.5, 0.3, count)[..., None] + part * (motion.y - middle_y) + sway[1],
        draw.uniform(-2, 2, count)[..., None] + 0.2 * part * (motion.angle - motion.angle.mean(2, keepdim=True)),
        torch.full_like(motion.impacts, NEVER),
    )


def _sway(draw: Draw, time: torch.Tensor, count: int) -> torch.Tensor:
    total = torch.zeros(draw.batch, count, time.shape[1], device=time.device)
    for _ in range(2):
        rate, phase = draw.log_uniform(0.15, 1.5, count)[..., None], draw.uniform(0, 6.3, count)[..., None]
        size = draw.log_uniform(0.003, 0.05, count)[..., None] / (1 + rate)
        total = total + size * torch.sin(math.tau * rate * time[:, None] + phase)
    return total
