"""The one way from a clip to features through a trained backbone, for inference and for training."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any, Self

import attrs
import torch

from versasound_core.batching import Batches
from versasound_core.containers import VideoClip, VisualFeatures
from versasound_core.errors import InvalidInputError

from .pooling import SPATIAL, TEMPORAL, pool_space, pool_time
from .projection import projection
from .sounds import describe
from .windows import neighbours, slide, windowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from versasound_core.context import RunContext

    from .backbone import Backbone

_FRAMES_AT_A_TIME = 1024
_RGB = 3


class UntrainedProjectionWarning(UserWarning):
    """The features were brought to another width by a projection that nothing has trained yet."""


@attrs.frozen(kw_only=True)
class Settings:
    """How features are made; these are the options that every such encoder's card has.

    Args:
        fps: Frames looked at, and features made, per second.
        temporal_pooling: `attention`, `avg`, `max` or `none`; see `pool_time`.
        spatial_pooling: `avg`, `max` or `cls_token`; see `pool_space`.
        feature_dim: Length of a feature vector; None for the backbone's own.
        batch_size: Windows (frames, for image models) computed at a time.
        labels: How many sounds to name; 0 names none.
        projection: Folder of a trained projection, which has a `feature_dim` of its own; None for none.
    """

    fps: float
    temporal_pooling: str
    spatial_pooling: str
    feature_dim: int | None
    batch_size: int
    labels: int
    projection: str | Path | None = None

    def __attrs_post_init__(self) -> None:
        for name, allowed in (("temporal_pooling", TEMPORAL), ("spatial_pooling", SPATIAL)):
            if getattr(self, name) not in allowed:
                raise InvalidInputError(f"{name}={getattr(self, name)!r}: wanted one of {', '.join(allowed)}.")


class VideoEncoder(torch.nn.Module):
    """A backbone, and whatever it takes to get `[B, T, D]` from it: one feature for each frame that is looked at.

    Args:
        backbone: The model.
        settings: How features are made.
        freeze: Leave the backbone's weights as they are, and in evaluation mode, whatever is trained.
        trained: The projection, if one was trained; else it begins as `projection` makes it.

    Raises:
        InvalidInputError: If the backbone does not have this pooling, or the projection is for another width.
    """

    def __init__(
        self, backbone: Backbone, settings: Settings, *, freeze: bool = True, trained: torch.nn.Linear | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.settings = settings
        self.freeze = freeze
        self.own_width = backbone.width(settings.spatial_pooling)
        self.projection, self._is_trained = self._projection(trained), trained is not None
        self._token_width = backbone.width("avg")
        self._batches = Batches(settings.batch_size)
        if freeze:
            self.backbone.requires_grad_(False)
        self.train(False)

    @property
    def note(self) -> str | None:
        """What a user should know of the projection, if there is one that nothing has trained."""
        if self._is_trained or isinstance(self.projection, torch.nn.Identity):
            return None
        return (
            f"Features of {self.own_width} dimensions were brought to {self.projection.out_features} by a projection "
            "that nothing has trained; leave feature_dim empty for the backbone's own."
        )

    def train(self, mode: bool = True) -> Self:
        """Switch training mode; a frozen backbone stays as it is."""
        super().train(mode)
        if self.freeze:
            self.backbone.eval()
        return self

    def forward(self, video: torch.Tensor, return_all_tokens: bool = False) -> torch.Tensor:
        """Encode frames in memory, one feature for each; gradients flow to what is not frozen.

        Args:
            video: `[B, T, 3, H, W]`: pictures (uint8, or floats that all lie in [0, 1]) are resized and normalised as
                the checkpoint wants; other floats are taken as normalised already, and only resized.
            return_all_tokens: Keep the places of the picture apart.

        Returns:
            `[B, T, D]`, or `[B, T, N, D]` with all tokens.

        Raises:
            InvalidInputError: If shape, type or a value is wrong.
        """
        self._warn()
        video = _checked(video)
        is_picture = not video.is_floating_point() or (float(video.min()) >= 0 and float(video.max()) <= 1)
        if is_picture and video.is_floating_point():
            video = (video.detach() * 255).round().to(torch.uint8)
        prepare = self.backbone.preprocess if is_picture else self.backbone.preprocess.fit
        device = next(self.backbone.parameters()).device
        chunks = (prepare(part.to(device)) for part in torch.split(video, self._chunk(video.shape[0]), dim=1))
        pool = (lambda seen: seen.tokens) if return_all_tokens else self._pool
        pooled, _ = self._look(chunks, lambda seen: (pool(seen),), lambda: None)
        return self._finish(pooled, video.shape[1]).movedim(0, 1)

    def encode(self, clip: VideoClip, ctx: RunContext, metadata: dict[str, Any]) -> VisualFeatures:
        """Encode a clip of any length and frame rate, decoding as it goes.

        Frames are chosen by their time: feature `k` is of what is on screen at second `k / fps`.

        Args:
            clip: RGB.
            ctx: Progress and cancellation; the backbone is already on its device.
            metadata: What the plugin adds to the features' own.

        Returns:
            `[B, T, D]` in fp32 on the backbone's device, with `fps` in the metadata; labels, and
            `metadata["labels_per_second"]` (per item, per second), if the backbone has words. No events.

        Raises:
            InvalidInputError: If `clip` is no clip or has one channel.
            DeviceError: If memory runs out on a single window.
            Cancelled: Within a batch of the user's wish.
        """
        self._warn()
        settings = self.settings
        says = settings.labels > 0 and len(self.backbone.sounds) > 0
        total = max(1, _rgb_clip(clip).duration_s * settings.fps)
        done = 0

        def look(seen: Any) -> tuple[torch.Tensor, ...]:  # noqa: ANN401  (a Seen)
            pooled = self._pool(seen)
            if not says:
                return (pooled,)
            return pooled, self.backbone.score(seen).float().expand(-1, pooled.shape[1], -1)

        def pixels() -> Iterator[torch.Tensor]:
            nonlocal done
            for chunk in clip.frames(fps=settings.fps, chunk=self._chunk(clip.batch_size)):
                ctx.check()
                done += len(chunk.times_s)
                yield self.backbone.preprocess(chunk.images.to(ctx.torch_device))

        with torch.inference_mode():
            pooled, scores = self._look(
                pixels(), look, lambda: ctx.report(min(done / total, 1.0), "Looking at the picture")
            )
            features = self._finish(pooled, done).movedim(0, 1)
            said = self._describe(scores, done) if scores is not None else (None, None)
        extra = {} if said[1] is None else {"labels_per_second": said[1]}
        notes = {"notes": [self.note]} if self.note else {}
        made = features.clone()  # an ordinary tensor, that can be trained on
        return VisualFeatures(made, {**metadata, "fps": settings.fps, **extra, **notes}, labels=said[0])

    def _projection(self, trained: torch.nn.Linear | None) -> torch.nn.Linear | torch.nn.Identity:
        wanted = self.settings.feature_dim or self.own_width
        if trained is None:
            return projection(self.own_width, wanted) if wanted != self.own_width else torch.nn.Identity()
        if trained.in_features != self.own_width:
            raise InvalidInputError(
                f"the projection {self.settings.projection} was trained on features of {trained.in_features} "
                f"dimensions; these have {self.own_width}.",
                "Set spatial_pooling and weights as they were when it was trained.",
            )
        return trained

    def _chunk(self, items: int) -> int:
        """Frames decoded and prepared at a time: as many as a batch of windows needs."""
        return max(1, self.settings.batch_size // items) * int(self.backbone.hop)

    def _warn(self) -> None:
        if self.note:
            warnings.warn(self.note, UntrainedProjectionWarning, stacklevel=3)

    def _pool(self, seen: Any) -> torch.Tensor:  # noqa: ANN401
        return pool_space(seen, self.settings.spatial_pooling).float()

    def _look(
        self,
        chunks: Iterable[torch.Tensor],
        function: Callable[[Any], tuple[torch.Tensor, ...]],
        before: Callable[[], None],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Run all windows, and keep what `function` makes of each.

        Returns:
            Its tensors, `[steps of all windows, B, ...]`; the second is None if there is none.
        """
        first = next(self.backbone.parameters())
        grad = contextlib.nullcontext() if not self.freeze else torch.no_grad()

        def run(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
            before()
            with grad:
                return function(self.backbone.look(rows.to(first.dtype)))

        made: list[tuple[torch.Tensor, ...]] = []
        for windows in slide(chunks, self.backbone.window, self.backbone.hop):
            items = windows.shape[1]
            parts = self._batches.run(run, windows.flatten(0, 1))
            made.append(tuple(part.reshape(-1, items, *part.shape[1:]).transpose(1, 2).flatten(0, 1) for part in parts))
        columns = [torch.cat(column) for column in zip(*made, strict=True)]
        return columns[0], columns[1] if len(columns) > 1 else None

    def _known(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        model = self.backbone
        return neighbours(count) if model.window == 1 else windowed(count, model.window, model.hop, model.step)

    def _merge(self, steps: torch.Tensor, count: int, how: str) -> torch.Tensor:
        place, weight = (part.to(steps.device) for part in self._known(count))
        spans = range(0, count, _FRAMES_AT_A_TIME)
        cut = [slice(at, at + _FRAMES_AT_A_TIME) for at in spans]
        return torch.cat([pool_time(steps[place[:, at]], weight[:, at], how) for at in cut])

    def _finish(self, pooled: torch.Tensor, count: int) -> torch.Tensor:
        """Bring `[steps, B, ..., D]` to `[T, B, ..., D]`."""
        merged = self._merge(pooled, count, self.settings.temporal_pooling).float()
        if merged.shape[-1] != self.own_width and not isinstance(self.projection, torch.nn.Identity):
            raise InvalidInputError(
                f"all tokens have {merged.shape[-1]} dimensions, and the projection is for {self.own_width}.",
                "Set spatial_pooling to avg, or leave feature_dim and projection empty.",
            )
        with torch.autocast(merged.device.type, enabled=False):
            made: torch.Tensor = self.projection(merged)
        return made

    def _describe(self, scores: torch.Tensor, count: int) -> tuple[Any, Any]:
        how = "none" if self.backbone.window == 1 else "avg"
        merged = self._merge(scores, count, how)
        return describe(merged, self.backbone.sounds, self.settings.fps, self.settings.labels)


def _checked(video: torch.Tensor) -> torch.Tensor:
    if not isinstance(video, torch.Tensor) or video.ndim != 5:  # noqa: PLR2004
        got = list(video.shape) if isinstance(video, torch.Tensor) else type(video).__name__
        raise InvalidInputError(f"video must be a tensor [B, T, 3, H, W]; got {got}.")
    if video.shape[2] != _RGB:
        raise InvalidInputError(
            f"video [B, T, C, H, W] must have 3 channels; got {list(video.shape)}.",
            "Repeat a gray one: video.expand(-1, -1, 3, -1, -1). Move a last axis: video.movedim(-1, 2).",
        )
    if video.numel() == 0:
        raise InvalidInputError(f"video [B, T, 3, H, W] is empty: {list(video.shape)}.")
    if video.dtype != torch.uint8 and not video.is_floating_point():
        raise InvalidInputError(f"video must be uint8 or floats, not {video.dtype}.")
    if video.is_floating_point() and not bool(torch.isfinite(video).all()):
        raise InvalidInputError("video [B, T, 3, H, W] holds values that are not finite (NaN or infinity).")
    return video


def _rgb_clip(clip: VideoClip) -> VideoClip:
    if not isinstance(clip, VideoClip):
        raise InvalidInputError(
            f"an encoder wants a VideoClip, not {type(clip).__name__}.",
            "VideoClip.open(path) or VideoClip.from_tensor(frames, fps) makes one.",
        )
    if isinstance(clip.source, torch.Tensor) and clip.source.shape[2] != _RGB:
        raise InvalidInputError(
            f"the clip's frames [B, T, C, H, W] must have 3 channels; got {list(clip.source.shape)}.",
            "Repeat a gray one: frames.expand(-1, -1, 3, -1, -1).",
        )
    return clip
