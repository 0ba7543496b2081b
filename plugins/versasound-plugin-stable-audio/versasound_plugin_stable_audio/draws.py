"""What a sampler draws for one sound, call after call, on the clip's own time axis."""

from __future__ import annotations

import torch

from versasound_core.steering import noise_on_axis, tile_seeds


class Draws:
    """Noise as a library draws it from one generator for an item that lies in the first tile.

    Args:
        seed: Of the item.
        span: Which latents, counted from the clip's start.
        tile: Latents in a tile.
        channels: Of a latent.
    """

    def __init__(self, seed: int, span: range, tile: int, channels: int) -> None:
        self._seed, self._span, self._tile = seed, span, tile
        self._shape = (1, channels, tile)
        self._generators = {one: torch.Generator().manual_seed(one) for one in tile_seeds(seed, span, tile)}

    def __call__(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the next `[1, C, len(span)]`."""

        def draw(seed: int) -> torch.Tensor:
            return torch.randn(self._shape, generator=self._generators[seed], dtype=dtype)

        return noise_on_axis(draw, self._seed, self._span, self._tile)
