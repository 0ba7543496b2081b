"""The encoder that is asked, and what is shown to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import av
import numpy as np
import pytest
import torch

from versasound_core import registry
from versasound_core.containers import VideoClip, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.trained import write_folder
from versasound_core.vision.projection import PROJECTION, ProjectionFacts

if TYPE_CHECKING:
    from tiny_hub import TinyHub

EXACT = {"rtol": 0, "atol": 1e-5}


def noise(frames: int, *, items: int = 1, size: int = 224, seed: int = 0) -> torch.Tensor:
    """Frames uint8 `[B, T, 3, H, W]`, each different."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (items * frames, 3, 8, 8), generator=generator).float()
    fine = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").to(torch.uint8)
    return fine.unflatten(0, (items, frames))


def write_video(path: Path, frames: torch.Tensor, times: list[Fraction]) -> VideoClip:
    """Write frames `[T, 3, H, W]` without loss, each at its own time."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = frames.shape[3], frames.shape[2], "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return VideoClip.open(path)


def write_projection(
    folder: Path, encoder: str, variant: str, *, width: int, wanted: int
) -> tuple[Path, torch.nn.Linear]:
    """Write a projection as training does, with weights of its own."""
    facts = ProjectionFacts(encoder=encoder, encoder_variant=variant, feature_dim=width, projected_dim=wanted)
    layer = facts.network()
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(7))
    return write_folder(folder, PROJECTION, facts, layer), layer


class Subject:
    """An encoder on trained weights, and how it is asked.

    Attributes:
        name: Of the encoder.
        repository: Of its default variant.
        size: Side of frames that the checkpoint only crops, so that pixels can be told exactly.
        widths: Full width of each variant, for the default pooling.
        only: Options that leave each frame's feature as the model gives it.
    """

    name: ClassVar[str]
    repository: ClassVar[str]
    size: ClassVar[int]
    widths: ClassVar[dict[str, int]]
    only: ClassVar[dict[str, Any]] = {"temporal_pooling": "none"}

    @pytest.fixture(autouse=True)
    def weights(self, tiny_hub: TinyHub) -> None:
        tiny_hub.add(self.repository)

    def raw(self, snapshot: Path, frames: torch.Tensor) -> torch.Tensor:
        """What the transformers model itself makes of frames uint8 `[T, 3, size, size]`: `[T, D]`."""
        raise NotImplementedError

    def make(self, **options: Any) -> Any:
        return registry.create("encoder", self.name, **options)

    def encode(self, clip: VideoClip, ctx: RunContext | None = None, **options: Any) -> VisualFeatures:
        return self.make(**options).encode(clip, ctx or RunContext())

    def own_variant(self) -> str:
        """Return the variant that is the default."""
        return str(registry.get("encoder", self.name).card.options["variant"].default)

    def own_width(self) -> int:
        """Return how long a feature vector of the tiny checkpoint is."""
        return int(self.make().module("cpu").own_width)

    def _program(self, code: str, hub: TinyHub, *words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, self.name, *words],
            env={**os.environ, **hub.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])
