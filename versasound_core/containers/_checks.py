"""The checks that every container makes when it is made."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
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
    if not math.isfinite(_sum(value.detach())) and not bool(torch.isfinite(value.detach()).all()):
        raise InvalidInputError(f"{name} [{layout}] holds values that are not finite (NaN or infinity).")
    return value


def _sum(data: torch.Tensor) -> float:
    """One reduction, and no mask as large as the data: a sum is finite unless a value is not, or it overflows."""
    if data.device.type == "cpu" and data.dtype in {torch.float32, torch.float64}:
        # NumPy stays on this thread: PyTorch's pool costs more than the sum where a decoder keeps the cores busy.
        with np.errstate(invalid="ignore", over="ignore"):
            return float(data.numpy().sum(dtype=np.float64))
    return float(data.sum() if data.device.type == "mps" else data.sum(dtype=torch.float64))  # MPS has no float64


def is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a finite number of Python or NumPy."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def positive(value: Any, name: str, unit: str) -> float:  # noqa: ANN401
    """Return `value` as it came if it is a finite number above zero; raise `InvalidInputError` otherwise."""
    if not is_number(value) or value <= 0:
        raise InvalidInputError(f"{name} must be a number of {unit} above 0, not {value!r}.")
    return value


def whole(value: Any, name: str, unit: str, lowest: int = 1) -> int:  # noqa: ANN401
    """Return `value` as an int if it is a whole number of at least `lowest`; raise `InvalidInputError` otherwise."""
    if not is_number(value) or value != int(value) or value < lowest:
        raise InvalidInputError(f"{name} must be a whole number of {unit}, {lowest} or more, not {value!r}.")
    return int(value)


def pairs(items: Any, name: str, words: str) -> None:  # noqa: ANN401
    """Check that `items` holds, for each item of the batch, a list of pairs of finite numbers.

    Raises:
        InvalidInputError: With the first that is not one.
    """
    for b, item in enumerate(items):
        for pair in item if isinstance(item, list | tuple) else [item]:
            if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_number, pair))):  # noqa: PLR2004
                raise InvalidInputError(f"{name} must hold a list of finite ({words}) per item; item {b} has {pair!r}.")


def as_dict(given: dict[str, Any] | None) -> dict[str, Any]:
    """Return metadata as it came, or none."""
    return {} if given is None else given
