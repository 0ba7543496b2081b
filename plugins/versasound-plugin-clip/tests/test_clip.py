"""CLIP and SigLIP 2 against the transformers models themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from encoder_checks import EXACT, EncoderChecks, noise
from versasound_plugin_clip.events import read_events

from versasound_core import registry
from versasound_core.containers import VideoClip
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError
from versasound_core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tiny_hub import TinyHub

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIGLIP = "google/siglip2-base-patch16-224"


def normalise(frames: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    return (frames.float() / 255 - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


@torch.no_grad()
def embed(snapshot: Path, frames: torch.Tensor) -> torch.Tensor:
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(snapshot).get_image_features(normalise(frames, MEAN, STD)).pooler_output


class TestClip(EncoderChecks):
    name = "clip"
    repository = "openai/clip-vit-base-patch32"
    size = 224
    widths: ClassVar = {"vit-b-32": 512, "vit-b-16": 512, "vit-l-14": 768, "siglip2-b-16": 768}

    def raw(self, snapshot: Path, frames: torch.Tensor) -> torch.Tensor:
        return embed(snapshot, frames)

    @pytest.mark.parametrize("pooling", ["avg", "max"])
    def test_places_are_pooled(self, tiny_hub: TinyHub, pooling: str) -> None:
        from transformers import CLIPModel

        frames = noise(3)
        seen = self.encode(VideoClip.from_tensor(frames, 8), spatial_pooling=pooling, **self.only)
        with torch.no_grad():
            model = CLIPModel.from_pretrained(tiny_hub.add(self.repository))
            places = model.vision_model(normalise(frames[0], MEAN, STD)).last_hidden_state[:, 1:]
        expected = places.mean(1) if pooling == "avg" else places.amax(1)
        torch.testing.assert_close(seen.features[0], expected, **EXACT)

    def test_another_input_size_equals_the_models_own_interpolation(self, tiny_hub: TinyHub) -> None:
        from transformers import CLIPModel

        frames = noise(2, size=256)
        seen = self.encode(VideoClip.from_tensor(frames, 8), input_size=256, **self.only)
        with torch.no_grad():
            model = CLIPModel.from_pretrained(tiny_hub.add(self.repository))
            pixels = normalise(frames[0], MEAN, STD)
            expected = model.get_image_features(pixels, interpolate_pos_encoding=True).pooler_output
        torch.testing.assert_close(seen.features[0], expected, **EXACT)
        with pytest.raises(InvalidInputError, match="multiple of 32"):
            self.encode(VideoClip.from_tensor(frames, 8), input_size=250)

    def test_siglip2_fits_the_same_code(self, tiny_hub: TinyHub) -> None:
        from transformers import SiglipModel

        frames = noise(3)
        snapshot = tiny_hub.add(SIGLIP)
        encoder = registry.create("encoder", "clip", variant="siglip2-b-16")
        seen = encoder.encode(VideoClip.from_tensor(frames, 8), RunContext())
        pixels = normalise(frames[0], (0.5,) * 3, (0.5,) * 3)
        with torch.no_grad():
            expected = SiglipModel.from_pretrained(snapshot).get_image_features(pixels).pooler_output
        torch.testing.assert_close(seen.features[0], expected, **EXACT)
        self.check_labels(seen, 1)

    def test_labels_are_the_zero_shot_scores_of_the_library(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        from transformers import AutoTokenizer, CLIPModel

        snapshot, frames = tiny_hub.add(self.repository), noise(24)
        seen = self.encode(VideoClip.from_tensor(frames, 8), labels=5)
        self.check_labels(seen, 3)
        events = read_events(None)
        with torch.no_grad():
            model, tokenizer = CLIPModel.from_pretrained(snapshot), AutoTokenizer.from_pretrained(snapshot)
            texts = []
            for sentences in events.values():
                words = tokenizer([text.lower() for text in sentences], padding=True, return_tensors="pt")
                each = torch.nn.functional.normalize(model.get_text_features(**words).pooler_output, dim=-1)
                texts.append(torch.nn.functional.normalize(each.mean(0), dim=-1))
            image = torch.nn.functional.normalize(embed(snapshot, frames[0]), dim=-1)
            scores = (image @ torch.stack(texts).T * model.logit_scale.exp()).softmax(-1)
        for labels, expected in [
            (seen.labels[0], scores.mean(0)),
            (seen.metadata["labels_per_second"][0][1], scores[8:16].mean(0)),
        ]:
            values, places = expected.topk(5)
            assert [name for name, _ in labels] == [list(events)[place] for place in places]
            assert [score for _, score in labels] == pytest.approx(values.tolist(), abs=1e-5)

    def test_a_persons_own_events_are_scored(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        own = tmp_path / "mine.yaml"
        own.write_text("events:\n  yodelling: [a person yodelling on a mountain]\n")
        clip = VideoClip.from_tensor(noise(2), 8)
        module = self.make(vocabulary=str(own)).module("cpu")
        assert module.backbone.sounds[-1] == "yodelling"
        assert self.encode(clip, labels=0).labels is None
        for text, words in (("events: 3", "no table"), ("events:\n  x: y", "x"), ("- [", "not YAML")):
            own.write_text(text)
            with pytest.raises(InvalidInputError, match=words):
                self.make(vocabulary=str(own)).module("cpu")

    def test_the_events_are_many_and_foley_knows_most_of_what_it_can_make(self) -> None:
        events = read_events(None)
        assert len(events) >= 300
        vocabulary = Vocabulary.load()
        for name in ("footsteps on gravel", "hammer hitting metal", "rain", "campfire", "ocean waves", "applause"):
            assert name in events
            assert vocabulary.parse(name).sounds

    def test_weights_without_safetensors_on_main_are_found_beside_it(self, empty_hub: TinyHub) -> None:
        main = empty_hub.add("openai/clip-vit-base-patch16")
        (main / "model.safetensors").rename(main / "pytorch_model.bin")
        empty_hub.add("openai/clip-vit-base-patch16", "f" * 40, is_main=False)
        encoder: Any = registry.create("encoder", "clip", variant="vit-b-16")
        assert encoder.encode(VideoClip.from_tensor(noise(2, size=32), 8), RunContext()).shape[1] == 2
