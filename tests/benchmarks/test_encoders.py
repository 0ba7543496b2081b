"""What the encoders cost beyond the models that they run: both timed in one run, on the same batches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from versasound_core import registry

FRAMES, REPEATS = {"cpu": 16, "cuda": 1024}, {"cpu": 2, "cuda": 10}
LOOK = {
    "clip": lambda model, pixels: model.get_image_features(pixels[:, 0]).pooler_output,
    "dinov2": lambda model, pixels: model(pixels[:, 0]).last_hidden_state[:, 0],
    "videomae": lambda model, pixels: model(pixels).last_hidden_state.unflatten(1, (8, -1)).mean(2),
}


def seconds(function: Callable[[], Any], device: str) -> float:
    """The middle time of several runs, after one to warm up."""
    times = []
    for _ in range(REPEATS[device] + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


@torch.inference_mode()
def compare(name: str, device: str, precision: Any) -> dict[str, float]:
    """Time the encoder on prepared frames, and its model on the very batches that the encoder makes of them."""
    module = registry.create("encoder", name).module(device, precision, pretrained=False)
    video = torch.randn(1, FRAMES[device], 3, 224, 224, device=device)
    batches: list[torch.Tensor] = []
    look = module.backbone.look
    module.backbone.look = lambda pixels: (batches.append(pixels.clone()), look(pixels))[1]
    module(video)
    module.backbone.look = look
    model = module.backbone.model
    ours = seconds(lambda: module(video), device)
    theirs = seconds(lambda: [LOOK[name](model, batch) for batch in batches], device)
    pictures = torch.randint(0, 256, (1, FRAMES[device], 3, 360, 640), dtype=torch.uint8, device=device)
    prepared = seconds(lambda: module.backbone.preprocess(pictures), device)
    return {"encoder": ours, "model": theirs, "overhead": ours / theirs - 1, "preparing 640x360": prepared}


@pytest.mark.parametrize("name", ["clip", "dinov2", "videomae"])
def test_overhead(name: str) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip(f"versasound_plugin_{name}", reason=f"versasound-plugin-{name} is not installed")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for precision in ("fp32",) if device == "cpu" else ("fp32", "fp16"):
        found = compare(name, device, precision)
        print(f"\n{name} on {device} in {precision}, {FRAMES[device]} frames:", end=" ")
        print(f"encoder {found['encoder']:.3f} s, model alone {found['model']:.3f} s,", end=" ")
        print(f"overhead {found['overhead']:.1%},", end=" ")
        print(f"preparing 640x360 {found['preparing 640x360']:.3f} s")
        assert found["encoder"] > 0
