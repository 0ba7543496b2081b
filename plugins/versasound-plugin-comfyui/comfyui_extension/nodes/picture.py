"""Nodes that look: pictures or latents in, visual features out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .widgets import FEATURES, Widget, backends

if TYPE_CHECKING:
    import torch

    from comfyui_extension.utils.latent_utils import Latents, Vae
    from versasound_core.containers import VisualFeatures


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
        from comfyui_extension.backends import create
        from comfyui_extension.looking import clip_of_pictures, look
        from versasound_core.context import RunContext
        from versasound_core.device import resolve_device

        encoder = create("encoder", backbone, {"input_size": input_size})
        ctx = RunContext(device=str(resolve_device("auto")))
        return look(encoder, clip_of_pictures(video, fps), ctx, known_fps=bool(fps))


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
