"""Any installed encoder as a `torch.nn.Module`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs
import torch
from torch import nn

from comfyui_extension.backends import create
from comfyui_extension.utils.video_processing import VideoProcessor
from versasound_core.containers import VideoClip, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.device import resolve_device
from versasound_core.errors import InvalidInputError
from versasound_core.events import detect_events
from versasound_core.vision.projection import projection

from .clock import ASSUMED_FPS, assumed

if TYPE_CHECKING:
    from versasound_core.contracts import Encoder

_TRIAL = (1, 8, 3, 64, 64)


class UniversalVisualEncoder(nn.Module):
    """Turns video into features, with any encoder that is installed.

    Args:
        backbone: Its name: `videomae`, `clip`, `dinov2`, or any other that `versasound plugins` lists.
        pretrained: Load its weights; False gives the full architecture random ones, without a download.
        freeze_backbone: Leave the backbone's weights as they are in training.
        feature_dim: Length of a feature vector. A backbone of another width gets a trainable projection.
        temporal_pooling: `attention`, `avg`, `max` or `none`: how what is known of a frame is joined.
        spatial_pooling: `avg`, `max` or `cls_token`: how the places of a picture become one vector.
        device: `auto`, `cuda`, `cuda:N`, `mps` or `cpu`.

    Raises:
        PluginError: There is no such encoder, or it cannot be used.
        ModelLoadError: Its weights are not on this machine; says how to fetch them.
        InvalidInputError: A pooling or a width that it does not have.
        DeviceError: There is no such device.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (as published)
        self,
        backbone: str = "videomae",
        pretrained: bool = True,
        freeze_backbone: bool = True,
        feature_dim: int = 768,
        temporal_pooling: str = "attention",
        spatial_pooling: str = "avg",
        device: str = "auto",
    ) -> None:
        super().__init__()
        self.backbone_name, self.feature_dim = backbone, feature_dim
        wanted = {
            "feature_dim": feature_dim,
            "temporal_pooling": temporal_pooling,
            "spatial_pooling": spatial_pooling,
        }
        encoder = create("encoder", backbone, wanted)
        if hasattr(encoder, "module"):
            self.model = encoder.module(device, pretrained=pretrained, freeze=freeze_backbone)
        else:
            self.model = _Weightless(encoder, backbone, feature_dim).to(resolve_device(device))
        self.eval()

    def forward(
        self, video: torch.Tensor | VideoClip, return_all_tokens: bool = False
    ) -> torch.Tensor | VisualFeatures:
        """Encode a batch of clips.

        Args:
            video: `[B, T, 3, H, W]`: pictures (uint8, or floats in [0, 1]), or floats normalised with ImageNet's
                statistics. Any size will do. A `VideoClip` is taken too, and has true times; a tensor has none, and its
                frames are later spread over the length of their sound.
            return_all_tokens: Keep the places of the picture apart, where the backbone has places.

        Returns:
            `VisualFeatures` with `features` `[B, T, D]` and, outside of training, the events of the frames; with all
            tokens a tensor `[B, T, N, D]`. Gradients flow through either.

        Raises:
            InvalidInputError: The shape, the type or a value is wrong.
        """
        if isinstance(video, VideoClip):
            return self._encoded(video)
        if return_all_tokens:
            return cast("torch.Tensor", self.model(video, return_all_tokens=True))
        features = self.model(video)
        events = None if self.training else detect_events(_clip(video), RunContext())
        return VisualFeatures(features, {"backbone": self.backbone_name, **assumed()}, events=events)

    def _encoded(self, clip: VideoClip) -> VisualFeatures:
        device = next((str(weight.device) for weight in self.parameters()), "cpu")
        ctx = RunContext(device=device)
        features: VisualFeatures = self.model.encode(clip, ctx, {"backbone": self.backbone_name})
        return features if features.events else attrs.evolve(features, events=detect_events(clip, ctx))


class _Weightless(nn.Module):
    """An encoder that is no module, behind the face of one."""

    def __init__(self, encoder: Encoder, name: str, feature_dim: int) -> None:
        super().__init__()
        self._encoder, self._name = encoder, name
        own = self._encoder.encode(VideoClip.from_tensor(torch.zeros(_TRIAL), ASSUMED_FPS), RunContext()).shape[2]
        self.projection = projection(own, feature_dim) if own != feature_dim else nn.Identity()

    def forward(self, video: torch.Tensor, return_all_tokens: bool = False) -> torch.Tensor:
        """Return one feature for each frame, `[B, T, D]`."""
        if return_all_tokens:
            raise InvalidInputError(f"encoder {self._name} keeps no places of the picture apart.")
        seen = self._encoder.encode(_clip(video), RunContext()).features
        place = next((weight.device for weight in self.parameters()), seen.device)
        made = seen.to(place).transpose(1, 2)
        made = nn.functional.interpolate(made, size=video.shape[1], mode="linear", align_corners=False)
        return cast("torch.Tensor", self.projection(made.transpose(1, 2)))

    def encode(self, clip: VideoClip, ctx: RunContext, metadata: dict[str, Any]) -> VisualFeatures:
        """Encode a clip with its true times."""
        seen = self._encoder.encode(clip, ctx)
        place = next((weight.device for weight in self.parameters()), seen.device)
        with torch.no_grad():
            made = self.projection(seen.features.to(place))
        return attrs.evolve(seen, features=made, metadata={**seen.metadata, **metadata})


def _clip(video: torch.Tensor) -> VideoClip:
    """Make a clip of frames; normalised ones become pictures again."""
    if isinstance(video, torch.Tensor) and video.ndim == 5 and video.is_floating_point() and video.numel():  # noqa: PLR2004
        video = video.detach().float().cpu()
        if float(video.min()) < 0 or float(video.max()) > 1:
            pictures = VideoProcessor().denormalize_video(video).clamp(0, 1)
            video = pictures.movedim(-1, 1).reshape(video.shape)
    return VideoClip.from_tensor(video, ASSUMED_FPS)
