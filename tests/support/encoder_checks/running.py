"""How an encoder runs: progress, cancelling, memory, no network."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from versasound_core.batching import Batches
from versasound_core.containers import VideoClip
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, DeviceError

from .subject import Subject, noise, write_video

if TYPE_CHECKING:
    from tiny_hub import TinyHub

_LONG = """
import json, resource, sys
from versasound_core import registry
from versasound_core.containers import VideoClip
from versasound_core.context import RunContext
name, *paths = sys.argv[1:]
encoder = registry.create("encoder", name, fps=2.0, batch_size=4)
peaks = []
for path in paths:
    count = encoder.encode(VideoClip.open(path), RunContext()).shape[1]
    peaks.append((count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
print("\\n" + json.dumps(peaks))
"""


class Running(Subject):
    """It can be watched and stopped, and needs no more memory for a longer clip."""

    def test_a_cancelled_encode_stops_within_a_batch(self, tiny_hub: TinyHub) -> None:
        encoder, token = self.make(batch_size=2), CancelToken()
        runs = []

        def count(module: torch.nn.Module, _: Any) -> None:
            if token.cancelled and type(module).__name__.endswith(("Model", "Classification")):
                runs.append(type(module).__name__)

        hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
        told = []

        def progress(fraction: float, message: str) -> None:
            told.append(fraction)
            if 0 < fraction < 1:
                token.cancel()

        try:
            with pytest.raises(Cancelled):
                encoder.encode(
                    VideoClip.from_tensor(noise(400, size=32), 8), RunContext(progress=progress, cancel=token)
                )
        finally:
            hook.remove()
        assert told[-1] < 0.2
        assert len(set(runs)) == len(runs)  # no model ran twice after the wish
        assert encoder.encode(VideoClip.from_tensor(noise(4, size=32), 8), RunContext()).shape[1] == 4

    def test_progress_rises_to_the_end(self, tiny_hub: TinyHub) -> None:
        told: list[float] = []
        ctx = RunContext(progress=lambda fraction, _: told.append(fraction))
        self.encode(VideoClip.from_tensor(noise(90, size=32), 8), ctx, batch_size=2)
        assert told == sorted(told)
        assert told[-1] > 0.8

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module to ask for the peak memory")
    def test_memory_does_not_grow_with_the_clip(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        tiny_hub.add(self.repository)
        paths = []
        for seconds in (30, 300):
            paths.append(tmp_path / f"{seconds}.mkv")
            frames = noise(1, size=32)[0].expand(2 * seconds, -1, -1, -1)
            write_video(paths[-1], frames, [Fraction(k, 2) for k in range(2 * seconds)])
        (few, short), (many, long) = self._program(_LONG, tiny_hub, *map(str, paths))
        assert (few, many) == (60, 600)
        assert long - short < 64 * 1024  # KiB; all frames at the model's size would be 350 MiB

    def test_smaller_batches_when_memory_runs_out(self) -> None:
        sizes = []

        def look(rows: torch.Tensor) -> tuple[torch.Tensor]:
            sizes.append(len(rows))
            if len(rows) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return (rows * 2,)

        batches = Batches(16)
        (made,) = batches.run(look, torch.arange(10))
        assert made.tolist() == list(range(0, 20, 2))
        assert sizes == [10, 8, 4, 2, 2, 2, 2, 2]
        assert batches.limit == 2
        with pytest.raises(DeviceError, match="fp16"):
            Batches(1).run(lambda rows: look(rows.repeat(9)), torch.arange(2))

    @pytest.mark.usefixtures("no_network")
    def test_nothing_goes_over_the_network(self, tiny_hub: TinyHub) -> None:
        assert self.encode(VideoClip.from_tensor(noise(3, size=32), 8)).shape[1] == 3
