"""An encoder's weights: loaded on first use, kept for the next clip, and moved or read anew when the run asks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from versasound_core.context import torch_dtype
from versasound_core.device import resolve_device
from versasound_core.weights import Checkpoint, built, find

from .encoder import Settings, VideoEncoder
from .projection import projection_for

if TYPE_CHECKING:
    import torch

    from versasound_core.containers import VideoClip, VisualFeatures
    from versasound_core.context import Precision, RunContext

    from .backbone import Backbone

Build = Callable[[Path | None], "Backbone"]


class Pretrained:
    """What the encoder classes of the plugins are made of.

    Args:
        wanted: Which weights.
        folder: The user's own folder with them, in place of the hub's cache.
        settings: How features are made.
        build: Makes the backbone in fp32 from a folder with its files, or of its full size with random weights from
            None.

    Raises:
        InvalidInputError: If a trained projection is for another encoder, variant or `feature_dim`.
        ModelLoadError: If it cannot be read.
    """

    def __init__(self, wanted: Checkpoint, folder: str | Path | None, settings: Settings, build: Build) -> None:
        self.wanted = wanted
        self.settings = settings
        self._folder = folder
        self._build = build
        self._kept: tuple[str, VideoEncoder] | None = None
        chosen = settings.projection
        self._projection = (
            None if chosen is None else projection_for(chosen, wanted.backend, wanted.variant, settings.feature_dim)
        )

    def module(
        self,
        device: str | torch.device = "auto",
        precision: Precision = "fp32",
        *,
        pretrained: bool = True,
        freeze: bool = True,
        gradient_checkpointing: bool = False,
    ) -> VideoEncoder:
        """Make a `torch.nn.Module` to call or to train, apart from what `encode` uses.

        Args:
            device: `auto`, or as PyTorch names it.
            precision: Number format of the weights.
            pretrained: False builds the full architecture with random weights, without a download.
            freeze: Leave the backbone as it is, so that only a projection is trained.
            gradient_checkpointing: Compute activations twice to save memory when training.

        Raises:
            ModelLoadError: If the weights are missing or unusable.
            DeviceError: If there is no such device.
        """
        place = resolve_device(device)
        folder = find(self.wanted, self._folder) if pretrained else None
        trained = copy.deepcopy(self._projection)  # whoever trains the module trains its own
        encoder = VideoEncoder(built(self.wanted, folder, self._build), self.settings, freeze=freeze, trained=trained)
        if gradient_checkpointing:
            encoder.backbone.checkpoint_gradients()
        encoder.backbone.to(torch_dtype(precision))  # a projection stays in fp32
        return encoder.to(place)

    def encode(self, clip: VideoClip, ctx: RunContext) -> VisualFeatures:
        """Encode a clip with the weights; see `VideoEncoder.encode`."""
        if self._kept is None or self._kept[0] != ctx.precision:
            self._kept = None  # let go of the old one first
            ctx.report(0.0, f"Loading {self.wanted.repository}")
            self._kept = ctx.precision, self.module(ctx.torch_device, ctx.precision)
        encoder = self._kept[1].to(ctx.torch_device)
        weights = str(self._folder or self.wanted.repository)
        about = {"backbone": self.wanted.backend, "variant": self.wanted.variant, "weights": weights}
        return encoder.encode(clip, ctx, about)
