"""What is missing or wrong, and what is said of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from versasound_core import registry
from versasound_core.containers import VideoClip
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError, ModelLoadError, VersaSoundError

from .subject import Subject, noise, write_projection

if TYPE_CHECKING:
    from tiny_hub import TinyHub

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


class Faults(Subject):
    """What cannot be done is refused, and the message says what helps."""

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

    def test_a_projection_of_something_else_is_refused(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        variant, width = self.own_variant(), self.own_width()
        for encoder, weights in (("motion", variant), (self.name, "gigantic")):
            folder, _ = write_projection(tmp_path / "p", encoder, weights, width=width, wanted=6)
            with pytest.raises(InvalidInputError, match=rf"features of the encoder {encoder} \({weights}\), not of"):
                self.make(projection=str(folder))
        folder, _ = write_projection(tmp_path / "p", self.name, variant, width=width + 1, wanted=6)
        with pytest.raises(InvalidInputError, match=f"features of {width + 1} dimensions; these have {width}"):
            self.make(projection=str(folder)).module("cpu")
        with pytest.raises(InvalidInputError, match="feature_dim=8: .* of 6 dimensions.*set it to 6"):
            self.make(projection=str(folder), feature_dim=8)
        whole = (folder / "projection.safetensors").read_bytes()
        (folder / "projection.safetensors").write_bytes(whole[:-4])
        with pytest.raises(ModelLoadError, match="projection .* cannot be used"):
            self.make(projection=str(folder))
        with pytest.raises(ModelLoadError, match="is no projection: there is no such folder"):
            self.make(projection=str(tmp_path / "none"))

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
