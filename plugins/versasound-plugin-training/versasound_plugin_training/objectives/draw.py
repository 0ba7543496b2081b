"""Random numbers for a batch, of which each item has its own, or all have one source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


class Draw:
    """What is random in a batch.

    Args:
        source: One generator for the whole batch; or one for each item, so that an item draws the same whatever batch
            and process it is in.
        device: Where the numbers are wanted.
    """

    def __init__(self, source: torch.Generator | Sequence[torch.Generator], device: torch.device) -> None:
        self._source = source
        self._device = device

    def uniform(self, *shape: int) -> torch.Tensor:
        """Return numbers in [0, 1), `[B, ...]`."""
        return self._made(torch.rand, shape)

    def normal(self, *shape: int) -> torch.Tensor:
        """Return normal numbers, `[B, ...]`."""
        return self._made(torch.randn, shape)

    def whole(self, below: int, count: int) -> torch.Tensor:
        """Return whole numbers from 0 to `below - 1`, `[count]`."""
        return (self.uniform(count) * below).long().clamp(max=below - 1)

    def _made(self, function: object, shape: tuple[int, ...]) -> torch.Tensor:
        assert callable(function)  # noqa: S101  (for the type checker)
        if isinstance(self._source, torch.Generator):
            made = function(shape, generator=self._source, device=self._source.device)
        else:
            made = torch.stack([function(shape[1:], generator=one) for one in self._source])
        result: torch.Tensor = made.to(self._device)
        return result
