"""What changed in the picture, where and when, coarse enough to keep for a whole clip."""

from __future__ import annotations

import functools

import attrs
import torch

from versasound_core.errors import InvalidInputError

from ._checks import is_number

SIDE = 16  # cells across and down, whatever the picture's shape
CHANNELS = 3


@attrs.frozen(eq=False, repr=False)
class EventView:
    """Changes of luma between the pictures of one clip, on a grid of 16 x 16 cells: 23 kB for a second at 30 fps.

    Args:
        cells: uint8 `[n, 3, 16, 16]`. Of each cell the mean size of the change, the mean change and the largest change
            from a picture to the next, as square roots: `16 sqrt(size)`, `128 + 8 sqrt(change)` with the sign kept
            outside the root, and `16 sqrt(largest)`.
        times_s: float64 `[n + 1]`, when each picture is shown, rising.

    Raises:
        InvalidInputError: If a shape or type is wrong or the times do not rise.
    """

    cells: torch.Tensor
    times_s: torch.Tensor

    def __attrs_post_init__(self) -> None:
        shape = list(self.cells.shape)
        if self.cells.dtype != torch.uint8 or len(shape) != 4 or shape[1:] != [CHANNELS, SIDE, SIDE]:  # noqa: PLR2004
            raise InvalidInputError(f"cells must be uint8 [n, 3, 16, 16], not {self.cells.dtype} {shape}.")
        if list(self.times_s.shape) != [shape[0] + 1]:
            raise InvalidInputError(f"{shape[0]} changes lie between {shape[0] + 1} times, not {len(self.times_s)}.")
        if not (torch.isfinite(self.times_s).all() and (self.times_s.diff() > 0).all()):
            raise InvalidInputError("times_s of a view must be finite and rise.")

    def __repr__(self) -> str:
        return f"EventView({self.cells.shape[0]} changes)"

    def to(self, device: str | torch.device) -> EventView:
        """Return the same view on `device`; the times stay."""
        return attrs.evolve(self, cells=self.cells.to(device))

    def window(self, start_s: float, end_s: float) -> EventView:
        """Return the changes that overlap `[start_s, end_s)`, with times counted from `start_s`."""
        if not (is_number(start_s) and is_number(end_s)):
            raise InvalidInputError(f"a window must run between two times, not {start_s!r} and {end_s!r}.")
        first = max(int(torch.searchsorted(self.times_s, start_s, right=True)) - 1, 0)
        last = max(int(torch.searchsorted(self.times_s, end_s)), first)
        last = min(last, len(self.cells))
        return EventView(self.cells[first:last], self.times_s[first : last + 1] - start_s)


def view_cells(luma: torch.Tensor) -> torch.Tensor:
    """Cells `[..., n-1, 3, 16, 16]` of an `EventView`, from pictures `[..., n, H, W]` in 0..255."""
    luma = luma.float()
    change = luma[..., 1:, :, :] - luma[..., :-1, :, :]
    flat = change.flatten(0, -3)
    size = flat.abs()
    down, across = (_means(length).to(luma.device) for length in luma.shape[-2:])
    mean, signed = (((one @ across).mT @ down).mT for one in (size, flat))
    largest = torch.nn.functional.adaptive_max_pool2d(size[:, None], SIDE)[:, 0]
    signed = signed.sign() * signed.abs().sqrt()
    cells = torch.stack([16 * mean.sqrt(), 128 + 8 * signed, 16 * largest.sqrt()], 1)
    return cells.round().clamp(0, 255).to(torch.uint8).reshape(*change.shape[:-2], CHANNELS, SIDE, SIDE)


@functools.cache
def _means(length: int) -> torch.Tensor:
    """What averages `length` values in `SIDE` cells as `adaptive_avg_pool2d` does, many times as fast: `[L, 16]`."""
    return torch.nn.functional.adaptive_avg_pool1d(torch.eye(length), SIDE)
