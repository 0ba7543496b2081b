"""Any installed generator as a `torch.nn.Module`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast

import attrs
import torch
from torch import nn

from comfyui_extension.backends import create
from versasound_core.containers import AudioData, GenerationRequest, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.device import resolve_device

from .clock import over

if TYPE_CHECKING:
    from versasound_core.contracts import Generator


class UniversalAudioGenerator(nn.Module):
    """Makes sound for features, with any generator that is installed.

    Args:
        model_type: Its name: `audioldm2`, `stable_audio`, `audiocraft`, or any other that `versasound plugins` lists.
        pretrained: Load its weights when it is first called; False is for generators that can be built without.
        visual_feature_dim: Length of the feature vectors that it will be given.
        audio_feature_dim: Width inside of the generator, where it has one to choose.
        device: `auto`, `cuda`, `cuda:N`, `mps` or `cpu`.

    Raises:
        PluginError: There is no such generator, or it cannot be used.
        ModelLoadError: Its weights are not on this machine; says how to fetch them.
        DeviceError: There is no such device.
    """

    def __init__(
        self,
        model_type: str = "audioldm2",
        pretrained: bool = True,
        visual_feature_dim: int = 768,
        audio_feature_dim: int = 1024,
        device: str = "auto",
    ) -> None:
        super().__init__()
        self.model_type, self.visual_feature_dim, self.audio_feature_dim = (
            model_type,
            visual_feature_dim,
            audio_feature_dim,
        )
        wanted = {
            "pretrained": pretrained,
            "visual_feature_dim": visual_feature_dim,
            "audio_feature_dim": audio_feature_dim,
        }
        self._generator = cast("Generator", create("generator", model_type, wanted))
        # Where it computes: it moves with `.to`, as weights do, and is none.
        self.register_buffer("_place", torch.zeros(0, device=resolve_device(device)), persistent=False)

    @torch.no_grad()
    def forward(  # noqa: PLR0913, PLR0917  (as published)
        self,
        visual_features: torch.Tensor | VisualFeatures,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 10.0,
        sample_rate: int = 16000,
        duration: float = 5.0,
        seed: int | None = None,
    ) -> AudioData:
        """Make sound.

        Args:
            visual_features: `[B, T, D]`. A bare tensor says neither what nor when; of `VisualFeatures` the labels and
                the events are heard. What has no times is spread over `duration`.
            prompt: What it should sound like; None leaves it to the picture.
            negative_prompt: What must not be heard.
            num_inference_steps: Diffusion steps, for generators that have them.
            guidance_scale: How closely the prompt is followed, for generators that can say.
            sample_rate: Hz, of the result.
            duration: Seconds.
            seed: The same seed gives the same sound; None draws one, which `metadata["seed"]` tells.

        Returns:
            `[B, C, round(duration * sample_rate)]`.

        Raises:
            InvalidInputError: A value that cannot be used.
            ModelLoadError: The weights are missing or unusable.
        """
        chosen = secrets.randbelow(2**32) if seed is None else seed
        request = GenerationRequest(
            duration_s=duration,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seed=chosen,
            sample_rate=sample_rate,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
        )
        device = cast("torch.Tensor", self._place).device
        features = over(visual_features, duration).to(device)
        audio = self._generator.generate(features, request, RunContext(device=str(device)))
        return attrs.evolve(audio, metadata={**audio.metadata, "seed": chosen})
