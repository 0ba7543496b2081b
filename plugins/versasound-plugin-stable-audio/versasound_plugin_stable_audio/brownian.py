"""The noise of the sampler's steps, on the clip's own time axis."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.steering import noise_on_axis

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
        from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

        self._make = BrownianTreeNoiseSampler
        self._jobs = [(job.seed, round(job.start / unit)) for job in jobs]
        self._like = latents[:1]
        self._config = config
        self._trees: dict[int, Any] = {}

    def __call__(self, sigma: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Return `[n, C, tile]`: noise of unit power for the step between two sigmas."""
        tile = self._like.shape[-1]
        made: dict[int, torch.Tensor] = {}

        def draw(seed: int) -> torch.Tensor:
            if seed not in made:
                made[seed] = self._tree(seed)(sigma, after)
            return made[seed]

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Should have t", UserWarning)  # of torchsde, about rounding
            return torch.cat([noise_on_axis(draw, seed, range(at, at + tile), tile) for seed, at in self._jobs])

    def _tree(self, seed: int) -> Any:  # noqa: ANN401
        if seed not in self._trees:
            lowest, highest = self._config.sigma_min, self._config.sigma_max
            self._trees[seed] = self._make(self._like, sigma_min=lowest, sigma_max=highest, seed=seed)
        return self._trees[seed]
