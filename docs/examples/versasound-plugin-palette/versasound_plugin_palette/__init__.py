"""An encoder that carries its own weights: they lie in the wheel and load on first use."""

from importlib.resources import as_file, files

import torch
from versasound_core import RunContext, VideoClip, VisualFeatures
from versasound_core.errors import ModelLoadError


class PaletteEncoder:
    """Projects an 8 x 8 picture of the clip onto sixteen patterns.

    Args:
        fps: Features per second.
    """

    def __init__(self, *, fps: float) -> None:
        self.fps = fps
        self._basis: torch.Tensor | None = None

    def encode(self, clip: VideoClip, ctx: RunContext) -> VisualFeatures:
        """Return features `[B, T, 16]`."""
        basis = self._weights().to(ctx.device)
        seen = []
        for chunk in clip.frames(size=(8, 8), fps=self.fps):
            seen.append(chunk.images.to(ctx.device).float().div(255).flatten(2) @ basis.T)
            ctx.report(float(chunk.times_s[-1]) / clip.duration_s, "looking at the colours")
        return VisualFeatures(torch.cat(seen, 1), {"backbone": "palette", "fps": self.fps})

    def _weights(self) -> torch.Tensor:
        if self._basis is None:
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                with as_file(files(__package__) / "basis.safetensors") as path:
                    self._basis = load_file(path)["basis"]
            except (OSError, SafetensorError, KeyError) as error:
                raise ModelLoadError(f"the weights of palette cannot be used: {error}.", "Install it again.") from error
        return self._basis
