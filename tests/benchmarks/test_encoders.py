"""What encoders cost beyond the models that they run, on the same batches, and what half precision costs."""

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
# Of the largest feature: some tens of roundings, each of half a unit in the last place (2^-11 and 2^-8).
BOUND = {"fp16": 2**-6, "bf16": 2**-3}


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device, which half precision is for")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", ["clip", "dinov2", "videomae"])
@torch.inference_mode()
def test_half_precision_is_the_models_own_and_near_full(name: str, precision: Any) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip(f"versasound_plugin_{name}", reason=f"versasound-plugin-{name} is not installed")
    encoder = registry.create("encoder", name, temporal_pooling="none")
    full, half = (encoder.module("cuda", kind, pretrained=False) for kind in ("fp32", precision))
    generator = torch.Generator("cuda").manual_seed(0)
    video = torch.rand(2, 24, 3, 224, 224, device="cuda", generator=generator)
    batches: list[torch.Tensor] = []
    look = half.backbone.look
    half.backbone.look = lambda pixels: (batches.append(pixels), look(pixels))[1]
    seen, exact = half(video), full(video)
    for pixels in batches:
        assert pixels.dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        ours = look(pixels)
        pooled = ours.tokens.mean(2) if ours.summary is None else ours.summary[:, 0]
        assert torch.equal(pooled, LOOK[name](half.backbone.model, pixels))
    assert seen.dtype == torch.float32
    apart = float((seen - exact).abs().max() / exact.abs().max())
    print(f"\n{name} in {precision}: at most {apart:.2e} of the largest feature from fp32")
    assert apart <= BOUND[precision]
