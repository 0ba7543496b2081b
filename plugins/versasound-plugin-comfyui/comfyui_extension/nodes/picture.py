"""Nodes that look: pictures or latents in, visual features out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .widgets import FEATURES, Widget, backends

if TYPE_CHECKING:
    import torch

    from comfyui_extension.utils.latent_utils import Latents, Vae
    from versasound_core.containers import VideoClip, VisualFeatures


def look(clip: VideoClip, backbone: str, input_size: int | None, *, known_fps: bool) -> VisualFeatures:
    """Encode a clip with one of the installed encoders, and find its events.

    Args:
        clip: The clip.
        backbone: Name of the encoder.
        input_size: Side of the square that the model sees, for encoders that can choose; None for their own.
        known_fps: Whether the clip's rate is true; if not, its features are later spread over the length of the sound.
    """
    import attrs

    from comfyui_extension.backends import create
    from comfyui_extension.models.clock import assumed
    from versasound_core.context import RunContext
    from versasound_core.device import resolve_device
    from versasound_core.events import detect_events

    ctx = RunContext(device=str(resolve_device("auto")))
    encoder = create("encoder", backbone, {"input_size": input_size})
    features: VisualFeatures = encoder.encode(clip, ctx)
    metadata = {"duration_s": clip.duration_s, **features.metadata}
    if not known_fps:
        metadata = {**assumed(), **metadata}
    return attrs.evolve(features, metadata=metadata, events=features.events or detect_events(clip, ctx))


def clip_of(video: torch.Tensor, fps: float | None) -> VideoClip:
    """Make a clip of pictures `[N, H, W, C]` or clips `[B, T, C, H, W]`, in [0, 1].

    Raises:
        InvalidInputError: Another shape, no pictures, or values out of range.
    """
    import torch

    from comfyui_extension.models.clock import ASSUMED_FPS
    from versasound_core.containers import VideoClip

    if isinstance(video, torch.Tensor) and video.ndim == 4:  # noqa: PLR2004
        video = video[..., :3].movedim(-1, 1)[None].clamp(0, 1)
    return VideoClip.from_tensor(video, fps or ASSUMED_FPS)


class VisualFeatureExtractor:
    """Looks at pictures: what they look like over time, when something strikes, and what it may be."""

    RETURN_TYPES = (FEATURES,)
    RETURN_NAMES = ("visual_features",)
    FUNCTION = "process"
    CATEGORY = "VersaSound"
    DESCRIPTION = "Looks at pictures: what they look like over time, when something strikes, and what it may be."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:  # noqa: N802  (ComfyUI's name)
        """Return the inputs, as ComfyUI asks for them."""
        return {
            "required": {
                "video": ("IMAGE",),
                "backbone": backends("encoder", "videomae"),
                "input_size": ("INT", {"default": 224, "min": 32, "max": 1024, "step": 32}),
            },
            "optional": {
                "fps": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1000.0, "tooltip": "0: as long as the sound."})
            },
        }

    def process(self, **inputs: Any) -> tuple[VisualFeatures]:  # noqa: ANN401  (what ComfyUI gives)
        """Do what `extract` does, for ComfyUI."""
        return (self.extract(**inputs),)

    def extract(
        self, video: torch.Tensor, backbone: str = "videomae", input_size: int = 224, fps: float | None = None
    ) -> VisualFeatures:
        """Return what an encoder sees.

        Args:
            video: Pictures `[N, H, W, C]` as ComfyUI has them, or clips `[B, T, C, H, W]`; of any size, in [0, 1].
            backbone: Name of an installed encoder.
            input_size: Side of the square that the model sees, where it can choose.
            fps: Pictures a second. None or 0: they are spread over the length of the sound that is made of them.

        Raises:
            PluginError: There is no such encoder, or it cannot be used.
            ModelLoadError: Its weights are not on this machine.
            InvalidInputError: Pictures that are none.
        """
        return look(clip_of(video, fps), backbone, input_size, known_fps=bool(fps))


class LatentToVisualFeatures:
    """Decodes latents and looks at the pictures."""

    RETURN_TYPES = (FEATURES,)
    RETURN_NAMES = ("visual_features",)
    FUNCTION = "process"
    CATEGORY = "VersaSound"
    DESCRIPTION = "Decodes latents through a VAE and looks at the pictures."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:  # noqa: N802
        """Return the inputs, as ComfyUI asks for them."""
        rest = VisualFeatureExtractor.INPUT_TYPES()
        required = {"latents": ("LATENT",), "vae": ("VAE",), **rest["required"]}
        del required["video"]
        return {"required": required, "optional": rest["optional"]}

    def process(self, **inputs: Any) -> tuple[VisualFeatures]:  # noqa: ANN401
        """Do what `convert` does, for ComfyUI."""
        return (self.convert(**inputs),)

    def convert(
        self, latents: Latents, vae: Vae, backbone: str = "videomae", input_size: int = 224, fps: float | None = None
    ) -> VisualFeatures:
        """Return what an encoder sees in decoded latents; see `VisualFeatureExtractor.extract`."""
        from comfyui_extension.utils.latent_utils import LatentProcessor

        images = LatentProcessor().decode_latents(latents, vae).float()
        return VisualFeatureExtractor().extract(images, backbone, input_size, fps)
