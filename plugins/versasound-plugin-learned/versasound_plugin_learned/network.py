"""The network that sees when something strikes, finer than the frame rate."""

from __future__ import annotations

import torch
from torch import nn

SLOTS = 8  # parts of the time from a picture to the next, each with a probability of its own
_CELLS = (3, 16, 16)


class StrikeNet(nn.Module):
    """From an `EventView` to the probability of a strike in each eighth of the time between two pictures.

    Args:
        widths: Channels of the three stages that see the grid: 16 x 16, 8 x 8 and 8 x 8 cells.
        hidden: Channels of the part that sees time only.
        blocks: How many residual blocks that has; their reach doubles from one to the next.
    """

    def __init__(self, *, widths: tuple[int, int, int] = (32, 48, 64), hidden: int = 192, blocks: int = 6) -> None:
        super().__init__()
        a, b, c = widths
        self.grid = nn.Sequential(
            _conv(_CELLS[0] + 1, a, (3, 3, 3)),
            _conv(a, b, (1, 3, 3), stride=(1, 2, 2)),
            _conv(b, b, (5, 1, 1)),
            _conv(b, c, (1, 3, 3)),
            _conv(c, c, (5, 1, 1)),
        )
        self.enter = nn.Conv1d(2 * c + 1, hidden, 1)
        self.time = nn.ModuleList(_Block(hidden, 2**k) for k in range(blocks))
        self.leave = nn.Conv1d(hidden, SLOTS, 1)

    def forward(self, cells: torch.Tensor, steps_s: torch.Tensor) -> torch.Tensor:
        """Return logits `[B, F, SLOTS]`.

        Args:
            cells: uint8 `[B, F, 3, 16, 16]`, as in an `EventView`.
            steps_s: `[B, F]`, seconds from the picture before each change to the one after it.
        """
        middle = torch.tensor([0.0, 128.0, 0.0], device=cells.device).reshape(3, 1, 1, 1)
        grid = (cells.transpose(1, 2).float() - middle) / 32
        pace = torch.log(steps_s.float().clamp(0.005, 1.0) / 0.04)[:, None]
        plane = pace[..., None, None].expand(-1, -1, -1, *_CELLS[1:])
        seen = self.grid(torch.cat([grid, plane], 1))
        x = self.enter(torch.cat([seen.mean((3, 4)), seen.amax((3, 4)), pace.to(seen.dtype)], 1))
        for block in self.time:
            x = block(x)
        logits: torch.Tensor = self.leave(nn.functional.silu(x)).transpose(1, 2)
        return logits


def _conv(inner: int, outer: int, size: tuple[int, int, int], stride: tuple[int, int, int] = (1, 1, 1)) -> nn.Module:
    padding = (size[0] // 2, size[1] // 2, size[2] // 2)
    return nn.Sequential(
        nn.Conv3d(inner, outer, size, stride, padding, bias=False), nn.BatchNorm3d(outer), nn.ReLU(inplace=True)
    )


class _Block(nn.Module):
    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 3, padding=reach, dilation=reach),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.body(x)
        return out
