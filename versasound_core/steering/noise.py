"""Randomness: noise on the clip's own time axis, so that windows which overlap start from the same; nothing global."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SEEDS = 2**63
_NEXT = 0x9E3779B97F4A7C15  # the golden ratio, as in splitmix64 (Steele, Lea, Flood 2014): seeds far from each other


def noise_on_axis(
    draw: Callable[[int], torch.Tensor], seed: int, span: range, tile: int, axis: int = -1
) -> torch.Tensor:
    """Cut a span of steps out of endless noise that is made of tiles, each drawn from a seed of its own.

    The first tile is drawn from `seed` itself: a sound that begins at 0 and fits into a tile gets what the model's own
    library would draw.

    Args:
        draw: Draws a tile from a seed; `tile` steps along `axis`.
        seed: Of the item.
        span: Which steps.
        tile: Steps in a tile.
        axis: Which axis is time.
    """
    parts = [draw(one) for one in tile_seeds(seed, span, tile)]
    return torch.cat(parts, axis).narrow(axis, span.start % tile, len(span))


def tile_seeds(seed: int, span: range, tile: int) -> list[int]:
    """Return the seeds that `noise_on_axis` draws from for a span of steps."""
    first, last = span.start // tile, (span.stop - 1) // tile
    return [(seed + k * _NEXT) % _SEEDS for k in range(first, last + 1)]


@contextmanager
def python_random_state() -> Iterator[None]:
    """Leave Python's own random state as it is: some libraries draw from it, a number a layer, for training alone."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
