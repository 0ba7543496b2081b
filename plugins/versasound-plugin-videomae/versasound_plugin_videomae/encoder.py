"""The encoder `videomae`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from versasound_core.vision import Pretrained, Settings
from versasound_core.weights import checkpoint, own_card

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from versasound_core.containers import VideoClip, VisualFeatures
    from versasound_core.context import Precision, RunContext
    from versasound_core.vision import VideoEncoder


class VideoMaeEncoder:
    """Looks at windows of 16 frames with VideoMAE; variants with a Kinetics head say which sounds the actions make.

    Args:
        variant: Name of the weights on the card.
        weights: A local folder with a checkpoint, in place of the variant's repository.
        fps: Features per second.
        temporal_pooling: `attention`, `avg`, `max` or `none`.
        spatial_pooling: `avg` or `max`; VideoMAE has no class token.
        feature_dim: Length of a feature vector; None for the model's own.
        projection: The folder of a trained projection, which has its own `feature_dim`.
        input_size: Side of the square that the model sees; only the checkpoint's own will do.
        batch_size: Windows computed at a time.
        labels: How many sounds to name; 0 names none.
    """

    def __init__(  # noqa: PLR0913  (the options of the card)
        self,
        *,
        variant: str,
        weights: str | Path | None,
        fps: float,
        temporal_pooling: str,
        spatial_pooling: str,
        feature_dim: int | None,
        projection: str | Path | None,
        input_size: int | None,
        batch_size: int,
        labels: int,
    ) -> None:
        from .backbone import build

        settings = Settings(
            fps=fps,
            temporal_pooling=temporal_pooling,
            spatial_pooling=spatial_pooling,
            feature_dim=feature_dim,
            projection=projection,
            batch_size=batch_size,
            labels=labels,
        )
        wanted = checkpoint(own_card(__file__, "encoder", "videomae"), "encoder", "videomae", variant)
        how = partial(build, variant=variant, input_size=input_size)
        self._model = Pretrained(wanted, weights, settings, how)

    def encode(self, clip: VideoClip, ctx: RunContext) -> VisualFeatures:
        """Return `[B, T, D]` at `fps`, and labels; see `versasound_core.vision.VideoEncoder.encode`.

        Raises:
            ModelLoadError: The weights are missing or unusable.
            InvalidInputError: The clip is none, or has one channel.
            Cancelled: The user asked to stop.
        """
        return self._model.encode(clip, ctx)

    def module(
        self,
        device: str | torch.device = "auto",
        precision: Precision = "fp32",
        *,
        pretrained: bool = True,
        freeze: bool = True,
        gradient_checkpointing: bool = False,
    ) -> VideoEncoder:
        """Return a `torch.nn.Module` over `[B, T, 3, H, W]`; see `versasound_core.vision.Pretrained.module`."""
        return self._model.module(
            device,
            precision,
            pretrained=pretrained,
            freeze=freeze,
            gradient_checkpointing=gradient_checkpointing,
        )
