"""The steps that all latent diffusion models share, whatever library their parts come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .timing import start_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def first_step(noise: torch.Tensor, strength: float) -> int:
    """Return the step at which a draft of this strength enters; the number of steps if it is kept as it is.

    Args:
        noise: `[steps]`: how much noise each step starts from, as sigma / signal; see `start_noise`.
        strength: How much of the draft is kept, 0 to 1.
    """
    return int((noise.cpu().double() > start_noise(strength) * (1 + 1e-6)).sum())


def denoise(  # noqa: PLR0913  (what a sampler is made of)
    scheduler: Any,  # noqa: ANN401  (each library has its own)
    predict: Predict,
    latents: torch.Tensor,
    *,
    first: int,
    guidance: float,
    tick: Callable[[float], None],
) -> torch.Tensor:
    """Take the steps of a sampler from the `first` on, with classifier-free guidance (Ho and Salimans 2022) above 1.

    Args:
        scheduler: With its time steps set.
        predict: Makes the model's output of a time step and `[2 n, ...]`, first without the text, then with it; of
            `[n, ...]` where nothing is guided.
        latents: `[n, ...]`.
        first: Steps left out, for latents that are not all noise.
        guidance: How far to go from the prediction without the text to that with it, and beyond.
        tick: Told before every step how far this has come; what it raises passes.
    """
    timesteps = scheduler.timesteps[first:]
    for done, time in enumerate(timesteps):
        tick(done / len(timesteps))
        both = torch.cat([latents] * 2) if guidance > 1 else latents
        made = predict(scheduler.scale_model_input(both, time), time)
        if guidance > 1:
            without, with_text = made.chunk(2)
            made = without + guidance * (with_text - without)
        latents = scheduler.step(made, time, latents).prev_sample
    return latents
