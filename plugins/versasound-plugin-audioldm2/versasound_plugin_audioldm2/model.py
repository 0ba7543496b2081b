"""AudioLDM 2 behind the face of a model: text to mel spectrograms by latent diffusion, and those to sound.

AudioLDM 2: Learning Holistic Audio Generation with Self-supervised Pretraining (Liu et al. 2023). The parts and their
order are those of diffusers' pipeline, whose output this equals where nothing steers.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.errors import InvalidInputError
from versasound_core.steering import noise_on_axis
from versasound_core.steering.diffusion import denoise, first_step

from .mel import log_mel
from .text import Texts, padded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from versasound_core.steering import Job

_BUCKET = 256  # frames: 2.56 s
_STEPS, _GUIDANCE = 200, 3.5  # the pipeline's own defaults


def build(  # noqa: PLR0913  (from where, to where, and the options)
    folder: Path, device: torch.device, dtype: torch.dtype, *, window_s: float, is_compiled: bool, cpu_offload: bool
) -> AudioLDM2:
    """Load a checkpoint."""
    from diffusers import AudioLDM2Pipeline
    from transformers import GPT2LMHeadModel

    # Published checkpoints name GPT2Model in their index, which can no longer be generated from.
    language_model = GPT2LMHeadModel.from_pretrained(folder / "language_model", dtype=dtype)
    pipe = AudioLDM2Pipeline.from_pretrained(folder, language_model=language_model, dtype=dtype)
    if cpu_offload and device.type != "cpu":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    return AudioLDM2(pipe, window_s, is_compiled=is_compiled)


class AudioLDM2:
    """A loaded AudioLDM 2.

    Args:
        pipe: diffusers' pipeline.
        window_s: Longest stretch made at once, seconds.
        is_compiled: Whether the U-Net is compiled, and shapes are kept to a few for it.
    """

    channels = 1
    steps: int | None = _STEPS
    guidance = _GUIDANCE

    def __init__(self, pipe: Any, window_s: float, *, is_compiled: bool = False) -> None:  # noqa: ANN401
        self.pipe = pipe
        self.sample_rate = int(pipe.vocoder.config.sampling_rate)
        self.hop: int = math.prod(pipe.vocoder.config.upsample_rates)
        self.unit = self.hop * pipe.vae_scale_factor
        self.longest = max(1, int(window_s * self.sample_rate) // self.unit) * self.unit
        self._is_compiled = is_compiled
        self._unet = torch.compile(pipe.unet, dynamic=False) if is_compiled else pipe.unet
        self._texts = Texts(pipe)

    def size(self, job: Job) -> object:
        """Return frames, and where a draft enters."""
        return self._frames(job), None if job.draft is None else job.strength

    @torch.no_grad()
    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Return `[n, 1, T]`, `T` at least the longest job, on the CPU."""
        count = len(jobs)
        if self._is_compiled:  # batches of few sizes
            jobs = [*jobs, *[jobs[-1]] * (2 ** math.ceil(math.log2(count)) - count)]
        scheduler, device = self.pipe.scheduler, self.pipe._execution_device
        guidance = self.guidance if jobs[0].guidance is None else jobs[0].guidance
        said = padded(self._texts(jobs, guided=guidance > 1), 64 if self._is_compiled else 1)
        scheduler.set_timesteps(self._allowed(jobs[0].steps or _STEPS), device=device)
        latents = torch.cat([self._noise(job, said.words.dtype) for job in jobs]).to(device)
        first = 0
        if jobs[0].draft is not None:
            latents, first = self._begun(jobs, latents)
        else:
            latents = latents * scheduler.init_noise_sigma

        def predict(both: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self._unet(
                both,
                time,
                encoder_hidden_states=said.generated,
                encoder_hidden_states_1=said.words,
                encoder_attention_mask_1=said.mask,
                return_dict=False,
            )[0]
            return made

        latents = denoise(scheduler, predict, latents, first=first, guidance=guidance, tick=tick)
        tick(1.0)
        sounds = torch.cat([self._decoded(one) for one in torch.split(latents[:count], 1)])  # memory for one at a time
        self.pipe.maybe_free_model_hooks()
        return sounds[:, None]

    def _allowed(self, steps: int) -> int:
        """Return the number of steps; the library takes one or two too many, and stumbles later."""
        most = self.pipe.scheduler.config.num_train_timesteps - self.pipe.scheduler.config.steps_offset
        if steps > most:
            raise InvalidInputError(f"{steps} steps are asked for, and its noise has {most}.", "Ask for 50 to 200.")
        return steps

    def _frames(self, job: Job) -> int:
        """Return frames of the mel spectrogram: a multiple of what a latent stands for."""
        step = _BUCKET if self._is_compiled else int(self.pipe.vae_scale_factor)
        count: int = math.ceil(job.length / self.hop / step)
        return count * step

    def _noise(self, job: Job, dtype: torch.dtype) -> torch.Tensor:
        scale, bands = self.pipe.vae_scale_factor, self.pipe.vocoder.config.model_in_dim
        length, begin = self._frames(job) // scale, round(job.start / self.unit)
        tile = length if begin == 0 and job.end <= self.longest else self.longest // self.unit
        shape = (1, self.pipe.unet.config.in_channels, tile, bands // scale)

        def draw(seed: int) -> torch.Tensor:
            return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)

        return noise_on_axis(draw, job.seed, range(begin, begin + length), tile, axis=2)

    def _begun(self, jobs: Sequence[Job], noise: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Return drafts with as much noise as their strength leaves, and the step that goes on from there."""
        scheduler, vae = self.pipe.scheduler, self.pipe.vae
        frames = self._frames(jobs[0])
        sounds = [job.draft[0] for job in jobs if job.draft is not None]
        mel = torch.stack([log_mel(sound, frames, self.pipe.vocoder.config) for sound in sounds])
        mel = mel[:, None].to(noise)
        encoded = (
            torch.cat([vae.encode(one).latent_dist.mode() for one in torch.split(mel, 1)]) * vae.config.scaling_factor
        )
        kept = scheduler.alphas_cumprod[scheduler.timesteps.cpu().long()]
        first = first_step(((1 - kept) / kept).sqrt(), jobs[0].strength)
        if first == len(scheduler.timesteps):
            return encoded, first
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        times = scheduler.timesteps[first].repeat(len(jobs))
        begun: torch.Tensor = scheduler.add_noise(encoded, noise, times)
        return begun, first

    def _decoded(self, latents: torch.Tensor) -> torch.Tensor:
        vae = self.pipe.vae
        mel = vae.decode(1 / vae.config.scaling_factor * latents).sample
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            sound: torch.Tensor = self.pipe.mel_spectrogram_to_waveform(mel)
        return sound
