"""The noise of the sampler's steps, on the clip's own time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from versasound_core.steering import noise_on_axis, tile_seeds

from .paths import BrownianPaths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versasound_core.steering import Job


class SharedBrownian:
    """Stands in for the noise sampler that the scheduler makes for a batch.

    A sound that begins at 0 gets what diffusers draws for its seed; windows of one sound share what they overlap in.

    Args:
        jobs: Of the batch.
        latents: `[n, C, tile]`: for shape, type and device.
        unit: Samples of a latent.
        config: The scheduler's, with the least and the greatest sigma.
    """

    def __init__(self, jobs: Sequence[Job], latents: torch.Tensor, unit: int, config: Any) -> None:  # noqa: ANN401
        self._tile = tile = latents.shape[-1]
        begins = [round(job.start / unit) for job in jobs]
        self._spans = [(job.seed, range(at, at + tile)) for job, at in zip(jobs, begins, strict=True)]
        seeds = dict.fromkeys(one for seed, span in self._spans for one in tile_seeds(seed, span, tile))
        self._rows = {seed: row for row, seed in enumerate(seeds)}
        ends = (float(torch.tensor(sigma)) for sigma in (config.sigma_min, config.sigma_max))
        self._paths = BrownianPaths(list(seeds), latents[0], *ends)

    def __call__(self, sigma: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Return `[n, C, tile]`: noise of unit power for the step between two sigmas."""
        low, high = sorted((float(sigma), float(after)))
        noise = self._paths.increments(low, high) * (1.0 if sigma < after else -1.0) / (after - sigma).abs().sqrt()
        rows = self._rows
        return torch.cat(
            [noise_on_axis(lambda one: noise[rows[one]][None], seed, span, self._tile) for seed, span in self._spans]
        )
