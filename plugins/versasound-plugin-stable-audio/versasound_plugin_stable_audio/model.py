"""Stable Audio Open behind the face of a model: text and times to latents of 47 s, and those to sound.

Stable Audio Open (Evans et al. 2024). The parts and their order are those of diffusers' pipeline, whose output this
equals where nothing steers.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.steering.diffusion import first_step

from .brownian import SharedBrownian
from .coding import encoded
from .draws import Draws
from .latent import LatentAudio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versasound_core.steering import Job
    from versasound_core.steering.diffusion import Predict


class StableAudio(LatentAudio):
    """A loaded Stable Audio Open. It always denoises its whole window; only what is heard of it is decoded.

    Args:
        pipe: diffusers' pipeline.
        is_compiled: Whether the transformer is compiled.
    """

    steps: int | None = 100  # the pipeline's own defaults
    guidance = 7.0

    def __init__(self, pipe: Any, *, is_compiled: bool = False) -> None:  # noqa: ANN401
        super().__init__(pipe, int(pipe.transformer.config.sample_size), is_compiled=is_compiled)

    def size(self, job: Job) -> object:
        """Return where a draft enters, and how many tokens there are: windows are all of one length."""
        return None if job.draft is None else job.strength, None if job.tokens is None else len(job.tokens)

    def _predictor(self, jobs: Sequence[Job], *, guided: bool) -> tuple[Predict, torch.dtype]:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        words, times = self._said(jobs, guided=guided)
        turns = get_1d_rotary_pos_embed(
            self.pipe.rotary_embed_dim, self.tile + times.shape[1], use_real=True, repeat_interleave_real=False
        )
        turns = tuple(turn.to(words.device) for turn in turns)

        def predict(both: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self._transformer(
                both,
                time.unsqueeze(0),
                encoder_hidden_states=words,
                global_hidden_states=times,
                rotary_embedding=turns,
                return_dict=False,
            )[0]
            return made

        return predict, words.dtype

    def _begun(self, jobs: Sequence[Job], dtype: torch.dtype) -> tuple[Any, torch.Tensor, int]:
        """Begin from noise, or from drafts with as much noise as their strength leaves."""
        scheduler, device = self.pipe.scheduler, self.pipe._execution_device
        scheduler.set_timesteps(jobs[0].steps or self.steps, device=device)
        noise = torch.cat([self._noise(job, dtype) for job in jobs]).to(device)
        scheduler.noise_sampler = SharedBrownian(jobs, noise, self.unit, scheduler.config)
        if jobs[0].draft is None:
            return scheduler, noise * scheduler.init_noise_sigma, 0
        drafts = [job.draft[None].to(noise) for job in jobs if job.draft is not None]
        begun = torch.cat([encoded(self.pipe.vae, draft, self.tile) for draft in drafts])
        first = first_step(scheduler.sigmas[:-1], jobs[0].strength)
        scheduler.set_begin_index(first)
        return scheduler, begun if first == len(scheduler.timesteps) else begun + noise * scheduler.sigmas[first], first

    def _draws(self, job: Job) -> Draws:
        begin = round(job.start / self.unit)
        channels = int(self.pipe.transformer.config.in_channels)
        return Draws(job.seed, range(begin, begin + self.tile), self.tile, channels)

    def _said(self, jobs: Sequence[Job], *, guided: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is attended to, `[n or 2 n, L, D]`, and the times as one vector each, `[n or 2 n, 1, 2 D]`.

        Where something guides, the first half is what a sound must not be: the negative prompt at the same times, or
        nothing at all (zeros) where there is none.
        """
        pipe, rate = self.pipe, self.sample_rate
        rows: list[torch.Tensor] = []
        vectors: list[torch.Tensor] = []
        for job in jobs:
            begin, end = pipe.encode_duration(job.start / rate, job.end / rate, pipe._execution_device, False, 1)
            text = self._embedded(job.text, job.negative, guided=guided)
            extra = text.new_zeros(1, 0, text.shape[2]) if job.tokens is None else job.tokens[None].to(text)
            row = torch.cat([text[-1:], extra, begin, end], 1)
            if guided and job.negative is not None:
                row = torch.cat([torch.cat([text[:1], torch.zeros_like(extra), begin, end], 1), row])
            elif guided:
                row = torch.cat([torch.zeros_like(row), row])
            rows.append(row)
            vectors.append(torch.cat([begin, end], 2).expand(len(row), -1, -1))
        sides = range(len(rows[0]))
        words, times = (torch.cat([one[k : k + 1] for k in sides for one in every]) for every in (rows, vectors))
        return words, times

    def _embedded(self, text: str, negative: str | None, *, guided: bool) -> torch.Tensor:
        """Return the projected text, `[1, L, D]`, or `[2, L, D]` with the negative prompt first."""
        embed = partial(self.pipe.encode_prompt, text, self.pipe._execution_device, guided, negative)
        made: torch.Tensor = self._once((text, negative, guided), embed)
        return made
