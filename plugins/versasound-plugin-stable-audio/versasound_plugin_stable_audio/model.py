"""Stable Audio Open behind the face of a model: text and times to latents of 47 s, and those to sound.

Stable Audio Open (Evans et al. 2024). The parts and their order are those of diffusers' pipeline, whose output this
equals where nothing steers.
"""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.steering import noise_on_axis
from versasound_core.steering.diffusion import denoise, first_step

from .brownian import SharedBrownian
from .coding import decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from versasound_core.steering import Job

_KEPT = 64


def build(
    folder: Path, device: torch.device, dtype: torch.dtype, *, is_compiled: bool, cpu_offload: bool
) -> StableAudio:
    """Load a checkpoint."""
    from diffusers import StableAudioPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, about how diffusers makes its convolutions
        pipe = StableAudioPipeline.from_pretrained(folder, dtype=dtype)
    if cpu_offload and device.type != "cpu":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    return StableAudio(pipe, is_compiled=is_compiled)


class StableAudio:
    """A loaded Stable Audio Open. It always denoises its whole window; only what is heard of it is decoded.

    Args:
        pipe: diffusers' pipeline.
        is_compiled: Whether the transformer is compiled.
    """

    steps: int | None = 100  # the pipeline's own defaults
    guidance = 7.0

    def __init__(self, pipe: Any, *, is_compiled: bool = False) -> None:  # noqa: ANN401
        self.pipe = pipe
        self.sample_rate = int(pipe.vae.config.sampling_rate)
        self.channels = int(pipe.vae.config.audio_channels)
        self.unit = int(pipe.vae.hop_length)
        self.tile = int(pipe.transformer.config.sample_size)
        self.longest = self.tile * self.unit
        self._is_compiled = is_compiled
        self._transformer = torch.compile(pipe.transformer, dynamic=False) if is_compiled else pipe.transformer
        self._texts: OrderedDict[tuple[str, str | None, bool], torch.Tensor] = OrderedDict()

    def size(self, job: Job) -> object:
        """Return where a draft enters, and how many tokens there are: windows are all of one length."""
        return None if job.draft is None else job.strength, None if job.tokens is None else len(job.tokens)

    @torch.no_grad()
    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Return `[n, C, T]`, `T` that of the longest job."""
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        count, longest = len(jobs), max(job.length for job in jobs)
        if self._is_compiled:  # batches of few sizes
            jobs = [*jobs, *[jobs[-1]] * (2 ** math.ceil(math.log2(count)) - count)]
        pipe, scheduler, device = self.pipe, self.pipe.scheduler, self.pipe._execution_device
        guidance = self.guidance if jobs[0].guidance is None else jobs[0].guidance
        words, times = self._said(jobs, guided=guidance > 1)
        scheduler.set_timesteps(jobs[0].steps or self.steps, device=device)
        latents = torch.cat([self._noise(job, words.dtype) for job in jobs]).to(device)
        first = 0
        if jobs[0].draft is not None:
            latents, first = self._begun(jobs, latents)
        else:
            latents = latents * scheduler.init_noise_sigma
        scheduler.noise_sampler = SharedBrownian(jobs, latents, self.unit, scheduler.config)
        turns = get_1d_rotary_pos_embed(
            pipe.rotary_embed_dim, self.tile + times.shape[1], use_real=True, repeat_interleave_real=False
        )
        turns = tuple(turn.to(device) for turn in turns)

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

        latents = denoise(scheduler, predict, latents, first=first, guidance=guidance, tick=tick)
        tick(1.0)
        sounds = torch.cat([decoded(pipe.vae, one, longest).cpu() for one in torch.split(latents[:count], 1)])
        pipe.maybe_free_model_hooks()
        return sounds

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
        """Return the projected text, `[1, L, D]`, or `[2, L, D]` with the negative prompt first. Each is made once."""
        key = (text, negative, guided)
        if key not in self._texts:
            self._texts[key] = self.pipe.encode_prompt(text, self.pipe._execution_device, guided, negative)
            if len(self._texts) > _KEPT:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return self._texts[key]

    def _noise(self, job: Job, dtype: torch.dtype) -> torch.Tensor:
        begin = round(job.start / self.unit)

        def draw(seed: int) -> torch.Tensor:
            shape = (1, self.pipe.transformer.config.in_channels, self.tile)
            return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)

        return noise_on_axis(draw, job.seed, range(begin, begin + self.tile), self.tile)

    def _begun(self, jobs: Sequence[Job], noise: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Return drafts with as much noise as their strength leaves, and the step that goes on from there."""
        scheduler, vae = self.pipe.scheduler, self.pipe.vae
        drafts = [job.draft[None].to(noise) for job in jobs if job.draft is not None]
        begun = torch.cat([encoded(vae, draft, self.tile) for draft in drafts])
        first = first_step(scheduler.sigmas[:-1], jobs[0].strength)
        scheduler.set_begin_index(first)
        return (begun, first) if first == len(scheduler.timesteps) else (begun + noise * scheduler.sigmas[first], first)
