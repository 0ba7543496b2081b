"""Stable Audio's own loss: the error of the diffusion transformer at one random noise level an item.

Stable Audio Open (Evans et al. 2024), with the preconditioning that its scheduler computes (Karras et al. 2022).
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class StableAudioObjective:
    """See `Objective`.

    Args:
        pipe: A diffusers `StableAudioPipeline`.
    """

    def __init__(self, pipe: Any) -> None:  # noqa: ANN401  (diffusers is not imported here)
        self.pipe = pipe
        names = ("text_encoder", "vae", "projection_model", "transformer")
        self.modules: dict[str, torch.nn.Module] = {name: getattr(pipe, name) for name in names}
        for module in self.modules.values():
            module.requires_grad_(False).eval()
        self.predictor: torch.nn.Module = pipe.transformer
        self.sample_rate = int(pipe.vae.config.sampling_rate)
        self.channels = int(pipe.vae.config.audio_channels)
        self.token_dim = int(pipe.projection_model.config.conditioning_dim)
        self.longest_s = pipe.transformer.config.sample_size * pipe.vae.hop_length / self.sample_rate
        self._texts: dict[str, torch.Tensor] = {}

    @classmethod
    def load(cls, folder: Path) -> StableAudioObjective:
        """Read a checkpoint in the pipeline's format, in fp32."""
        from diffusers import StableAudioPipeline

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, about how diffusers makes its convolutions
            return cls(StableAudioPipeline.from_pretrained(folder, torch_dtype=torch.float32))

    @torch.no_grad()
    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return latents `[B, c, L]`."""
        latents: torch.Tensor = self.pipe.vae.encode(waveform).latent_dist.mode()
        return latents

    @torch.no_grad()
    def said(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the projected text, `[B, L, D]`; each text is embedded once."""
        device = next(self.predictor.parameters()).device
        for text in set(texts) - set(self._texts):
            self._texts[text] = self.pipe.encode_prompt(text, device, do_classifier_free_guidance=False)
        return torch.cat([self._texts[text] for text in texts])

    def loss(
        self,
        encoded: torch.Tensor,
        tokens: torch.Tensor,
        texts: Sequence[str],
        heard: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the loss of each item, `[B]`; see `Objective`."""
        duration_s = encoded.shape[2] * self.pipe.vae.hop_length / self.sample_rate
        begin = torch.zeros(len(encoded), device=encoded.device)
        return self.loss_at(encoded, tokens, self.said(texts), heard, (begin, begin + duration_s), generator)

    def loss_at(  # noqa: PLR0913, PLR0917
        self,
        latents: torch.Tensor,
        tokens: torch.Tensor,
        text: torch.Tensor,
        heard: torch.Tensor,
        span_s: tuple[torch.Tensor, torch.Tensor],
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the loss of each item for text that is embedded already and begins and ends in seconds, `[B]` each."""
        device, scheduler = latents.device, self.pipe.scheduler
        share = torch.rand(len(latents), generator=generator, device=generator.device).to(device)
        noise = torch.randn(latents.shape, generator=generator, device=generator.device).to(device)
        # Evenly spread over the angle between signal and noise, as far as the sampler begins.
        sigma = torch.tan(share * math.atan(scheduler.config.sigma_max)).clamp_min(1e-4)[:, None, None]
        noisy = latents + sigma * noise
        one, none = torch.ones_like(sigma), torch.zeros_like(sigma)
        kept = scheduler.precondition_outputs(one, none, sigma)
        made = scheduler.precondition_outputs(none, one, sigma)
        target = (latents - kept * noisy) / made
        predicted = self.predict(
            scheduler.precondition_inputs(noisy, sigma),
            scheduler.precondition_noise(sigma[:, 0, 0]),
            *self.condition(tokens, text, heard, span_s),
        )
        return (predicted.float() - target).square().mean((1, 2))

    def condition(
        self,
        tokens: torch.Tensor,
        text: torch.Tensor,
        heard: torch.Tensor,
        span_s: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is attended to, `[B, L, D]`, and the times as one vector, `[B, 1, 2 D]`."""
        times = self.pipe.projection_model(start_seconds=span_s[0], end_seconds=span_s[1])
        first, last = times.seconds_start_hidden_states, times.seconds_end_hidden_states
        says, shows = heard.to(tokens.dtype).T[..., None, None]
        either = (says + shows).clamp(max=1)
        return torch.cat([text * says, tokens * shows, first * either, last * either], 1), torch.cat([first, last], 2)

    def predict(
        self, latents: torch.Tensor, time: torch.Tensor, words: torch.Tensor, times: torch.Tensor
    ) -> torch.Tensor:
        """Return the transformer's output `[B, c, L]`."""
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        turns = get_1d_rotary_pos_embed(
            self.pipe.rotary_embed_dim, latents.shape[2] + 1, use_real=True, repeat_interleave_real=False
        )
        made: torch.Tensor = self.predictor(
            latents,
            time,
            encoder_hidden_states=words,
            global_hidden_states=times,
            rotary_embedding=tuple(turn.to(latents.device) for turn in turns),
            return_dict=False,
        )[0]
        return made
