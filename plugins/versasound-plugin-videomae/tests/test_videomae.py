"""VideoMAE against the transformers model itself, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from encoder_checks import EXACT, EncoderChecks, noise
from versasound_plugin_videomae.backbone import sound_table

from versasound_core import registry
from versasound_core.containers import VideoClip
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError, ModelLoadError

if TYPE_CHECKING:
    from tiny_hub import TinyHub

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)


@torch.no_grad()
def look(snapshot: Path, frames: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """First frame and mean tokens `[8, D]` of every window, by the plainest means."""
    from transformers import VideoMAEForVideoClassification

    model = VideoMAEForVideoClassification.from_pretrained(snapshot).videomae
    pixels = (frames.float() / 255 - MEAN) / STD
    count = len(pixels)
    if count < 16:
        pixels = torch.cat([pixels, pixels[-1:].repeat(16 - count, 1, 1, 1)])
    begins = list(range(0, max(count, 16) - 15, 8))
    if begins[-1] + 16 < count:
        begins.append(count - 16)
    seen = [model(pixels[None, begin : begin + 16]).last_hidden_state[0] for begin in begins]
    return [(begin, tokens.view(8, 49, -1).mean(1)) for begin, tokens in zip(begins, seen, strict=True)]


def estimates(windows: list[tuple[int, torch.Tensor]], frame: int) -> list[tuple[int, torch.Tensor]]:
    """What the windows say of a frame, each with its frames to the nearer end of the window; the most central first."""
    inside = [(frame - begin, tokens) for begin, tokens in reversed(windows) if 0 <= frame - begin < 16]
    found = [(min(place + 1, 16 - place), tokens[place // 2]) for place, tokens in inside]
    return sorted(found, key=lambda pair: -pair[0])


class TestVideoMae(EncoderChecks):
    name = "videomae"
    repository = "MCG-NJU/videomae-base-finetuned-kinetics"
    size = 224
    widths: ClassVar = {"base": 768, "base-pretrained": 768, "large": 1024, "large-pretrained": 1024}

    def raw(self, snapshot: Path, frames: torch.Tensor) -> torch.Tensor:
        windows = look(snapshot, frames)
        return torch.stack([estimates(windows, frame)[0][1] for frame in range(len(frames))])

    def test_overlapping_windows_are_averaged_by_weight(self, tiny_hub: TinyHub) -> None:
        frames = noise(45)
        seen = self.encode(VideoClip.from_tensor(frames, 8), temporal_pooling="avg")
        windows = look(tiny_hub.add(self.repository), frames[0])
        for frame in range(45):
            found = estimates(windows, frame)
            expected = sum(weight * each for weight, each in found) / sum(weight for weight, _ in found)
            torch.testing.assert_close(seen.features[0, frame], expected, **EXACT)

    def test_attention_weighs_windows_by_likeness(self, tiny_hub: TinyHub) -> None:
        frames = noise(30)
        seen = self.encode(VideoClip.from_tensor(frames, 8))
        windows = look(tiny_hub.add(self.repository), frames[0])
        for frame in range(30):
            found = estimates(windows, frame)
            best = found[0][1]
            weights = [w * torch.exp((torch.cosine_similarity(each, best, dim=0) - 1) / 0.1) for w, each in found]
            expected = sum(w * each for w, (_, each) in zip(weights, found, strict=True)) / sum(weights)
            torch.testing.assert_close(seen.features[0, frame], expected, **EXACT)

    def test_max_takes_the_greatest_over_places(self, tiny_hub: TinyHub) -> None:
        from transformers import VideoMAEForVideoClassification

        frames = noise(16)
        seen = self.encode(VideoClip.from_tensor(frames, 8), spatial_pooling="max")
        with torch.no_grad():
            model = VideoMAEForVideoClassification.from_pretrained(tiny_hub.add(self.repository)).videomae
            tokens = model((frames.float() / 255 - MEAN) / STD).last_hidden_state.view(8, 49, -1)
        torch.testing.assert_close(seen.features[0], tokens.amax(1).repeat_interleave(2, dim=0), **EXACT)

    def test_pretrained_weights_are_used_without_their_decoder(self, tiny_hub: TinyHub) -> None:
        from transformers import VideoMAEForPreTraining

        frames, snapshot = noise(16), tiny_hub.add("MCG-NJU/videomae-base")
        encoder = registry.create("encoder", "videomae", variant="base-pretrained")
        seen = encoder.encode(VideoClip.from_tensor(frames, 8), RunContext())
        with torch.no_grad():
            model = VideoMAEForPreTraining.from_pretrained(snapshot).videomae
            tokens = model((frames.float() / 255 - MEAN) / STD).last_hidden_state.view(8, 49, -1)
        torch.testing.assert_close(seen.features[0], tokens.mean(1).repeat_interleave(2, dim=0), **EXACT)
        assert seen.labels is None

    def test_there_is_no_class_token(self, tiny_hub: TinyHub) -> None:
        with pytest.raises(InvalidInputError, match="avg, max"):
            registry.create("encoder", "videomae", spatial_pooling="cls_token")

    def test_only_its_own_input_size_will_do(self, tiny_hub: TinyHub) -> None:
        assert self.encode(VideoClip.from_tensor(noise(2, size=50), 8), input_size=224).shape[1] == 2
        with pytest.raises(InvalidInputError, match="224 px alone"):
            self.encode(VideoClip.from_tensor(noise(2), 8), input_size=256)

    def test_labels_are_the_classes_of_the_head_by_sound(self, tiny_hub: TinyHub) -> None:
        from transformers import VideoMAEForVideoClassification

        frames = noise(16)
        seen = self.encode(VideoClip.from_tensor(frames, 8))
        self.check_labels(seen, 2)
        with torch.no_grad():
            model = VideoMAEForVideoClassification.from_pretrained(tiny_hub.add(self.repository))
            classes = model((frames.float() / 255 - MEAN) / STD).logits[0].softmax(-1)
        names = {name: number for number, name in model.config.id2label.items()}
        wanted = {"drum kit": "playing drums", "axe hitting wood": "chopping wood", "applause": "applauding"}
        scores = dict(seen.labels[0])
        for sound in wanted.keys() & scores.keys():
            assert scores[sound] == pytest.approx(float(classes[names[wanted[sound]]]), abs=1e-5)
        assert wanted.keys() & scores.keys()

    def test_other_classes_name_no_sounds(self) -> None:
        assert sound_table({0: "LABEL_0", 1: "LABEL_1"}) is None
        table = sound_table({0: "playing piano", 1: "yoga", 2: "playing keyboard"})
        assert table is not None
        assert table.gather(torch.tensor([0.2, 0.5, 0.3])).tolist() == [pytest.approx(0.5)]

    def test_weights_of_an_older_layout_are_not_guessed(self, empty_hub: TinyHub) -> None:
        from safetensors.torch import load_file, save_file

        snapshot = empty_hub.add(self.repository)
        weights = load_file(snapshot / "model.safetensors")
        del weights["videomae.encoder.layer.0.attention.attention.q_bias"]
        save_file(weights, snapshot / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelLoadError, match="weights are missing"):
            registry.create("encoder", "videomae").module("cpu")
