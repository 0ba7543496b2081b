"""DINOv2 and DINOv3 against the transformers models themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from encoder_checks import EXACT, EncoderChecks, noise
from versasound_plugin_dinov2.backbone import sound_table

from versasound_core import registry
from versasound_core.containers import VideoClip
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError, ModelLoadError

if TYPE_CHECKING:
    from tiny_hub import TinyHub

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)


def prepare(frames: torch.Tensor) -> torch.Tensor:
    """The middle 224 of 256 pixels, normalised."""
    return (frames[..., 16:240, 16:240].float() / 255 - MEAN) / STD


class TestDinov2(EncoderChecks):
    name = "dinov2"
    repository = "facebook/dinov2-base-imagenet1k-1-layer"
    size = 256
    widths: ClassVar = {
        **dict.fromkeys(("small", "small-imagenet", "dinov3-small"), 384),
        **dict.fromkeys(("base", "base-imagenet", "dinov3-base"), 768),
        **dict.fromkeys(("large", "large-imagenet", "dinov3-large"), 1024),
    }

    @torch.no_grad()
    def raw(self, snapshot: Path, frames: torch.Tensor) -> torch.Tensor:
        from transformers import Dinov2ForImageClassification

        model = Dinov2ForImageClassification.from_pretrained(snapshot).dinov2
        return torch.cat([model(prepare(part)).pooler_output for part in frames.split(20)])

    @pytest.mark.parametrize("pooling", ["avg", "max"])
    def test_places_are_pooled(self, tiny_hub: TinyHub, pooling: str) -> None:
        from transformers import Dinov2Model

        frames, snapshot = noise(3, size=256), tiny_hub.add("facebook/dinov2-base")
        encoder = registry.create("encoder", "dinov2", variant="base", spatial_pooling=pooling)
        seen = encoder.encode(VideoClip.from_tensor(frames, 8), RunContext())
        with torch.no_grad():
            places = Dinov2Model.from_pretrained(snapshot)(prepare(frames[0])).last_hidden_state[:, 1:]
        expected = places.mean(1) if pooling == "avg" else places.amax(1)
        torch.testing.assert_close(seen.features[0], expected, **EXACT)
        assert seen.labels is None

    @pytest.mark.parametrize("pooling", ["avg", "cls_token"])
    def test_dinov3_fits_the_same_code(self, tiny_hub: TinyHub, pooling: str) -> None:
        from transformers import DINOv3ViTModel

        frames, snapshot = noise(3), tiny_hub.add("facebook/dinov3-vits16-pretrain-lvd1689m")
        encoder = registry.create("encoder", "dinov2", variant="dinov3-small", spatial_pooling=pooling)
        seen = encoder.encode(VideoClip.from_tensor(frames, 8), RunContext())
        with torch.no_grad():
            model = DINOv3ViTModel.from_pretrained(snapshot)
            tokens = model((frames[0].float() / 255 - MEAN) / STD).last_hidden_state
        expected = tokens[:, 5:].mean(1) if pooling == "avg" else tokens[:, 0]
        torch.testing.assert_close(seen.features[0], expected, **EXACT)

    def test_gated_weights_say_so(self, empty_hub: TinyHub) -> None:
        with pytest.raises(
            ModelLoadError, match="Accept its terms on https://huggingface.co/facebook/dinov3"
        ) as caught:
            registry.create("encoder", "dinov2", variant="dinov3-small").module("cpu")
        assert "DINOv3 License" in str(caught.value)

    def test_labels_are_the_classes_of_the_head_by_sound(self, tiny_hub: TinyHub) -> None:
        from transformers import Dinov2ForImageClassification

        frames = noise(16, size=256)
        seen = self.encode(VideoClip.from_tensor(frames, 8))
        self.check_labels(seen, 2)
        with torch.no_grad():
            model = Dinov2ForImageClassification.from_pretrained(tiny_hub.add(self.repository))
            classes = model(prepare(frames[0])).logits.softmax(-1).mean(0)
        scores = dict(seen.labels[0])
        assert scores["dog barking"] == pytest.approx(float(classes[151:269].sum() + classes[273:276].sum()), abs=1e-5)

    def test_the_table_names_each_class_once(self) -> None:
        table = sound_table()
        certain = torch.eye(1000)
        heard = table.gather(certain).sum(-1)
        assert set(heard.tolist()) == {0.0, 1.0}
        assert 500 < int(heard.sum()) < 800
        for number, sound in ((151, "dog barking"), (579, "piano"), (491, "chainsaw"), (978, "ocean waves")):
            assert table.sounds[int(table.gather(certain[number]).argmax())] == sound

    def test_another_input_size_needs_whole_patches(self, tiny_hub: TinyHub) -> None:
        clip = VideoClip.from_tensor(noise(2, size=64), 8)
        assert self.encode(clip, input_size=112).shape == (1, 2, 32)
        with pytest.raises(InvalidInputError, match="multiple of 14"):
            self.encode(clip, input_size=100)
