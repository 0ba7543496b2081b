"""Stable Audio 3 behind the face of a model: text and a duration to latents of that length, and those to sound.

The parts and their order are those of diffusers' pipeline, whose output this equals where nothing steers. It is a
rectified flow; its distilled checkpoints put fresh noise on at every step ("ping-pong").
"""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.steering.timing import start_noise

from .coding import encoded
from .draws import Draws
from .latent import LatentAudio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from versasound_core.steering import Job
    from versasound_core.steering.diffusion import Predict

_LOGSNR = (-6.2, 2.0)  # from the noisiest step to the cleanest: the pipeline's own defaults


class StableAudio3(LatentAudio):
    """A loaded Stable Audio 3.

    Args:
        pipe: diffusers' pipeline.
        is_compiled: Whether the transformer is compiled.
    """

    guidance = 1.0  # the pipeline's own defaults
    varies = True

    def __init__(self, pipe: Any, *, is_compiled: bool = False) -> None:  # noqa: ANN401
        samples = pipe.duration_embedder.config.max_val * pipe.vae.config.sampling_rate
        super().__init__(pipe, int(samples / pipe.vae.downsampling_ratio), is_compiled=is_compiled)
        self.steps: int | None = 8 if pipe.scheduler.config.stochastic_sampling else 100

    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Return `[n, C, T]`, `T` that of the longest job, within [-1, 1] as the pipeline has it."""
        return super().make(jobs, tick).clamp(-1.0, 1.0)

    def size(self, job: Job) -> object:
        """Return latents, where a draft enters, and how many tokens there are."""
        draft = None if job.draft is None else job.strength
        return self._latents(job), draft, None if job.tokens is None else len(job.tokens)

    def _latents(self, job: Job) -> int:
        return math.ceil(job.length / self.unit)

    def _predictor(self, jobs: Sequence[Job], *, guided: bool) -> tuple[Predict, torch.dtype]:
        words, mask, durations = self._said(jobs, guided=guided)

        def predict(both: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self._transformer(
                both,
                time.expand(len(both)),
                encoder_hidden_states=words,
                global_hidden_states=durations,
                encoder_attention_mask=mask,
                return_dict=False,
            )[0]
            return made

        return predict, words.dtype

    def _said(self, jobs: Sequence[Job], *, guided: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what is attended to, `[n or 2 n, L, D]`, which of it counts, `[.., L]`, and durations, `[.., D]`.

        Where something guides, the first half is what a sound must not be: the negative prompt, or an empty one.
        """
        pipe, device = self.pipe, self.pipe._execution_device
        said = [(job, job.negative or "", False) for job in jobs] if guided else []
        rows = []
        for job, text, is_wanted in [*said, *((job, job.text, True) for job in jobs)]:
            words, mask = self._once(text, partial(pipe.encode_prompt, text, device, 1))
            if job.tokens is not None:  # where they do not count, the model puts what stands for nothing
                words = torch.cat([words, job.tokens[None].to(words)], 1)
                mask = torch.cat([mask, mask.new_full((1, len(job.tokens)), is_wanted)], 1)
            duration = pipe.encode_duration(job.length / self.sample_rate, device, 1, 1)
            rows.append((*pipe.prepare_cross_attention(words, mask, duration), duration))
        words, mask, durations = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return words, mask, durations

    def _begun(self, jobs: Sequence[Job], dtype: torch.dtype) -> tuple[Any, torch.Tensor, int]:
        """Begin from noise, or from drafts with as much noise as their strength leaves."""
        from diffusers.pipelines.stable_audio_3.pipeline_stable_audio_3 import logsnr_sigma_schedule

        scheduler, device = self.pipe.scheduler, self.pipe._execution_device
        draws = [self._draws(job) for job in jobs]

        def noise(dtype: torch.dtype) -> torch.Tensor:
            return torch.cat([draw(dtype) for draw in draws]).to(device)

        latents, level = noise(dtype), 1.0
        drafts = [job.draft[None].to(latents) for job in jobs if job.draft is not None]
        if drafts:
            ratio = start_noise(jobs[0].strength)
            level = ratio / (1 + ratio)
            begun = torch.cat([encoded(self.pipe.vae, draft, latents.shape[-1]) for draft in drafts])
            latents = (1.0 - level) * begun + level * latents
        sigmas = logsnr_sigma_schedule(jobs[0].steps or self.steps, *_LOGSNR)
        # The library's own way to start from sound squeezes all steps below this level, but its second lies above it.
        scheduler.set_timesteps(sigmas=[level, *(sigma for sigma in sigmas if sigma < level)], device=device)
        return _Flow(scheduler, noise), latents, 0

    def _draws(self, job: Job) -> Draws:
        begin, count = round(job.start / self.unit), self._latents(job)
        tile = count if begin == 0 and job.end <= self.longest else self.tile
        return Draws(job.seed, range(begin, begin + count), tile, int(self.pipe.vae.config.latent_dim))


class _Flow:
    """The library's scheduler, with noise from each sound's own draws.

    Args:
        scheduler: With its time steps set.
        noise: Draws for all sounds, in a number format.
    """

    def __init__(self, scheduler: Any, noise: Callable[[torch.dtype], torch.Tensor]) -> None:  # noqa: ANN401
        self._scheduler, self._noise = scheduler, noise
        self.timesteps = scheduler.timesteps
        self._sigmas = iter(zip(scheduler.sigmas[:-1], scheduler.sigmas[1:], strict=True))

    def scale_model_input(self, latents: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return latents

    def step(self, made: torch.Tensor, time: torch.Tensor, latents: torch.Tensor) -> Any:  # noqa: ANN401
        if not self._scheduler.config.stochastic_sampling:
            return self._scheduler.step(made, time, latents)
        sigma, after = next(self._sigmas)
        clean = latents.float() - sigma * made
        mixed = (1.0 - after) * clean + after * self._noise(torch.float32)
        return SimpleNamespace(prev_sample=mixed.to(made.dtype))
