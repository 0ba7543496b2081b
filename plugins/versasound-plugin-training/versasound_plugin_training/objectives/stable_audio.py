"""Stable Audio's own loss: the error of the diffusion transformer at one random noise level an item.

Stable Audio Open (Evans et al. 2024), with the preconditioning that its scheduler computes (Karras et al. 2022).
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .draw import Draw


_REACH = 12  # latents that the autoencoder's convolutions reach to either side


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
        self._latents = int(pipe.transformer.config.in_channels)
        self._angles = math.atan(pipe.scheduler.config.sigma_min), math.atan(pipe.scheduler.config.sigma_max)
        self._silence: torch.Tensor | None = None
        self._texts: dict[str, torch.Tensor] = {}

    @classmethod
    def load(cls, folder: Path) -> StableAudioObjective:
        """Read a checkpoint in the pipeline's format, in fp32."""
        from diffusers import StableAudioPipeline

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, about how diffusers makes its convolutions
            return cls(StableAudioPipeline.from_pretrained(folder, dtype=torch.float32))

    @torch.no_grad()
    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return latents `[B, c, L]` of the whole window, which is what the model makes; silence follows the sound.

        Of the silence only what the sound can reach is encoded: what comes after is the same again and again.
        """
        vae, hop, size = self.pipe.vae, int(self.pipe.vae.hop_length), int(self.pipe.transformer.config.sample_size)
        own = min(size, -(-waveform.shape[2] // hop) + _REACH)
        sound = functional.pad(waveform, (0, own * hop - waveform.shape[2]))
        latents: torch.Tensor = vae.encode(sound).latent_dist.mode()
        if self._silence is None:
            nothing = torch.zeros(1, self.channels, (2 * _REACH + 1) * hop, device=waveform.device)
            self._silence = vae.encode(nothing).latent_dist.mode()[..., _REACH : _REACH + 1]
        rest = self._silence.expand(len(latents), -1, size - latents.shape[2])
        return torch.cat([latents, rest], 2)

    @torch.no_grad()
    def said(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the projected text, `[B, L, D]`; each text is embedded once."""
        device = next(self.predictor.parameters()).device
        for text in set(texts) - set(self._texts):
            self._texts[text] = self.pipe.encode_prompt(text, device, do_classifier_free_guidance=False)
        said: torch.Tensor = torch.cat([self._texts[text] for text in texts])
        return said

    def loss(  # noqa: PLR0913, PLR0917
        self,
        encoded: torch.Tensor,
        tokens: torch.Tensor,
        texts: Sequence[str],
        seconds: float,
        heard: torch.Tensor,
        draw: Draw,
    ) -> torch.Tensor:
        """Return the loss of each item, `[B]`; see `Objective`."""
        begin = torch.zeros(len(encoded), device=encoded.device)
        return self.loss_at(encoded, tokens, self.said(texts), heard, (begin, begin + seconds), draw)

    def loss_at(  # noqa: PLR0913, PLR0917
        self,
        latents: torch.Tensor,
        tokens: torch.Tensor,
        text: torch.Tensor,
        heard: torch.Tensor,
        span_s: tuple[torch.Tensor, torch.Tensor],
        draw: Draw,
    ) -> torch.Tensor:
        """Return the loss of each item for text that is embedded already and begins and ends in seconds, `[B]` each."""
        scheduler = self.pipe.scheduler
        share, noise = draw.uniform(len(latents)), draw.normal(*latents.shape)
        # Evenly spread over the angle between signal and noise, from where the sampler ends to where it begins.
        least, most = self._angles
        sigma = torch.tan(least + share * (most - least))[:, None, None]
        noisy = latents + sigma * noise
        one, none = torch.ones_like(sigma), torch.zeros_like(sigma)
        kept = scheduler.precondition_outputs(one, none, sigma)
        made = scheduler.precondition_outputs(none, one, sigma)
        target = (latents - kept * noisy) / made
        predicted: torch.Tensor = self.predict(
            scheduler.precondition_inputs(noisy, sigma),
            scheduler.precondition_noise(sigma[:, 0, 0]),
            *self.condition(tokens, text, heard, span_s),
        )
        error: torch.Tensor = predicted.float() - target
        return error.square().mean((1, 2))

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

    @torch.no_grad()
    def sample(self, tokens: torch.Tensor, texts: Sequence[str], seconds: float, draw: Draw) -> torch.Tensor:
        """Return sounds `[B, C, T]`; see `Objective`."""
        size = self.pipe.transformer.config.sample_size
        latents = self.denoised(tokens, self.said(texts), draw.normal(len(tokens), self._latents, size), seconds)
        made: torch.Tensor = self.pipe.vae.decode(latents).sample
        return made[..., : round(seconds * self.sample_rate)]

    @torch.no_grad()
    def denoised(  # noqa: PLR0913, PLR0917
        self,
        tokens: torch.Tensor,
        text: torch.Tensor,
        latents: torch.Tensor,
        seconds: float,
        heard: torch.Tensor | None = None,
        steps: int = 50,
        guidance: float = 3.0,
    ) -> torch.Tensor:
        """Turn noise `[B, c, L]` into latents, by DDIM (Song et al. 2021) over the angle between signal and noise."""
        device, count = latents.device, len(latents)
        scheduler = self.pipe.scheduler
        if heard is None:
            heard = torch.ones(count, 2, dtype=torch.bool, device=device)
        begin = torch.zeros(count, device=device)
        words, times = self.condition(tokens, text, heard, (begin, begin + seconds))
        words, times = torch.cat([torch.zeros_like(words), words]), torch.cat([times, times])
        least, most = self._angles
        angles = [*torch.linspace(most, least, steps).tolist(), 0.0]
        for angle, following in itertools.pairwise(angles):
            sigma = torch.full((1,), math.tan(angle), device=device)
            noisy = latents / math.cos(angle)  # signal 1, noise sigma
            both = scheduler.precondition_inputs(torch.cat([noisy, noisy]), sigma)
            without, with_words = (
                self.predict(both, scheduler.precondition_noise(sigma).expand(2 * count), words, times).float().chunk(2)
            )
            made = without + guidance * (with_words - without)
            clean = scheduler.precondition_outputs(noisy, made, sigma)
            noise = (noisy - clean) / sigma
            latents = math.cos(following) * clean + math.sin(following) * noise
        return latents

    def checkpoint_gradients(self) -> None:
        """Compute the transformer's activations twice to save memory."""
        self.pipe.transformer.enable_gradient_checkpointing()
