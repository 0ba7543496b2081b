"""AudioLDM 2's own loss: the error of the U-Net at one random step an item, on latents of log-mel spectrograms.

AudioLDM 2: Learning Holistic Audio Generation with Self-supervised Pretraining (Liu et al. 2023); what is predicted is
what its scheduler says, the noise (Ho et al. 2020) or the velocity (Salimans and Ho 2022). The spectrogram is the one
that its vocoder turns back: magnitudes, Slaney's mel bands, natural logarithm.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from versasound_core.errors import ModelLoadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .draw import Draw

_FFT, _FLOOR = 1024, 1e-5
_WINDOW_S = 10.24


class AudioLDM2Objective:
    """See `Objective`.

    Args:
        pipe: A diffusers `AudioLDM2Pipeline`.
    """

    def __init__(self, pipe: Any) -> None:  # noqa: ANN401  (diffusers is not imported here)
        self.pipe = pipe
        names = ("text_encoder", "text_encoder_2", "language_model", "projection_model", "unet", "vae", "vocoder")
        self.modules: dict[str, torch.nn.Module] = {name: getattr(pipe, name) for name in names}
        for module in self.modules.values():
            module.requires_grad_(False).eval()
        self.predictor: torch.nn.Module = pipe.unet
        self.sample_rate = int(pipe.vocoder.config.sampling_rate)
        self.channels = 1
        self.token_dim = int(pipe.text_encoder_2.config.d_model)
        self.longest_s = _WINDOW_S
        self._hop = math.prod(pipe.vocoder.config.upsample_rates)
        self._texts: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        if pipe.scheduler.config.prediction_type not in {"epsilon", "v_prediction"}:
            raise ModelLoadError(f"a scheduler that predicts {pipe.scheduler.config.prediction_type} cannot be taught.")

    @classmethod
    def load(cls, folder: Path) -> AudioLDM2Objective:
        """Read a checkpoint in the pipeline's format, in fp32."""
        from diffusers import AudioLDM2Pipeline
        from transformers import GPT2LMHeadModel

        # Published checkpoints name GPT2Model in their index, which can no longer be generated from.
        language_model = GPT2LMHeadModel.from_pretrained(folder / "language_model", dtype=torch.float32)
        return cls(AudioLDM2Pipeline.from_pretrained(folder, language_model=language_model, dtype=torch.float32))

    @torch.no_grad()
    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return scaled latents `[B, c, frames / 4, bands / 4]`; the length is filled with silence to whole latents."""
        vae = self.pipe.vae
        latents: torch.Tensor = vae.encode(self.log_mel(waveform)[:, None]).latent_dist.mode()
        scale: float = vae.config.scaling_factor
        return latents * scale

    def log_mel(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return `[B, frames, bands]` of sound `[B, 1, T]`."""
        from transformers.audio_utils import mel_filter_bank

        config, scale = self.pipe.vocoder.config, self.pipe.vae_scale_factor
        frames = math.ceil(waveform.shape[2] / self._hop / scale) * scale
        sound = functional.pad(waveform[:, 0], (0, frames * self._hop - waveform.shape[2]))
        window = torch.hann_window(_FFT, device=sound.device)
        spectrum = torch.stft(sound, _FFT, self._hop, window=window, return_complex=True).abs()[..., :frames]
        rate, count = config.sampling_rate, config.model_in_dim
        bands = mel_filter_bank(_FFT // 2 + 1, count, 0.0, rate / 2, rate, "slaney", "slaney")
        mel = torch.from_numpy(bands).float().T.to(sound.device) @ spectrum
        return mel.clamp_min(_FLOOR).log().transpose(1, 2)

    @torch.no_grad()
    def said(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return T5's tokens `[B, L, D]`, which of them count `[B, L]`, and the language model's eight `[B, 8, E]`."""
        device = next(self.predictor.parameters()).device
        for text in set(texts) - set(self._texts):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of transformers, about how diffusers calls it
                words, mask, made = self.pipe.encode_prompt(text, device, 1, False)
            self._texts[text] = words, mask, made
        rows = [self._texts[text] for text in texts]
        longest = max(words.shape[1] for words, _, _ in rows)
        return (
            torch.cat([functional.pad(words, (0, 0, 0, longest - words.shape[1])) for words, _, _ in rows]),
            torch.cat([functional.pad(mask, (0, longest - mask.shape[1])) for _, mask, _ in rows]),
            torch.cat([made for _, _, made in rows]),
        )

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
        scheduler = self.pipe.scheduler
        steps = draw.whole(scheduler.config.num_train_timesteps, len(encoded))
        noise = draw.normal(*encoded.shape)
        noisy = scheduler.add_noise(encoded, noise, steps)
        is_velocity = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(encoded, noise, steps) if is_velocity else noise
        # Of the words that are not heard nothing is left but the empty text's.
        spoken = [text if says else "" for text, says in zip(texts, heard[:, 0].tolist(), strict=True)]
        predicted = self.predict(noisy, steps, tokens, spoken, heard[:, 1])
        return (predicted.float() - target).square().mean((1, 2, 3))

    def predict(
        self,
        latents: torch.Tensor,
        steps: torch.Tensor,
        tokens: torch.Tensor,
        texts: Sequence[str],
        shown: torch.Tensor,
    ) -> torch.Tensor:
        """Return the U-Net's output, with tokens that count where `shown`, bool `[B]`."""
        words, mask, made = self.said(texts)
        mask = torch.cat([mask, shown[:, None].expand(-1, tokens.shape[1]).to(mask)], 1)
        tokens = tokens * shown[:, None, None].to(tokens.dtype)
        result: torch.Tensor = self.predictor(
            latents,
            steps,
            encoder_hidden_states=made,
            encoder_hidden_states_1=torch.cat([words, tokens.to(words.dtype)], 1),
            encoder_attention_mask_1=mask,
            return_dict=False,
        )[0]
        return result

    @torch.no_grad()
    def sample(self, tokens: torch.Tensor, texts: Sequence[str], seconds: float, draw: Draw) -> torch.Tensor:
        """Return sounds `[B, 1, T]`; see `Objective`."""
        scheduler, vae, config = self.pipe.scheduler, self.pipe.vae, self.pipe.vocoder.config
        scale, samples, count = self.pipe.vae_scale_factor, round(seconds * self.sample_rate), len(tokens)
        frames = math.ceil(samples / self._hop / scale)
        shape = (count, self.pipe.unet.config.in_channels, frames, config.model_in_dim // scale)
        scheduler.set_timesteps(50, device=tokens.device)
        latents = draw.normal(*shape) * scheduler.init_noise_sigma
        shown = torch.tensor([False] * count + [True] * count, device=tokens.device)
        for step in scheduler.timesteps:
            both = scheduler.scale_model_input(torch.cat([latents, latents]), step)
            said = [*[""] * count, *texts]
            without, with_words = self.predict(
                both, step.expand(2 * count), torch.cat([tokens, tokens]), said, shown
            ).chunk(2)
            made = without + 3.5 * (with_words - without)
            latents = scheduler.step(made, step, latents).prev_sample
        mel = vae.decode(latents / vae.config.scaling_factor).sample
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            sound: torch.Tensor = self.pipe.mel_spectrogram_to_waveform(mel)
        return sound.reshape(count, 1, -1)[..., :samples].to(tokens.device)

    def checkpoint_gradients(self) -> None:
        """Compute the U-Net's activations twice to save memory."""
        self.pipe.unet.enable_gradient_checkpointing()
