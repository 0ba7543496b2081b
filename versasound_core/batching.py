"""Batches that grow smaller when memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from versasound_core.device import DeviceManager, is_out_of_memory
from versasound_core.errors import DeviceError
from versasound_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

_log = get_logger(__name__)


class Batches:
    """Runs a function on rows, at most `limit` at a time, and on half as many whenever memory runs out.

    Args:
        limit: Rows at a time. What worked last is kept for the next call.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def run(
        self, function: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], rows: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return what `function` makes of all rows: each of its tensors, joined along the first axis.

        Raises:
            DeviceError: If memory runs out on a single row.
        """
        parts: list[tuple[torch.Tensor, ...]] = []
        done = 0
        while done < len(rows):
            part = self._try(function, rows[done : done + self.limit])
            if part is None:
                self._halve(rows.device)
            else:
                parts.append(part)
                done += self.limit
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    @staticmethod
    def _try(
        function: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], rows: torch.Tensor
    ) -> tuple[torch.Tensor, ...] | None:
        try:
            return function(rows)
        except RuntimeError as error:  # the frames that the error holds on to are let go on leaving this function
            if not is_out_of_memory(error):
                raise
        return None

    def _halve(self, device: torch.device) -> None:
        if self.limit == 1:
            raise DeviceError(
                f"{device} has not enough memory for one item at a time.",
                "Choose a smaller variant or precision fp16, close other programs, or set the device to cpu.",
            )
        self.limit //= 2
        DeviceManager().clear_cache()
        _log.warning("Memory ran out on %s; going on with %d items at a time.", device, self.limit)
