"""Pictures as a checkpoint wants them, computed on tensors where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch.nn import functional

from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BILINEAR, _BICUBIC = 2, 3  # as PIL, and so every preprocessor_config.json, numbers them
_MODES = {_BILINEAR: "bilinear", _BICUBIC: "bicubic"}
_MOST_ELONGATED = 4
_SLICE_BYTES = 2**26


def _side(size: object) -> tuple[int, int]:
    if isinstance(size, Mapping):
        return int(size["height"]), int(size["width"])
    return int(size), int(size)  # type: ignore[call-overload]  # a whole number, in older files


@attrs.frozen(kw_only=True)
class Preprocess:
    """Resize, crop, scale and normalise.

    Args:
        shortest: Scale the shorter side to this, the longer in proportion; None scales to `size` outright.
        size: Height and width that the model sees.
        mode: `bilinear` or `bicubic`, both with antialiasing, as PIL does them.
        levels: What values are divided by first.
        mean: Subtracted per channel.
        std: Divided by per channel.
    """

    shortest: int | None
    size: tuple[int, int]
    mode: str = "bicubic"
    levels: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], input_size: int | None = None) -> Preprocess:
        """Read the values of a checkpoint's `preprocessor_config.json`.

        Args:
            config: The file's content.
            input_size: Side of the square to make instead; what is cropped stays the same part of the picture.

        Raises:
            InvalidInputError: If it asks for something that is not known here.
        """
        try:
            size = config["size"] if config.get("do_resize", True) else config["crop_size"]
            shortest = None
            if isinstance(size, Mapping) and "shortest_edge" in size:
                shortest = int(size["shortest_edge"])
            elif config.get("do_center_crop") and not isinstance(size, Mapping):
                shortest = int(size)
            crops = config.get("do_center_crop", False) and "crop_size" in config
            seen = _side(config["crop_size"]) if crops else (shortest, shortest) if shortest else _side(size)
            normalises = config.get("do_normalize", True)
            made = cls(
                shortest=shortest,
                size=seen,
                mode=_MODES[config.get("resample", _BICUBIC)],
                levels=round(1 / config.get("rescale_factor", 1 / 255), 6) if config.get("do_rescale", True) else 1.0,
                mean=tuple(config["image_mean"]) if normalises else (0.0, 0.0, 0.0),
                std=tuple(config["image_std"]) if normalises else (1.0, 1.0, 1.0),
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise InvalidInputError(f"preprocessor_config.json cannot be used: {error!r}.") from error
        if input_size is None or made.size == (input_size, input_size):
            return made
        whole = None if shortest is None else round(shortest * input_size / min(seen))
        return attrs.evolve(made, shortest=whole, size=(input_size, input_size))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Turn pictures uint8 `[..., 3, H, W]` into float32 `[..., 3, height, width]` on the same device."""
        flat = images.flatten(0, -4)
        made = torch.cat([self._normalise(self._resize(part)) for part in _slices(flat)])
        return made.reshape(*images.shape[:-3], *made.shape[-3:])

    def fit(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resize pictures that are normalised already, floats `[..., 3, H, W]`, to the size that the model sees."""
        if tuple(pixels.shape[-2:]) == self.size:
            return pixels
        flat = functional.interpolate(
            pixels.flatten(0, -4).float(), size=self.size, mode=self.mode, antialias=True, align_corners=False
        )
        return flat.reshape(*pixels.shape[:-3], *flat.shape[-3:])

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (self.mean, self.std))
        return (images.float() / self.levels - mean) / std

    def _resize(self, images: torch.Tensor) -> torch.Tensor:
        if self.shortest is None:
            return _pil_resize(images, self.size, self.mode)
        height, width = images.shape[-2:]
        short = min(height, width)
        if max(height, width) > _MOST_ELONGATED * short:  # the rest is cropped away, and would fill the memory first
            images = _centre(images, (min(height, _MOST_ELONGATED * short), min(width, _MOST_ELONGATED * short)))
            height, width = images.shape[-2:]
        long = int(self.shortest * max(height, width) / short)
        target = (self.shortest, long) if height <= width else (long, self.shortest)
        return _centre(_pil_resize(images, target, self.mode), self.size)


def _slices(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """Few enough pictures at a time that their float copies take little memory."""
    return iter(torch.split(images, max(1, _SLICE_BYTES // max(1, images[0].numel() * 4))))


def _pil_resize(images: torch.Tensor, size: Sequence[int], mode: str) -> torch.Tensor:
    """Resize as PIL does: along rows, then along columns, rounding to whole levels after each.

    Few values differ from PIL's, by one level of 255, and one in a hundred thousand by two.
    """
    if images.device.type == "cpu":  # where PyTorch works on bytes in this very way, several times faster
        return functional.interpolate(images, size=tuple(size), mode=mode, antialias=True, align_corners=False)
    made = images.float()
    for target in ((images.shape[-2], size[1]), (size[0], size[1])):
        if tuple(made.shape[-2:]) != target:
            made = functional.interpolate(made, size=target, mode=mode, antialias=True, align_corners=False)
            made = made.add_(0.5).floor_().clamp_(0, 255)
    return made


def _centre(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut the middle out; where a picture is smaller, black is added around it."""
    missing = [max(0, want - got) for want, got in zip(size, images.shape[-2:], strict=True)]
    if any(missing):
        (down, across) = missing
        images = functional.pad(images, ((across + 1) // 2, across // 2, (down + 1) // 2, down // 2))
    top, left = ((got - want) // 2 for want, got in zip(size, images.shape[-2:], strict=True))
    return images[..., top : top + size[0], left : left + size[1]]
