"""How containers travel to a worker and back: plain values, and every tensor in one safetensors file in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import safetensors.torch
import torch

from versasound_core.containers import (
    Alignment,
    AudioData,
    EventTrack,
    EventView,
    GenerationRequest,
    VideoClip,
    VisualFeatures,
)
from versasound_core.errors import InvalidInputError
from versasound_core.media.probe import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Parcel = tuple[Any, list[bytes]]
_CONTAINERS: dict[str, type] = {
    cls.__name__: cls for cls in (Alignment, AudioData, EventTrack, EventView, GenerationRequest, VisualFeatures)
}
_PLAIN: tuple[type[Any], ...] = (bool, int, float, str, bytes)
_PIECE = 2**28  # execnet counts the bytes of one value in 31 bits


def pack(value: Any) -> Parcel:  # noqa: ANN401
    """Return plain values that stand for `value`, and the bytes of its tensors in pieces.

    Args:
        value: A container, or plain values with containers and tensors among them.

    Raises:
        InvalidInputError: If something in it is of a kind that does not travel.
    """
    tensors: dict[str, torch.Tensor] = {}
    plain = _pack(value, tensors)
    raw = safetensors.torch.save(tensors)
    return plain, [raw[at : at + _PIECE] for at in range(0, len(raw), _PIECE)]


def unpack(plain: Any, pieces: Sequence[bytes]) -> Any:  # noqa: ANN401
    """Return what was packed, its tensors bit for bit the same and on the devices that they came from."""
    return _unpack(plain, safetensors.torch.load(b"".join(pieces)))


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:  # noqa: ANN401, PLR0911  (one line a kind)
    def all_of(values: Iterable[Any]) -> list[Any]:
        return [_pack(one, tensors) for one in values]

    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, torch.Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        tensor = torch.as_tensor(value).detach()
        name = str(len(tensors))
        tensors[name] = tensor.to("cpu", copy=True).contiguous()
        return kind, name, str(tensor.device)
    if isinstance(value, VideoClip):
        if value.path:
            return "video", str(value.path), value.width * value.height
        return "frames", all_of([value.source]), float(value.fps), float(value.start_s)
    if type(value).__name__ in _CONTAINERS:
        fields = {field.alias: getattr(value, field.name) for field in attrs.fields(type(value)) if field.init}
        return "container", type(value).__name__, [[key, _pack(one, tensors)] for key, one in fields.items()]
    if isinstance(value, Mapping):
        return "mapping", [[_pack(key, tensors), _pack(one, tensors)] for key, one in value.items()]
    if isinstance(value, list):
        return all_of(value)
    if isinstance(value, tuple):
        return "tuple", all_of(value)
    if isinstance(value, Path):
        return "path", str(value)
    plain = next((kind for kind in _PLAIN if isinstance(value, kind)), None)
    if plain is not None:  # what derives from it, such as a value of an enum, arrives as it
        return plain(value)
    if value is None:
        return None
    raise InvalidInputError(f"{type(value).__name__} {value!r:.60} cannot be passed between environments.")


def _unpack(plain: Any, tensors: Mapping[str, torch.Tensor]) -> Any:  # noqa: ANN401, PLR0911
    if isinstance(plain, list):
        return [_unpack(one, tensors) for one in plain]
    if not isinstance(plain, tuple):
        return plain
    kind, *rest = plain
    if kind == "tensor":
        return tensors[rest[0]].to(rest[1])
    if kind == "array":
        return tensors[rest[0]].numpy()
    if kind == "video":
        return VideoClip.open(rest[0], max_pixels=max(MAX_PIXELS, rest[1]))
    if kind == "frames":
        return VideoClip(_unpack(rest[0], tensors)[0], rest[1], rest[2])
    if kind == "container":
        return _CONTAINERS[rest[0]](**{key: _unpack(one, tensors) for key, one in rest[1]})
    if kind == "mapping":
        return {_unpack(key, tensors): _unpack(one, tensors) for key, one in rest[0]}
    if kind == "tuple":
        return tuple(_unpack(rest[0], tensors))
    return Path(rest[0])
