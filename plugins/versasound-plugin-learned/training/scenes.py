"""Scenes to train on, made up and drawn by the thousand: what strikes, what only moves, and how it was filmed.

Everything is a closed form in time, for `B` clips of `K` things at once: a motion gives positions and the moments of
its impacts. Lengths are in picture heights, x to the right and y downward.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

THINGS = 8
SOUNDING = 3  # of them, at most
IMPACTS = 64  # of one thing, at most
NEVER = 1e6


class Motion(NamedTuple):
    """Where things are, and when they strike."""

    x: torch.Tensor  # [B, K, N]
    y: torch.Tensor
    angle: torch.Tensor
    impacts: torch.Tensor  # [B, K, I], seconds, NEVER where there is none


class Draw:
    """Random numbers of one batch, from one generator."""

    def __init__(self, batch: int, generator: torch.Generator) -> None:
        self.batch, self.generator, self.device = batch, generator, generator.device

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """Between two values."""
        return torch.rand(self.batch, *shape, generator=self.generator, device=self.device) * (high - low) + low

    def log_uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """Between two values, as likely in each octave."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def chance(self, share: float, *shape: int) -> torch.Tensor:
        """True for a share."""
        return self.uniform(0, 1, *shape) < share

    def choice(self, values: list[float], *shape: int) -> torch.Tensor:
        """One of several values, as often as it is named."""
        index = self.uniform(0, len(values), *shape).long().clamp(max=len(values) - 1)
        return torch.tensor(values, device=self.device)[index]

    def normal(self, *shape: int) -> torch.Tensor:
        """Of mean 0 and deviation 1."""
        return torch.randn(self.batch, *shape, generator=self.generator, device=self.device)


def bounces(draw: Draw, time: torch.Tensor, aspect: torch.Tensor, count: int) -> Motion:
    """Things that fall, bounce lower and lower, lie still, and are lifted again."""
    gravity, height = draw.log_uniform(1.2, 8, count), draw.uniform(0.12, 0.7, count)
    keep, least = draw.uniform(0.3, 0.88, count), draw.uniform(0.08, 0.25, count)
    floor = draw.uniform(0.7, 0.95, count)
    first = (2 * height / gravity).sqrt()
    order = torch.arange(16, device=time.device)
    flights = 2 * first[..., None] * keep[..., None] ** (order + 1)  # after bounce n
    times = torch.cat([first[..., None], first[..., None] + flights.cumsum(-1)], -1)  # [B, K, 17]
    flown = torch.cat([torch.ones_like(first, dtype=torch.bool)[..., None], flights > least[..., None]], -1).cummin(-1)[
        0
    ]
    over = torch.where(flown, times, 0).amax(-1)
    lift, rest, hold = draw.uniform(0.4, 1.2, count), draw.uniform(0.1, 1.5, count), draw.uniform(0.0, 0.6, count)
    cycle = over + rest + lift + hold
    start = draw.uniform(-3.0, 1.5, count)
    since = time[:, None] - start[..., None]  # [B, K, N]
    turn = torch.floor(since / cycle[..., None]).clamp_min(0)
    since = since - turn * cycle[..., None]
    which = torch.searchsorted(times.contiguous(), since.contiguous(), right=True)
    low, high = (which - 1).clamp(0, 15), which.clamp(max=16)
    flight = torch.gather(flights, 2, low)
    air = since - torch.gather(times, 2, low)
    up = torch.where(
        which == 0,
        height[..., None] - 0.5 * gravity[..., None] * since.clamp_min(0) ** 2,
        0.5 * gravity[..., None] * air * (flight - air),
    )
    done = since >= over[..., None]
    raised = ((since - (over + rest)[..., None]) / lift[..., None]).clamp(0, 1)
    up = torch.where(done, height[..., None] * (0.5 - 0.5 * torch.cos(math.pi * raised)), up)
    del high
    drift = draw.uniform(-0.15, 0.15, count) * draw.chance(0.6, count)
    x = draw.uniform(0.08, 0.92, count) * aspect[:, None]
    along = torch.where(done, over[..., None] * (1 - raised), since.clamp_min(0))
    spin = draw.uniform(-4, 4, count) * draw.chance(0.5, count)
    turns = torch.arange(4, device=time.device)
    impacts = (
        start[..., None, None] + turns[:, None] * cycle[..., None, None] + torch.where(flown, times, NEVER)[:, :, None]
    )
    return Motion(
        x[..., None] + drift[..., None] * along,
        floor[..., None] - up.clamp_min(0),
        spin[..., None] * along,
        impacts.flatten(2)[..., :IMPACTS],
    )


