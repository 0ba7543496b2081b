"""How scenes are filmed: paint, shake, pan, cuts and shutter; and what an `EventView` keeps."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from develop import develop
from mixed import ALONG, BODY, mixed
from scenes import THINGS, Draw, Motion
from torch.nn import functional as nn

from versasound_core.containers.view import view_cells

_ROWS = 48
_WIDTHS = (36, 64, 64, 84, 84, 84)  # of the pictures that the detector looks at
_RATES = [10.0, 10.5, 12.0, 12.5, 15.0, 15.0, 15.0, 20.0, 21.5, 23.976, 24.0, 25.0, 25.0, 29.97, 30.0, 30.0, 33.3]
_SUBFRAMES = 4
_SAME, _LONGEST_STEP_S = 3.0, 0.1  # pictures that the detector takes for one
_EDGE = 0.02


class Clips(NamedTuple):
    """What the network is trained on."""

    cells: torch.Tensor  # uint8 [B, F, 3, 16, 16]
    times_s: torch.Tensor  # float32 [B, F + 1]; after the clip's end it goes on evenly
    counts: torch.Tensor  # [B], changes that are there
    strikes: torch.Tensor  # [B, I], seconds, 1e6 where there is none


@torch.no_grad()
def film(batch: int, frames: int, generator: torch.Generator) -> Clips:
    """Make up and draw clips of `frames` pictures."""
    draw, device = Draw(batch, generator), generator.device
    cpu = torch.Generator().manual_seed(int(torch.randint(2**40, (1,), generator=generator, device=device)))
    width = _WIDTHS[int(torch.randint(len(_WIDTHS), (1,), generator=cpu))]
    aspect = torch.full((batch,), width / _ROWS, device=device)
    fps = draw.choice(_RATES)
    times = torch.arange(frames, device=device) / fps[:, None]
    shutter = torch.where(draw.chance(0.3), draw.uniform(0.4, 1.0), draw.uniform(0, 0.5)) * (1 - 1 / _SUBFRAMES)
    moments = times[..., None] + (torch.linspace(0, 1, _SUBFRAMES, device=device) * (shutter / fps)[:, None])[:, None]
    moments = moments.flatten(1)  # [B, N]
    motion, there = mixed(draw, moments, aspect)
    span = frames / fps
    inside = (motion.impacts > 0) & (motion.impacts < span[:, None, None]) & there[..., None]
    index = (motion.impacts.clamp(0, 1e5) * fps[:, None, None] * _SUBFRAMES).long().clamp(0, moments.shape[1] - 1)
    view = _camera(draw, moments, span)
    x = torch.gather(motion.x - view.x[:, None], 2, index)
    y = torch.gather(motion.y - view.y[:, None], 2, index)
    inside &= (x > _EDGE) & (x < aspect[:, None, None] - _EDGE) & (y > _EDGE) & (y < 1 - _EDGE)
    strikes = torch.where(inside, motion.impacts, 1e6).flatten(1).sort(1)[0][:, :96].contiguous()
    pictures = develop(draw, _paint(draw, motion, there, view, moments, width, frames), times)
    return _viewed(pictures, times, strikes)


class _View(NamedTuple):
    x: torch.Tensor  # [B, N], where the picture's corner is
    y: torch.Tensor
    cuts: torch.Tensor  # [B, N], how many cuts came before


def _camera(draw: Draw, moments: torch.Tensor, span: torch.Tensor) -> _View:
    shake = draw.log_uniform(0.001, 0.02)[:, None] * draw.chance(0.45)[:, None]
    places = []
    for _ in range(2):
        total = torch.zeros_like(moments)
        for _ in range(3):
            rate = draw.log_uniform(0.3, 8)[:, None]
            total = total + draw.normal()[:, None] / (1 + 0.3 * rate) * torch.sin(
                math.tau * rate * moments + draw.uniform(0, 6.3)[:, None]
            )
        pan = draw.uniform(-0.08, 0.08)[:, None] * draw.chance(0.25)[:, None]
        places.append(shake * total + pan * (moments - span[:, None] / 2))
    at = draw.uniform(0.1, 0.9, 3) * span[:, None]
    at = torch.where(draw.chance(0.12, 3), at, 1e6)
    return _View(places[0], places[1], (moments[..., None] > at[:, None]).sum(-1))


def _paint(  # noqa: PLR0913, PLR0917
    draw: Draw, motion: Motion, there: torch.Tensor, view: _View, moments: torch.Tensor, width: int, frames: int
) -> torch.Tensor:
    """Draw `[B, frames, 48, width]`, grey levels, the sub-frames averaged."""
    batch, device = draw.batch, moments.device
    grounds = _grounds(draw, 4)
    x0 = (torch.arange(width, device=device) + 0.5) / _ROWS
    y0 = (torch.arange(_ROWS, device=device) + 0.5) / _ROWS
    level = draw.uniform(5, 250, THINGS)
    shade = draw.uniform(-50, 50, THINGS) * draw.chance(0.6, THINGS)
    stripe, stripes = draw.uniform(0, 70, THINGS) * draw.chance(0.5, THINGS), draw.log_uniform(8, 90, THINGS)
    round_, long, wide = _sizes(draw)
    blink = draw.chance(0.08, THINGS)
    rate, phase = draw.log_uniform(0.4, 5, THINGS), draw.uniform(0, 6.3, THINGS)
    lit = ~(blink[..., None] & (torch.sin(math.tau * rate[..., None] * moments[:, None] + phase[..., None]) < 0))
    ripple = draw.uniform(1, 14) * draw.chance(0.15)
    waves = [(draw.uniform(5, 40), draw.uniform(5, 40), draw.uniform(2, 25)) for _ in range(3)]
    spot = (draw.uniform(0, 1), draw.uniform(0, 1), draw.uniform(0.1, 0.6))
    jump = draw.normal(4, 2) * 0.1 * draw.chance(0.5)[:, None, None]  # a cut may move what is filmed
    jump[:, 0] = 0

    pictures = torch.empty(batch, frames, _ROWS, width, device=device)
    step = max(1, int(2e7 / (moments.shape[1] * _ROWS * width)))
    for first in range(0, batch, step):
        b = slice(first, first + step)
        cut = view.cuts[b].clamp(max=3)
        moved = torch.gather(jump[b], 1, cut[..., None].expand(-1, -1, 2))
        vx, vy = view.x[b] + moved[..., 0], view.y[b] + moved[..., 1]
        x = x0 + vx[..., None]  # [b, N, W]
        y = y0 + vy[..., None]  # [b, N, H]
        picture = _ground(grounds[b], x, y, cut)
        if bool(ripple[b].any()):
            near = torch.exp(
                -(((x - spot[0][b, None, None]) ** 2)[:, :, None] + ((y - spot[1][b, None, None]) ** 2)[..., None])
                / (spot[2][b] ** 2)[:, None, None, None]
            )
            sway = sum(
                torch.sin(
                    (fx[b, None, None] * x)[:, :, None]
                    + (fy[b, None, None] * y + (w[b, None] * moments[b])[..., None])[..., None]
                )
                for fx, fy, w in waves
            )
            picture = picture + ripple[b, None, None, None] * near * sway
        for k in sorted(torch.nonzero(there[b].any(0))[:, 0].tolist(), key=lambda k: (k != BODY, k)):  # bodies behind
            dx = x[:, :, None] - motion.x[b, k, :, None, None]
            dy = y[..., None] - motion.y[b, k, :, None, None]
            cos, sin = motion.angle[b, k].cos()[..., None, None], motion.angle[b, k].sin()[..., None, None]
            u, v = dx * cos + dy * sin, dy * cos - dx * sin
            radius, half, high = (t[b, k, None, None, None] for t in (round_, long, wide))
            qu, qv = u.abs() - half, v.abs() - high
            distance = torch.hypot(qu.clamp_min(0), qv.clamp_min(0)) + torch.maximum(qu, qv).clamp(max=0) - radius
            cover = ((-distance) * _ROWS + 0.5).clamp(0, 1) * (lit[b, k] & there[b, k, None])[..., None, None]
            paint = level[b, k, None, None, None] + shade[b, k, None, None, None] * (
                1 + distance / (radius + half).clamp_min(0.01)
            ).clamp(0, 1)
            paint = paint + stripe[b, k, None, None, None] * torch.sin(stripes[b, k, None, None, None] * u)
            picture = picture + cover * (paint - picture)
        pictures[b] = picture.unflatten(1, (frames, _SUBFRAMES)).mean(2)
    return pictures


def _sizes(draw: Draw) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How round, long and wide things are: discs, sticks and blocks; hands, arms and bodies are larger."""
    kind = draw.choice([0, 0, 1, 1, 2], THINGS)
    round_ = torch.where(kind == 0, draw.log_uniform(0.02, 0.16, THINGS), draw.log_uniform(0.008, 0.05, THINGS))
    long = torch.where(
        kind == 0, 0, torch.where(kind == 1, draw.log_uniform(0.07, 0.6, THINGS), draw.uniform(0.02, 0.2, THINGS))
    )
    wide = torch.where(kind > 1, draw.uniform(0.02, 0.15, THINGS), 0)
    arm = draw.chance(0.6)
    round_[:, ALONG] = torch.where(arm, draw.log_uniform(0.03, 0.12), round_[:, ALONG])
    long[:, ALONG] = torch.where(arm, draw.uniform(0, 0.5), long[:, ALONG])
    round_[:, BODY], long[:, BODY] = draw.uniform(0.06, 0.25), draw.uniform(0, 0.5)
    return round_, long, wide


