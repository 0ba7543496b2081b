"""The checks that every container makes when it is made."""

from __future__ import annotations

import math
from typing import Any

import torch

from versasound_core.errors import InvalidInputError


def float_tensor(value: Any, name: str, layout: str) -> torch.Tensor:  # noqa: ANN401  (it is what it checks)
    """Return `value` if it is a finite floating tensor with one axis per letter of `layout`.

    Args:
        value: The candidate.
        name: What the caller calls it, for the message.
        layout: The axes, such as `"B, T, D"`.

    Raises:
        InvalidInputError: If type, rank, dtype or a value is wrong.
    """
    if not isinstance(value, torch.Tensor):
        raise InvalidInputError(f"{name} must be a torch.Tensor [{layout}], not {type(value).__name__}.")
    if value.ndim != layout.count(",") + 1:
        raise InvalidInputError(f"{name} must be [{layout}]; got {value.ndim} axes, {list(value.shape)}.")
    if not value.is_floating_point():
        raise InvalidInputError(f"{name} must hold floating-point values, not {value.dtype}.", "Call .float() on it.")
    if value.shape[0] == 0:
        raise InvalidInputError(f"{name} [{layout}] has an empty batch: {list(value.shape)}.")
    # One reduction instead of a mask as large as the data: a sum is finite unless a value is not (or it overflows).
    if not math.isfinite(value.detach().sum(dtype=torch.float64).item() if value.device.type != "mps" else
                         value.detach().sum().item()) and not bool(torch.isfinite(value.detach()).all()):
        raise InvalidInputError(f"{name} [{layout}] holds values that are not finite (NaN or infinity).")
    return value


def positive(value: Any, name: str, unit: str) -> float:  # noqa: ANN401
    """Return `value` as it came if it is a finite number above zero; raise `InvalidInputError` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InvalidInputError(f"{name} must be a number of {unit} above 0, not {value!r}.")
    return value
