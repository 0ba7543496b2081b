"""What the tests of the pipeline share: clips, backends made for one question each, and pipelines of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from versasound_core import Pipeline, Recipe
from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VideoClip, VisualFeatures
from versasound_core.registry import Registry

if TYPE_CHECKING:
    from versasound_core.context import RunContext

RATE = 8000
BARE = {"aligner": None, "refiner": None, "sample_rate": RATE}


def clip_of(seconds: float = 1.0, batch: int = 1, fps: float = 10.0, seed: int = 0) -> VideoClip:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 255, (batch, round(seconds * fps), 3, 16, 24), generator=generator, dtype=torch.uint8)
    return VideoClip.from_tensor(frames, fps)


def seen(clip: VideoClip, *, events: bool = True) -> VisualFeatures:
    count = round(clip.duration_s * 10)
    track = EventTrack(torch.zeros(clip.batch_size, count), 10.0, [[(0.25, 1.0)]] * clip.batch_size)
    return VisualFeatures(torch.zeros(clip.batch_size, count, 2), {"fps": 10.0}, events=track if events else None)


class Eyes:
    """Counts how often it looks."""

    looks = 0

    def __init__(self, **options: Any) -> None:
        self.options = options

    def encode(self, clip, ctx):
        type(self).looks += 1
        return seen(clip)


class Voice:
    """Noise that depends on the seed and the time alone."""

    def generate(self, features, request, ctx):
        waves = [noise_at(request, item) for item in range(features.shape[0])]
        said = [f"from {request.start_s:g} s"]
        return AudioData(torch.stack(waves), request.sample_rate, {"generator": "voice", "notes": said})


def noise_at(request: GenerationRequest, item: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(request.seed_for(item))
    end = round(request.start_s * request.sample_rate) + request.num_samples
    return 0.1 * torch.randn(2, 3 * 60 * RATE, generator=generator)[:, end - request.num_samples : end]


def watched() -> Registry:
    """What is installed, and an encoder and a generator of this module."""
    registry = Registry()
    Eyes.looks = 0
    level = {"type": "float", "default": 1.0, "min": 0, "max": 2, "help": "Some number."}
    registry.register("encoder", "eyes", Eyes, {"summary": "Looks.", "options": {"level": level}})
    registry.register("generator", "voice", Voice)
    return registry


def backend(verb: str, action: Callable[..., Any]) -> type:
    """A class whose `verb` is `action`."""
    return type("Made", (), {verb: lambda _self, *arguments: action(*arguments)})


def returning(**changes: Any) -> Callable[..., Any]:
    def generate(features, request, ctx):
        shape = (changes.get("batch", 1), changes.get("channels", 1), request.num_samples + changes.get("more", 0))
        return AudioData(torch.zeros(shape) + changes.get("value", 0.0), changes.get("rate", request.sample_rate))

    return generate


def pipeline(registry: Registry, ctx: RunContext | None = None, **fields: Any) -> Pipeline:
    return Pipeline(Recipe(**{"encoder": "eyes", "generator": "voice", **BARE, **fields}), ctx, registry)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
