"""What becomes of pictures on the way to a file: light, contrast, blur, sensor, codec, and pictures shown twice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as nn

if TYPE_CHECKING:
    from scenes import Draw

_BLOCK = 2  # pixels of 48 rows: sixteen of some 360


def develop(draw: Draw, pictures: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return grey levels `[B, F, H, W]` as they are decoded, from those that the lens gave at `times`, `[B, F]`."""
    pictures = pictures * _light(draw, times)[..., None, None] + draw.uniform(-5, 30)[:, None, None, None]
    soft = nn.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    pictures = torch.lerp(pictures, soft, (draw.uniform(0, 1.0) * draw.chance(0.6))[:, None, None, None])
    grain = draw.log_uniform(0.03, 2) * draw.chance(0.8)
    pictures = pictures + draw.normal(*pictures.shape[1:]) * grain[:, None, None, None]
    return _repeated(draw, _coded(draw, pictures.clamp(0, 255))).round().clamp(0, 255)


def _light(draw: Draw, times: torch.Tensor) -> torch.Tensor:
    """Exposure `[B, F]`, with flicker and flashes."""
    flicker = (
        draw.uniform(0, 0.04)[:, None]
        * draw.chance(0.15)[:, None]
        * torch.sin(math.tau * draw.log_uniform(0.5, 12)[:, None] * times + draw.uniform(0, 6.3)[:, None])
    )
    flash = (
        draw.uniform(-0.4, 0.6)[:, None]
        * draw.chance(0.1)[:, None]
        * ((times - draw.uniform(0, 1)[:, None] * times[:, -1:]).abs() < draw.log_uniform(0.02, 0.4)[:, None])
    )
    return draw.uniform(0.5, 1.15)[:, None] * (1 + flicker + flash)


def _coded(draw: Draw, pictures: torch.Tensor) -> torch.Tensor:
    """A codec keeps blocks as they were that hardly change, errs where they do, and errs anew at each key frame."""
    frames, (height, width) = pictures.shape[1], pictures.shape[2:]
    group = draw.choice([12.0, 15.0, 30.0, 48.0, 250.0])
    number = torch.arange(frames, device=pictures.device) / group[:, None] + draw.uniform(0, 1)[:, None]
    key = torch.cat([torch.ones_like(number[:, :1]), number.floor().diff(dim=1)], 1) > 0
    least = draw.log_uniform(0.6, 8) * draw.chance(0.8)  # mean change of a block that is coded
    error = (draw.log_uniform(0.1, 2) * draw.chance(0.6))[:, None, None, None]
    last, decoded = pictures[:, 0], []
    for k in range(frames):
        change = (pictures[:, k] - last).abs()[:, None]
        coded = nn.avg_pool2d(change, _BLOCK, ceil_mode=True) >= least[:, None, None, None]
        coded |= key[:, k, None, None, None]
        coded = coded.repeat_interleave(_BLOCK, 2).repeat_interleave(_BLOCK, 3)[:, 0, :height, :width]
        noise = nn.interpolate(draw.normal(1, height // 2, width // 2), size=(height, width))[:, 0] * error[:, 0]
        last = torch.where(coded, pictures[:, k] + noise, last)
        decoded.append(last)
    return torch.stack(decoded, 1)


def _repeated(draw: Draw, pictures: torch.Tensor) -> torch.Tensor:
    """Some files show every second to sixth picture twice, in place of the next one."""
    every = draw.choice([2.0, 3.0, 4.0, 5.0, 6.0])[:, None]
    again = draw.chance(0.12)[:, None] & (torch.arange(pictures.shape[1], device=pictures.device) % every == every - 1)
    before = torch.cat([pictures[:, :1], pictures[:, :-1]], 1)
    return torch.where(again[..., None, None], before, pictures)