def _grounds(draw: Draw, count: int) -> torch.Tensor:
    """Textures `[B, count, 96, 160]` of several coarsenesses."""
    total = draw.uniform(40, 200, count)[..., None, None] + torch.zeros(1, 1, 96, 160, device=draw.device)
    for side in (3, 8, 20, 48):
        noise = nn.interpolate(draw.normal(count, side, side * 2), size=(96, 160), mode="bicubic")
        total = (
            total + noise * (draw.log_uniform(1, 30, count) * (0.5 + 0.5 * draw.chance(0.5, count)))[..., None, None]
        )
    return total.clamp(0, 255)


def _ground(grounds: torch.Tensor, x: torch.Tensor, y: torch.Tensor, cut: torch.Tensor) -> torch.Tensor:
    """Look at the ground: `[b, N, H, W]`. The texture is 2 heights high, and its corner half a height outside."""
    count = cut.shape[1]
    gx, gy = (x + 0.65) / 3.3333 * 2 - 1, (y + 0.5) / 2 * 2 - 1
    grid = torch.stack(torch.broadcast_tensors(gx[:, :, None], gy[..., None]), -1)  # [b, N, H, W, 2]
    seen = nn.grid_sample(grounds, grid.flatten(1, 2), mode="bilinear", padding_mode="reflection", align_corners=False)
    seen = seen.unflatten(2, (count, -1))  # [b, cuts, N, H, W]
    which = cut[:, None, :, None, None].expand(-1, 1, -1, *seen.shape[3:])
    return torch.gather(seen, 1, which)[:, 0]


def _viewed(pictures: torch.Tensor, times: torch.Tensor, strikes: torch.Tensor) -> Clips:
    """Leave out pictures that are the same again, as the detector does, and keep the changes."""
    batch, frames = times.shape
    rows = torch.arange(batch, device=times.device)
    last, kept = pictures[:, 0], [torch.ones(batch, dtype=torch.bool, device=times.device)]
    last_s = times[:, 0]
    for k in range(1, frames):
        new = (pictures[:, k] - last).abs().amax((1, 2)) >= _SAME
        new |= times[:, k] - last_s >= _LONGEST_STEP_S
        last, last_s = torch.where(new[:, None, None], pictures[:, k], last), torch.where(new, times[:, k], last_s)
        kept.append(new)
    keep = torch.stack(kept, 1)
    counts = keep.sum(1)
    order = torch.argsort((~keep).int(), dim=1, stable=True)
    shown = torch.gather(times, 1, order)
    spare = torch.arange(frames, device=times.device) - counts[:, None] + 1
    shown = torch.where(spare > 0, shown[rows, counts - 1][:, None] + spare * 0.04, shown)
    pictures = pictures[rows[:, None], order]
    return Clips(view_cells(pictures), shown, counts - 1, strikes)
