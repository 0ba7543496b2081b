"""Video between ComfyUI's form `[N, H, W, C]` in [0, 1] and a model's `[B, T, C, H, W]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from versasound_core.containers import VideoClip
from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_CHUNK = 32


class VideoProcessor:
    """Normalises, resizes and reads video."""

    def normalize_video(
        self,
        video: torch.Tensor,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> torch.Tensor:
        """Return pictures `[N, H, W, C]` in [0, 1] as a model wants them: one clip `[1, N, C, H, W]`, normalised.

        Raises:
            InvalidInputError: Pictures of another shape or type, or a mean and a deviation of other lengths.
        """
        shift, scale = _statistics(mean, std, _pictures(video))
        return ((video - shift) / scale).movedim(-1, 1)[None]

    def denormalize_video(
        self,
        video: torch.Tensor,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> torch.Tensor:
        """Return clips `[B, T, C, H, W]` as pictures `[B * T, H, W, C]`: what `normalize_video` undoes, undone.

        Raises:
            InvalidInputError: A clip of another shape or type, or a mean and a deviation of other lengths.
        """
        if not isinstance(video, torch.Tensor) or video.ndim != 5 or not video.is_floating_point():  # noqa: PLR2004
            raise InvalidInputError(f"a normalised video must be floats [B, T, C, H, W]; got {_what(video)}.")
        pictures = video.flatten(0, 1).movedim(1, -1)
        shift, scale = _statistics(mean, std, pictures)
        return pictures * scale + shift

    def resize_video(
        self, video: torch.Tensor, target_size: tuple[int, int] = (224, 224), interpolation: str = "bilinear"
    ) -> torch.Tensor:
        """Return pictures `[N, H, W, C]` (or clips `[B, T, C, H, W]`) at another height and width, in the same layout.

        Args:
            video: Floats.
            target_size: Height and width in pixels.
            interpolation: `bilinear` or `bicubic` (both antialiased when they shrink), `nearest`, or `area`.

        Raises:
            InvalidInputError: A shape, a size or an interpolation that there is not.
        """
        if interpolation not in {"bilinear", "bicubic", "nearest", "area"}:
            message = f"interpolation must be bilinear, bicubic, nearest or area, not {interpolation!r}."
            raise InvalidInputError(message)
        height, width = (int(side) for side in target_size)
        if height < 1 or width < 1:
            raise InvalidInputError(
                f"target_size must be a height and a width of 1 pixel or more, not {target_size!r}."
            )
        is_clip = isinstance(video, torch.Tensor) and video.ndim == 5  # noqa: PLR2004
        pictures = video.flatten(0, 1) if is_clip else _pictures(video).movedim(-1, 1)
        smooth = interpolation in {"bilinear", "bicubic"}
        made = torch.nn.functional.interpolate(
            pictures,
            size=(height, width),
            mode=interpolation,
            align_corners=False if smooth else None,
            antialias=smooth,
        )
        return made.reshape(*video.shape[:3], height, width) if is_clip else made.movedim(1, -1)

    def extract_frames(
        self, video_path: str | os.PathLike[str], fps: float | None = None, max_frames: int | None = None
    ) -> torch.Tensor:
        """Read frames `[N, H, W, C]` in [0, 1], by their presentation times.

        Args:
            video_path: Anything FFmpeg can read.
            fps: Give what is on screen at every k / fps seconds; by default every frame there is.
            max_frames: Stop after so many; what follows is not decoded.

        Raises:
            MediaError: The file cannot be read.
            InvalidInputError: A rate or a number of frames that makes no sense.
        """
        if max_frames is not None and max_frames < 1:
            raise InvalidInputError(f"max_frames must be 1 or more, not {max_frames!r}.")
        parts: list[torch.Tensor] = []
        count = 0
        for chunk in VideoClip.open(video_path).frames(fps=fps, chunk=min(_CHUNK, max_frames or _CHUNK)):
            parts.append(chunk.images[0])
            count += len(chunk.times_s)
            if max_frames is not None and count >= max_frames:
                break
        return torch.cat(parts)[:max_frames].movedim(1, -1).float() / 255


def _pictures(video: object) -> torch.Tensor:
    if not isinstance(video, torch.Tensor) or video.ndim != 4 or not video.is_floating_point():  # noqa: PLR2004
        raise InvalidInputError(f"a video must be floats [N, H, W, C]; got {_what(video)}.")
    return video


def _statistics(mean: Sequence[float], std: Sequence[float], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    channels = like.shape[-1]
    if len(mean) != channels or len(std) != channels:
        raise InvalidInputError(f"mean and std must have {channels} values, one a channel, not {mean!r} and {std!r}.")
    if min(std) <= 0:
        raise InvalidInputError(f"std must be above 0, not {std!r}.")
    return torch.tensor(mean).to(like), torch.tensor(std).to(like)


def _what(video: object) -> str:
    return f"{video.dtype} {list(video.shape)}" if isinstance(video, torch.Tensor) else type(video).__name__