def blows(draw: Draw, time: torch.Tensor, aspect: torch.Tensor, count: int, *, soft: bool = False) -> Motion:
    """Hammers, sticks, knuckles, feet, sliding blocks: drawn back, driven home, again and again; `soft` never hits."""
    period = draw.log_uniform(0.16, 2.2, count)
    loose = draw.uniform(0, 0.6, count) * draw.chance(0.7, count)
    gaps = period[..., None] * (1 + loose[..., None] * draw.uniform(-1, 1, count, IMPACTS))
    pause = draw.chance(0.12, count, IMPACTS) * draw.uniform(0.5, 2.5, count, IMPACTS)
    hits = (gaps + pause).clamp_min(0.11).cumsum(-1) - draw.uniform(0.2, 3, count)[..., None]
    which = torch.searchsorted(hits.contiguous(), time[:, None].expand(-1, count, -1).contiguous(), right=True)
    low, high = (which - 1).clamp_min(0), which.clamp(max=IMPACTS - 1)
    before, after = torch.gather(hits, 2, low), torch.gather(hits, 2, high)
    gap = (after - before).clamp_min(0.1)
    phase = ((time[:, None] - before) / gap).clamp(0, 1)
    fall = (draw.log_uniform(0.05, 0.4, count)[..., None] / gap).clamp(max=0.5)
    rest = (draw.uniform(0, 0.2, count) * draw.chance(0.6, count))[..., None].expand_as(gap)
    raised = rest + (1 - fall - rest) * draw.uniform(0.35, 1.0, count)[..., None]
    rise = ((phase - rest) / (raised - rest).clamp_min(1e-3)).clamp(0, 1)
    back = torch.where(
        draw.chance(0.5, count)[..., None], 0.5 - 0.5 * torch.cos(math.pi * rise), torch.sin(0.5 * math.pi * rise)
    )
    drop = ((phase - 1 + fall) / fall).clamp(0, 1)
    power = draw.uniform(1.0, 3.0, count)[..., None]
    home = 1 - drop**power
    if soft:
        back, home = 0.5 - 0.5 * torch.cos(math.pi * rise), 0.5 + 0.5 * torch.cos(math.pi * drop)
    force = draw.uniform(0.5, 1, count, IMPACTS)
    away = torch.where(drop > 0, home, back) * torch.gather(force, 2, high)
    turning = draw.chance(0.5, count)[..., None]
    reach = torch.where(turning[..., 0], draw.uniform(0.15, 1.4, count), draw.uniform(0.04, 0.45, count))[..., None]
    heading = torch.where(
        draw.chance(0.6, count), -math.pi / 2 + 0.3 * draw.normal(count), draw.uniform(-3.2, 3.2, count)
    )
    heading = heading[..., None]
    x, y = draw.uniform(0.12, 0.88, count)[..., None] * aspect[:, None, None], draw.uniform(0.25, 0.9, count)[..., None]
    arm, base = draw.uniform(0.1, 0.3, count)[..., None], draw.uniform(-3.2, 3.2, count)[..., None]
    base = torch.where(draw.chance(0.7, count)[..., None], 0.3 * base, base)
    side = torch.where(draw.chance(0.5, count), 1.0, -1.0)[..., None]
    angle = torch.where(turning, base - side * reach * away, base.expand_as(away))
    x = torch.where(
        turning, x + side * arm * (torch.cos(angle) - torch.cos(base)), x + reach * away * torch.cos(heading)
    )
    y = torch.where(
        turning, y + side * arm * (torch.sin(angle) - torch.sin(base)), y + reach * away * torch.sin(heading)
    )
    return Motion(x, y, angle, torch.full_like(hits, NEVER) if soft else hits)


def walls(draw: Draw, time: torch.Tensor, aspect: torch.Tensor, count: int) -> Motion:
    """Things that fly straight and bounce off the four sides of a box."""
    places, impacts = [], []
    for length in (aspect[:, None].expand(-1, count), torch.ones(draw.batch, count, device=time.device)):
        low = draw.uniform(0.03, 0.3, count) * length
        width = draw.uniform(0.35, 0.65, count) * length
        speed = draw.log_uniform(0.15, 1.5, count)
        begin = draw.uniform(0, 2, count)  # in box widths along the unfolded way
        way = begin[..., None] + time[:, None] * (speed / width)[..., None]
        places.append(low[..., None] + width[..., None] * (1 - ((way % 2) - 1).abs()))
        turns = torch.arange(IMPACTS // 2, device=time.device)
        impacts.append((begin.ceil()[..., None] + turns - begin[..., None]) * (width / speed)[..., None])
    spin = draw.uniform(-3, 3, count)[..., None] * draw.chance(0.4, count)[..., None]
    return Motion(places[0], places[1], spin * time[:, None], torch.cat(impacts, -1))


def wanders(draw: Draw, time: torch.Tensor, aspect: torch.Tensor, count: int) -> Motion:
    """Pendulums, waving and walking things: smooth, and silent."""
    still = ~draw.chance(0.8, count)[..., None]
    waves = []
    for centre, size in ((0.5 * aspect, 0.4), (torch.full_like(aspect, 0.5), 0.3), (torch.zeros_like(aspect), 1.0)):
        total = torch.zeros(draw.batch, count, time.shape[1], device=time.device)
        for _ in range(2):
            rate = draw.log_uniform(0.1, 3.5, count)[..., None]
            total = total + draw.normal(count)[..., None] * size / 2 / (1 + 1.5 * rate) * torch.sin(
                math.tau * rate * time[:, None] + draw.uniform(0, 6.3, count)[..., None]
            )
        waves.append(
            centre[:, None, None] * (1 + draw.uniform(-0.8, 0.8, count)[..., None]) + total.masked_fill(still, 0)
        )
    return Motion(*waves, torch.full((draw.batch, count, IMPACTS), NEVER, device=time.device))
