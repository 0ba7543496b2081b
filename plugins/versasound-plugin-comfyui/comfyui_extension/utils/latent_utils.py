"""Latents of ComfyUI: what they are, and pictures from them through a VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypedDict

import torch

from versasound_core.errors import InvalidInputError

Latents = Mapping[str, Any]
_IMAGE_AXES, _VIDEO_AXES = 4, 5
_FAMILIES = {4: "Stable Diffusion 1, 2 and XL", 16: "Flux, Stable Diffusion 3 and most video models"}


class Vae(Protocol):
    """A VAE as ComfyUI has it."""

    def decode(self, samples: torch.Tensor) -> torch.Tensor:
        """Return `[N, H, W, C]`, or `[B, T, H, W, C]` for video."""
        ...

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return samples of `[N, H, W, 3]`."""
        ...


class LatentInfo(TypedDict):
    """What latents are.

    Attributes:
        shape: `[B, C, H, W]`, or `[B, C, T, H, W]` for video.
        device: Where they lie.
        dtype: Such as `float32`.
        batch_size: Items.
        channels: 4 or 16 in most models.
        num_frames: Latent frames; 1 for pictures.
        height: Latent rows.
        width: Latent columns.
        is_video: Whether there is an axis of time.
        family: Which models have latents of so many channels, in words.
    """

    shape: list[int]
    device: str
    dtype: str
    batch_size: int
    channels: int
    num_frames: int
    height: int
    width: int
    is_video: bool
    family: str


class LatentProcessor:
    """Decodes, encodes and describes ComfyUI's LATENT."""

    def decode_latents(self, latents: Latents, vae: Vae) -> torch.Tensor:
        """Return pictures `[N, H, W, C]`; the frames of a video follow one another.

        Raises:
            InvalidInputError: No latents of pictures or video, or a VAE that returns none.
        """
        images = vae.decode(_samples(latents))
        if images.ndim == _VIDEO_AXES:
            images = images.flatten(0, 1)
        if images.ndim != _IMAGE_AXES:
            raise InvalidInputError(f"the VAE made {list(images.shape)} of the latents; wanted pictures [N, H, W, C].")
        return images

    def encode_to_latents(self, images: torch.Tensor, vae: Vae) -> dict[str, torch.Tensor]:
        """Return ComfyUI's LATENT of pictures `[N, H, W, C]`; an alpha channel is left out.

        Raises:
            InvalidInputError: Pictures of another shape.
        """
        if not isinstance(images, torch.Tensor) or images.ndim != _IMAGE_AXES:
            got = list(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
            raise InvalidInputError(f"images must be [N, H, W, C]; got {got}.")
        return {"samples": vae.encode(images[..., :3])}

    def get_latent_info(self, latents: Latents) -> LatentInfo:
        """Describe latents.

        Raises:
            InvalidInputError: No latents of pictures or video.
        """
        samples = _samples(latents)
        batch, channels, *frames, height, width = samples.shape
        return {
            "shape": list(samples.shape),
            "device": str(samples.device),
            "dtype": str(samples.dtype).removeprefix("torch."),
            "batch_size": batch,
            "channels": channels,
            "num_frames": frames[0] if frames else 1,
            "height": height,
            "width": width,
            "is_video": bool(frames),
            "family": _FAMILIES.get(channels, "unknown"),
        }


def _samples(latents: Latents) -> torch.Tensor:
    samples = latents.get("samples") if isinstance(latents, Mapping) else None
    if not isinstance(samples, torch.Tensor) or samples.ndim not in {_IMAGE_AXES, _VIDEO_AXES} or not samples.numel():
        got = list(samples.shape) if isinstance(samples, torch.Tensor) else type(latents).__name__
        raise InvalidInputError(f'latents must be {{"samples": [B, C, H, W] or [B, C, T, H, W]}}; got {got}.')
    return samples
