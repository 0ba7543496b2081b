"""What every encoder on trained weights is held to; the tests of each plugin derive from it."""

from __future__ import annotations

import json
import math
import os
import socket
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
from versasound_core.batching import Batches
from versasound_core.containers import VideoClip, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, DeviceError, InvalidInputError, ModelLoadError, VersaSoundError
from versasound_core.testing import EncoderContract
from versasound_core.vision import UntrainedProjectionWarning

if TYPE_CHECKING:
    from tiny_hub import TinyHub

EXACT = {"rtol": 0, "atol": 1e-5}
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
_WITHOUT_LIBRARY = """
import json, sys
sys.modules["transformers"] = None
from versasound_core import registry
from versasound_core.errors import ModelLoadError
backend = next(b for b in registry.backends("encoder") if b.name == sys.argv[1])
said = [backend.state.value, sorted(backend.card.options), sorted(backend.card.variants)]
try:
    registry.create("encoder", sys.argv[1]).module("cpu", pretrained=False)
except ModelLoadError as error:
    said.append(str(error))
print("\\n" + json.dumps(said))
"""


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


class EncoderChecks(EncoderContract):
    """What the contract asks of every encoder, and what only one on trained weights can be asked.

    Attributes:
        repository: Of its default variant.
        size: Side of frames that the checkpoint only crops, so that pixels can be told exactly.
        widths: Full width of each variant, for the default pooling.
        only: Options that leave each frame's feature as the model gives it.
    """

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

    # What comes out

    @pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 24, 100])
    @pytest.mark.parametrize("items", [1, 3])
    def test_features_are_the_models_own(self, tiny_hub: TinyHub, count: int, items: int) -> None:
        frames = noise(count, items=items, size=self.size)
        seen = self.encode(VideoClip.from_tensor(frames, 24), fps=24.0, **self.only)
        assert seen.shape[:2] == (items, count)
        assert seen.fps == 24
        assert seen.dtype == torch.float32
        snapshot = tiny_hub.add(self.repository)
        for item in range(items):
            torch.testing.assert_close(seen.features[item], self.raw(snapshot, frames[item]), **EXACT)

    @pytest.mark.parametrize("rate", [10.5, 24.0, 29.97, 60.0])
    def test_frames_are_chosen_by_their_time(self, tiny_hub: TinyHub, rate: float) -> None:
        frames = noise(40, size=self.size)
        seen = self.encode(VideoClip.from_tensor(frames, rate), **self.only)
        ticks = math.ceil(round(40 / rate * 8, 4))
        chosen = [min(39, math.floor(tick / 8 * rate + 1e-6)) for tick in range(ticks)]
        expected = self.raw(tiny_hub.add(self.repository), frames[0, chosen])
        torch.testing.assert_close(seen.features[0], expected, **EXACT)

    def test_a_file_of_variable_rate_is_sampled_by_its_times(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        gaps = [1, 3, 10, 2, 2, 2, 30, 5, 7, 1, 1, 20]
        times = [Fraction(sum(gaps[:k]), 40) for k in range(len(gaps))]
        frames = noise(len(gaps), size=self.size)
        clip = write_video(tmp_path / "variable.mkv", frames[0], times)
        seen = self.encode(clip, **self.only)
        ticks = range(math.ceil(round(clip.duration_s * 8, 4)))
        chosen = [max(k for k, time in enumerate(times) if time <= tick / 8 + 0.002) for tick in ticks]
        expected = self.raw(tiny_hub.add(self.repository), frames[0, chosen])
        torch.testing.assert_close(seen.features[0], expected, **EXACT)

    def test_an_event_stays_at_its_second_whatever_the_frame_rate(self, tiny_hub: TinyHub) -> None:
        encoder = self.make()
        all_features = []
        for rate in (12, 24, 60):
            frames = torch.zeros(1, 3 * rate, 3, 64, 64, dtype=torch.uint8)
            frames[:, 2 * rate :] = 200  # the light goes on after two seconds
            all_features.append(encoder.encode(VideoClip.from_tensor(frames, rate), RunContext()).features)
        for features in all_features[1:]:
            torch.testing.assert_close(features, all_features[0], **EXACT)
        change = all_features[0][0].diff(dim=0).norm(dim=-1)
        assert abs(int(change.argmax()) + 1 - 16) <= 1

    def test_a_batch_cut_oddly_equals_its_items(self, tiny_hub: TinyHub) -> None:
        frames = noise(30, items=3, size=90)
        together = self.encode(VideoClip.from_tensor(frames, 12), batch_size=7)
        for item in range(3):
            alone = self.encode(VideoClip.from_tensor(frames[item : item + 1], 12), batch_size=1)
            torch.testing.assert_close(together.features[item : item + 1], alone.features, **EXACT)

    @pytest.mark.parametrize(("height", "width"), [(90, 160), (480, 270), (30, 30), (64, 600)])
    def test_frames_of_any_size_become_what_the_checkpoint_asks_for(
        self, tiny_hub: TinyHub, height: int, width: int
    ) -> None:
        pytest.importorskip("PIL", reason="Pillow, which the library's own processor works with, is not installed")
        from transformers import AutoImageProcessor

        frames = torch.randint(0, 256, (1, 2, 3, height, width), generator=torch.Generator().manual_seed(1))
        module = self.make().module("cpu")
        made = module.backbone.preprocess(frames.to(torch.uint8))
        processor = AutoImageProcessor.from_pretrained(tiny_hub.add(self.repository), backend="pil")
        pictures = [frame.permute(1, 2, 0).numpy().astype(np.uint8) for frame in frames[0]]
        wanted = processor(pictures, return_tensors="pt")["pixel_values"].view_as(made)
        if max(height, width) <= 4 * min(height, width):  # longer ones are cropped first, which shifts the grid
            level = 1.01 / 255 / 0.224
            assert float((made - wanted).abs().max()) <= 2 * level  # the library works on bytes too, and rounds as well
            assert float(((made - wanted).abs() > level).float().mean()) < 1e-4
            assert float((made - wanted).abs().mean()) < 0.0005

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_half_precision_stays_near(self, tiny_hub: TinyHub, precision: Any) -> None:
        clip = VideoClip.from_tensor(noise(8, size=self.size), 8)
        exact = self.encode(clip).features
        half = self.encode(clip, RunContext(precision=precision)).features
        assert half.dtype == torch.float32
        alike = torch.nn.functional.cosine_similarity(exact, half, dim=-1)
        assert float(alike.min()) > (0.999 if precision == "fp16" else 0.99)
        assert not torch.equal(exact, half)

    # Pooling and width

    def test_attention_follows_likeness_and_none_is_the_frames_own(self, tiny_hub: TinyHub) -> None:
        frames = noise(24, size=self.size)
        clip = VideoClip.from_tensor(frames, 8)
        found = {how: self.encode(clip, temporal_pooling=how).features for how in ("attention", "avg", "max", "none")}
        assert {features.shape for features in found.values()} == {found["none"].shape}
        inside = found["attention"] - found["none"], found["avg"] - found["none"]
        assert float(inside[0].norm()) < float(inside[1].norm())  # what is unlike counts less than in the mean
        assert bool((found["max"] >= found["none"] - 1e-6).all())
        assert bool((found["max"] >= found["avg"] - 1e-6).all())

    def test_the_published_example(self, tiny_hub: TinyHub) -> None:
        tiny_hub.add(self.repository)
        encoder = registry.create(
            "encoder", self.name, feature_dim=768, temporal_pooling="attention", spatial_pooling="avg"
        ).module("auto")
        video = torch.randn(1, 24, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with pytest.warns(UntrainedProjectionWarning, match="768"):
            features = encoder(video)
        assert features.shape == torch.Size([1, 24, 768])
        with pytest.warns(UntrainedProjectionWarning):
            tokens = encoder(video[:, :3], return_all_tokens=True)
        assert tokens.shape[:2] == (1, 3)
        assert tokens.shape[3] == 768
        torch.testing.assert_close(encoder.projection.weight.T @ encoder.projection.weight, torch.eye(32))

    def test_all_tokens_average_to_the_features(self, tiny_hub: TinyHub) -> None:
        module = self.make(spatial_pooling="avg", temporal_pooling="none").module("cpu")
        video = noise(5, items=2, size=self.size)
        tokens = module(video, return_all_tokens=True)
        torch.testing.assert_close(tokens.mean(dim=2), module(video), **EXACT)

    def test_frames_in_memory_equal_the_clip(self, tiny_hub: TinyHub) -> None:
        encoder, frames = self.make(fps=24.0), noise(20, size=100)
        seen = encoder.encode(VideoClip.from_tensor(frames, 24), RunContext()).features
        module = encoder.module("cpu")
        torch.testing.assert_close(module(frames), seen, **EXACT)
        torch.testing.assert_close(module(frames.float() / 255), seen, **EXACT)
        normalised = module.backbone.preprocess(frames)
        torch.testing.assert_close(module(normalised), seen, **EXACT)

    # Training

    def test_only_what_is_not_frozen_learns(self, tiny_hub: TinyHub) -> None:
        encoder = self.make(feature_dim=8)
        video = noise(4, size=64)
        frozen = encoder.module("cpu").train()
        with pytest.warns(UntrainedProjectionWarning):
            features = frozen(video)
        features.sum().backward()
        learning = [name for name, weight in frozen.named_parameters() if weight.grad is not None]
        assert learning == ["projection.weight"]
        assert not frozen.backbone.training
        gradients = []
        for spared in (False, True):
            free = encoder.module("cpu", freeze=False, gradient_checkpointing=spared).train()
            with pytest.warns(UntrainedProjectionWarning):
                features = free(video)
            features.square().sum().backward()
            gradients.append({n: w.grad for n, w in free.backbone.named_parameters() if w.grad is not None})
        assert len(gradients[0]) > 10
        assert gradients[0].keys() == gradients[1].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-4)

    def test_the_full_architecture_is_built_without_a_download(self, empty_hub: TinyHub) -> None:
        state = torch.get_rng_state()
        for variant, width in self.widths.items():
            with torch.device("meta"):
                module = registry.create("encoder", self.name, variant=variant)._model._build(None)
            assert module.width(registry.get("encoder", self.name).card.options["spatial_pooling"].default) == width
        assert torch.equal(torch.get_rng_state(), state)

    # Words

    def check_labels(self, seen: VisualFeatures, seconds: int) -> None:
        assert seen.labels is not None
        for item, each_second in zip(seen.labels, seen.metadata["labels_per_second"], strict=True):
            assert len(each_second) == seconds
            for labels in [item, *each_second]:
                scores = [score for _, score in labels]
                assert 1 <= len(labels) <= 5
                assert scores == sorted(scores, reverse=True)
                assert all(0 < score <= 1 for score in scores)

    # Running

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

    def test_nothing_goes_over_the_network(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("a network call")

        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.delenv("HF_HUB_OFFLINE")  # not even when it would be allowed
        assert self.encode(VideoClip.from_tensor(noise(3, size=32), 8)).shape[1] == 3

    # What is missing or wrong

    def test_missing_weights_say_how_to_get_them(self, empty_hub: TinyHub) -> None:
        with pytest.raises(ModelLoadError) as caught:
            registry.create("encoder", self.name).encode(VideoClip.from_tensor(noise(2, size=32), 8), RunContext())
        variant = registry.get("encoder", self.name).card.options["variant"].default
        size = registry.get("encoder", self.name).card.variants[variant]["size_gb"]
        licence = registry.get("encoder", self.name).card.variants[variant]["licence"]
        for part in (self.repository, f"{size} GB", licence, f"versasound pull {self.name}", "encoder motion"):
            assert part in str(caught.value)

    def test_weights_cut_short_say_so(self, empty_hub: TinyHub) -> None:
        snapshot = empty_hub.add(self.repository)
        whole = (snapshot / "model.safetensors").read_bytes()
        (snapshot / "model.safetensors").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelLoadError, match="cannot be used") as caught:
            registry.create("encoder", self.name).module("cpu")
        assert str(snapshot) in str(caught.value)
        (snapshot / "model.safetensors").unlink()
        with pytest.raises(ModelLoadError, match=r"model\.safetensors|\*\.safetensors is missing"):
            registry.create("encoder", self.name).module("cpu")

    def test_a_folder_serves_in_place_of_a_repository(
        self, tiny_hub: TinyHub, empty_hub: TinyHub, tmp_path: Path
    ) -> None:
        snapshot = tiny_hub.add(self.repository)
        frames = VideoClip.from_tensor(noise(3, size=self.size), 8)
        seen = registry.create("encoder", self.name, weights=str(snapshot)).encode(frames, RunContext())
        assert seen.shape[1] == 3
        with pytest.raises(ModelLoadError, match="no folder"):
            registry.create("encoder", self.name, weights=str(tmp_path / "nowhere")).encode(frames, RunContext())
        other = tmp_path / "other"
        other.mkdir()
        (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
        (other / "model.safetensors").touch()
        with pytest.raises(ModelLoadError, match="bert"):
            registry.create("encoder", self.name, weights=str(other)).encode(frames, RunContext())

    @pytest.mark.parametrize(
        ("frames", "words"),
        [
            (torch.zeros(4, 3, 8, 8), "B, T, C, H, W"),
            (torch.full((1, 2, 3, 8, 8), math.nan), "not finite"),
            (torch.zeros(1, 0, 3, 8, 8), "empty"),
            (torch.zeros(1, 2, 3, 0, 0), "empty"),
            (torch.zeros(1, 2, 1, 8, 8), "3 channels"),
            (torch.full((1, 2, 3, 8, 8), 2.0), r"\[0, 1\]"),
        ],
        ids=["rank", "nan", "no frames", "0x0", "one channel", "range"],
    )
    def test_bad_clips_are_refused(self, tiny_hub: TinyHub, frames: torch.Tensor, words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            self.encode(VideoClip.from_tensor(frames, 8))

    @pytest.mark.parametrize(
        ("video", "words"),
        [
            (torch.zeros(4, 3, 8, 8), "B, T, 3, H, W"),
            ([1], "list"),
            (torch.full((1, 2, 3, 8, 8), math.nan), "not finite"),
            (torch.zeros(1, 0, 3, 8, 8), "empty"),
            (torch.zeros(1, 2, 3, 0, 0), "empty"),
            (torch.zeros(1, 2, 1, 8, 8), "3 channels"),
            (torch.zeros(1, 2, 3, 8, 8, dtype=torch.int32), "int32"),
        ],
        ids=["rank", "no tensor", "nan", "no frames", "0x0", "one channel", "type"],
    )
    def test_bad_tensors_are_refused(self, tiny_hub: TinyHub, video: Any, words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            self.make(labels=0).module("cpu")(video)

    @pytest.mark.parametrize(
        "options",
        [{"variant": "gigantic"}, {"fps": 0.0}, {"temporal_pooling": "median"}, {"feature_dim": 0}, {"no_such": 1}],
    )
    def test_bad_options_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(VersaSoundError, match=next(iter(options))):
            registry.create("encoder", self.name, **options)

    def test_no_clip_is_refused(self, tiny_hub: TinyHub) -> None:
        with pytest.raises(InvalidInputError, match="VideoClip, not str"):
            self.make().encode("clip.mp4", RunContext())

    def test_the_card_is_read_without_the_model_library(self, tiny_hub: TinyHub) -> None:
        state, options, variants, said = self._program(_WITHOUT_LIBRARY, tiny_hub)
        assert state == "ready"
        assert {"variant", "fps", "temporal_pooling", "spatial_pooling", "feature_dim"} <= set(options)
        assert set(self.widths) == set(variants)
        assert "transformers" in said
        assert f"pip install -U versasound-plugin-{self.name}" in said

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
