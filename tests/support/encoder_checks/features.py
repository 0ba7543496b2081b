"""What an encoder sees, how it pools, and what learns."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from versasound_core import registry
from versasound_core.containers import VideoClip, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.vision import UntrainedProjectionWarning

from .subject import EXACT, Subject, noise, write_projection, write_video

if TYPE_CHECKING:
    from tiny_hub import TinyHub


class Features(Subject):
    """Features are the model's own, each at its time."""

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

    def test_a_trained_projection_is_what_features_go_through(
        self, tiny_hub: TinyHub, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        folder, layer = write_projection(
            tmp_path / "p", self.name, self.own_variant(), width=self.own_width(), wanted=6
        )
        clip = VideoClip.from_tensor(noise(5, size=self.size), 8)
        own = self.encode(clip)
        for feature_dim in (None, 6):
            seen = self.encode(clip, projection=str(folder), feature_dim=feature_dim)
            torch.testing.assert_close(seen.features, own.features @ layer.weight.detach().T, **EXACT)
            assert "notes" not in seen.metadata
        first, second = (self.make(projection=str(folder)).module("cpu").projection for _ in range(2))
        assert first.weight.requires_grad
        assert first.weight.data_ptr() != second.weight.data_ptr()
        assert not [warning for warning in recwarn if warning.category is UntrainedProjectionWarning]

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
