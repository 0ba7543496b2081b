"""What Stable Audio Open and Stable Audio 3 have in common: latents that are denoised for a text, and decoded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.steering.diffusion import denoise

from .coding import decoded, hop

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from versasound_core.steering import Job
    from versasound_core.steering.diffusion import Predict

    from .draws import Draws

_KEPT = 64


class LatentAudio(ABC):
    """A loaded pipeline of diffusers behind the face of a model.

    Args:
        pipe: diffusers' pipeline.
        longest: Most latents in a stretch.
        is_compiled: Whether the transformer is compiled.
    """

    steps: int | None
    guidance: float
    varies = False  # whether stretches are of many lengths, which a compiled transformer has to bear

    def __init__(self, pipe: Any, longest: int, *, is_compiled: bool) -> None:  # noqa: ANN401
        self.pipe = pipe
        self.sample_rate = int(pipe.vae.config.sampling_rate)
        self.channels = int(pipe.vae.config.audio_channels)
        self.unit = hop(pipe.vae)
        self.tile = longest
        self.longest = longest * self.unit
        self._is_compiled = is_compiled
        self._transformer = torch.compile(pipe.transformer, dynamic=self.varies) if is_compiled else pipe.transformer
        self._texts: OrderedDict[Hashable, Any] = OrderedDict()

    @abstractmethod
    def size(self, job: Job) -> object:
        """Return a key; jobs whose keys are equal can be made at once."""

    @torch.no_grad()
    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Return `[n, C, T]`, `T` that of the longest job."""
        count, longest = len(jobs), max(job.length for job in jobs)
        if self._is_compiled:  # batches of few sizes
            jobs = [*jobs, *[jobs[-1]] * (2 ** math.ceil(math.log2(count)) - count)]
        guidance = self.guidance if jobs[0].guidance is None else jobs[0].guidance
        predict, dtype = self._predictor(jobs, guided=guidance > 1)
        scheduler, latents, first = self._begun(jobs, dtype)
        latents = denoise(scheduler, predict, latents, first=first, guidance=guidance, tick=tick)
        tick(1.0)
        vae = self.pipe.vae
        sounds = torch.cat([decoded(vae, one, longest).cpu() for one in torch.split(latents[:count], 1)])
        self.pipe.maybe_free_model_hooks()
        return sounds

    @abstractmethod
    def _predictor(self, jobs: Sequence[Job], *, guided: bool) -> tuple[Predict, torch.dtype]:
        """Return what predicts a step, with all that is said to it, and the number format of the latents."""

    @abstractmethod
    def _begun(self, jobs: Sequence[Job], dtype: torch.dtype) -> tuple[Any, torch.Tensor, int]:
        """Return the scheduler with its time steps set, what it starts from, and how many steps are left out."""

    @abstractmethod
    def _draws(self, job: Job) -> Draws:
        """Return what the sampler draws for a stretch."""

    def _noise(self, job: Job, dtype: torch.dtype) -> torch.Tensor:
        return self._draws(job)(dtype)

    def _once(self, key: Hashable, make: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return what was made of a text; it is made once."""
        if key not in self._texts:
            self._texts[key] = make()
            if len(self._texts) > _KEPT:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return self._texts[key]
