"""Brownian motion for many seeds at once.

diffusers draws the noise of a sampler's steps from one `torchsde.BrownianInterval` per item (Li et al. 2020, a virtual
Brownian tree). Walking such a tree costs more than the numbers in it, and it is the same whatever the seed: here it
is walked once for all items of a batch, and what comes out for each is the library's, bit for bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DIGITS = 6  # of times, and
_POOL = 24  # of entropy: as diffusers has them


class _Node(NamedTuple):
    start: float
    end: float
    key: int = 0
    depth: int = 0


class BrownianPaths:
    """Paths on one interval, each with a seed of its own.

    Args:
        seeds: Of the paths.
        like: `[C, T]`: for shape, type and device.
        start: Of the interval, in the sampler's time.
        end: Of the interval.
    """

    def __init__(self, seeds: Sequence[int], like: torch.Tensor, start: float, end: float) -> None:
        self._seeds = list(seeds)
        self._like = like
        self._generator = torch.Generator(like.device)
        self._root = _Node(round(start, _DIGITS), round(end, _DIGITS))
        firsts = [np.random.SeedSequence(seed, pool_size=_POOL) for seed in self._seeds]
        self._whole = self._drawn(firsts) * math.sqrt(end - start)
        self._halves: dict[_Node, tuple[torch.Tensor, torch.Tensor]] = {}

    def increments(self, start: float, end: float) -> torch.Tensor:
        """Return `[n, C, T]`: how far each path goes from `start` to `end`, which may lie outside of the interval."""
        start, end = (round(min(max(time, self._root.start), self._root.end), _DIGITS) for time in (start, end))
        total = torch.zeros_like(self._whole)
        for index, piece in enumerate(self._pieces(self._root, self._whole, start, end) if start < end else ()):
            total = total + piece if index else piece
        # A sampler goes down in time: what is asked for next lies below, and hangs on what begins there.
        self._halves = {node: halves for node, halves in self._halves.items() if node.start < start}
        return total

    def _pieces(self, node: _Node, whole: torch.Tensor, start: float, end: float) -> Iterator[torch.Tensor]:
        if (start, end) == (node.start, node.end):
            yield whole
            return
        middle = round(0.5 * (node.end + node.start), _DIGITS)
        left, right = self._split(node, whole, middle)
        if start < middle:
            below = _Node(node.start, middle, 2 * node.key, node.depth + 1)
            yield from self._pieces(below, left, start, min(end, middle))
        if end > middle:
            above = _Node(middle, node.end, 2 * node.key + 1, node.depth + 1)
            yield from self._pieces(above, right, max(start, middle), end)

    def _split(self, node: _Node, whole: torch.Tensor, middle: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how far the paths go in either half: a Brownian bridge."""
        if node not in self._halves:
            before, after, per = middle - node.start, node.end - middle, 1 / (node.end - node.start)
            where = (node.key, node.depth)
            noise = self._drawn(np.random.SeedSequence(seed, spawn_key=where, pool_size=_POOL) for seed in self._seeds)
            left = before * whole * per + math.sqrt(before * after * per) * noise
            self._halves[node] = left, whole - left
        return self._halves[node]

    def _drawn(self, sequences: Iterator[np.random.SeedSequence] | list[np.random.SeedSequence]) -> torch.Tensor:
        made = self._like.new_empty(len(self._seeds), *self._like.shape)
        for row, sequence in zip(made, sequences, strict=True):
            torch.randn(row.shape, generator=self._generator.manual_seed(int(sequence.generate_state(1)[0])), out=row)
        return made
