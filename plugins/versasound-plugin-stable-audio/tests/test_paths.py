"""Brownian paths of many seeds against the sampler of diffusers, which makes one at a time."""

from __future__ import annotations

import warnings

import pytest
import torch
from versasound_plugin_stable_audio.brownian import SharedBrownian
from versasound_plugin_stable_audio.paths import BrownianPaths

from versasound_core.steering import Job

pytest.importorskip("torchsde", reason="torchsde draws what is compared with: pip install torchsde")

SEEDS = (0, 7, 2**63 - 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_batch_gets_what_the_library_draws_for_each(dtype: torch.dtype) -> None:
    from diffusers import CosineDPMSolverMultistepScheduler
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

    scheduler = CosineDPMSolverMultistepScheduler(solver_order=2, prediction_type="v_prediction")
    scheduler.set_timesteps(12)
    latents, config = torch.zeros(len(SEEDS), 4, 16, dtype=dtype), scheduler.config
    jobs = [Job(text="", negative=None, seed=seed, start=0, length=16, end=16) for seed in SEEDS]
    ours = SharedBrownian(jobs, latents, 1, config)
    ends = {"sigma_min": config.sigma_min, "sigma_max": config.sigma_max}
    theirs = [BrownianTreeNoiseSampler(latents[:1], seed=seed, **ends) for seed in SEEDS]
    for high, low in zip(scheduler.sigmas[:-2], scheduler.sigmas[1:-1], strict=True):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Should have t", UserWarning)  # of torchsde, about rounding
            expected = torch.cat([sampler(high, low) for sampler in theirs])
        assert torch.equal(ours(high, low), expected)


def test_what_is_asked_for_in_any_order_is_on_one_path() -> None:
    import torchsde

    ours = BrownianPaths(SEEDS, torch.zeros(2, 8), 0.5, 100.0)
    settings = {"size": (2, 8), "tol": 1e-6, "pool_size": 24, "halfway_tree": True}
    trees = [torchsde.BrownianInterval(0.5, 100.0, entropy=seed, **settings) for seed in SEEDS]
    for start, end in ((3.0, 4.5), (0.5, 100.0), (90.0, 91.0), (0.7, 60.0), (3.0, 4.5), (50.25, 50.25)):
        assert torch.equal(ours.increments(start, end), torch.stack([tree(start, end) for tree in trees]))
    assert torch.equal(ours.increments(-1.0, 200.0), ours.increments(0.5, 100.0))
