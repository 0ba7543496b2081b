"""The classic nodes, as programs use them."""

import comfyui_extension
import pytest
import torch
from comfyui_extension.nodes import (
    AudioBlender,
    AudioGenerator,
    AudioRefiner,
    LatentToVisualFeatures,
    TemporalSynchronizer,
    VisualFeatureExtractor,
)

from versasound_core.containers import AudioData, VisualFeatures
from versasound_core.errors import InvalidInputError, UnknownBackendError
from versasound_core.media.loudness import measure

PUBLISHED = {
    "VersaSound_VisualFeatureExtractor": "Visual Feature Extractor",
    "VersaSound_AudioGenerator": "Audio Generator",
    "VersaSound_TemporalSynchronizer": "Temporal Synchronizer",
    "VersaSound_AudioRefiner": "Audio Refiner",
    "VersaSound_LatentToVisualFeatures": "Latent to Visual Features",
    "VersaSound_AudioBlender": "Audio Blender",
}


def tone(level=0.1, seconds=1.0, rate=48000, batch=1):
    return AudioData((level * torch.sin(torch.arange(int(seconds * rate)) / 10)).repeat(batch, 1, 1), rate)


@pytest.fixture(scope="module")
def video():
    frames = torch.zeros(24, 60, 80, 3)
    for k in range(24):  # a bar that falls and stops
        frames[k, min(2 * k, 30) : min(2 * k, 30) + 6, 20:60] = 1
    return frames


def test_names():
    assert comfyui_extension.NODE_DISPLAY_NAME_MAPPINGS == PUBLISHED
    assert comfyui_extension.NODE_CLASS_MAPPINGS.keys() == PUBLISHED.keys()


@pytest.mark.parametrize("node", list(comfyui_extension.NODE_CLASS_MAPPINGS.values()))
def test_classic_attributes(node):
    inputs = node.INPUT_TYPES()
    assert node.CATEGORY == "VersaSound"
    assert callable(getattr(node(), node.FUNCTION))
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    for kind, *about in [*inputs["required"].values(), *inputs.get("optional", {}).values()]:
        if isinstance(kind, list):
            assert about[0]["default"] in kind


def test_a_chain_as_comfyui_runs_it(video):
    (seen,) = VisualFeatureExtractor().process(video=video, backbone="motion", input_size=224)
    assert isinstance(seen, VisualFeatures)
    (audio,) = AudioGenerator().process(visual_features=seen, model_type="foley", prompt="", duration=1.0, seed=3)
    assert audio["waveform"].shape == (1, 2, 16000)
    (moved,) = TemporalSynchronizer().process(audio=audio, visual_features=seen, sync_method="cross_correlation")
    (fine,) = AudioRefiner().process(audio=moved, target_lufs=-20.0)
    (both,) = AudioBlender().process(audio_a=fine, audio_b=audio, mode="duck", level_db=-6.0)
    assert both["waveform"].shape == (1, 2, 16000)
    assert both["sample_rate"] == 16000


def test_latents_are_looked_at(video):
    class Vae:
        def decode(self, samples):
            return video[None]

    latents = {"samples": torch.zeros(1, 16, 6, 8, 10)}
    seen = LatentToVisualFeatures().convert(latents, Vae(), backbone="motion", fps=24)
    assert torch.equal(seen.features, VisualFeatureExtractor().extract(video, backbone="motion", fps=24).features)


def test_refined_to_its_loudness():
    made = AudioRefiner().refine(tone(0.01, 3.0), target_lufs=-20.0)
    assert measure(made).integrated_lufs == pytest.approx(-20, abs=0.3)


def test_blend_is_a_sum_at_the_levels_asked_for():
    other = AudioData(0.3 * torch.sin(torch.arange(96000) / 5)[None, None], 48000)
    made = AudioBlender().blend(tone(0.1, 2.0), other, level_db=-20.0)
    assert measure(made).integrated_lufs == pytest.approx(measure(tone(0.1, 2.0)).integrated_lufs, abs=0.3)
    assert AudioBlender().blend(tone(batch=2), tone(rate=16000)).shape == (2, 1, 48000)
    with pytest.raises(InvalidInputError, match="2 sounds and 3"):
        AudioBlender().blend(tone(batch=2), tone(batch=3))


@pytest.mark.parametrize("nothing", [None, {}, 3])
def test_no_sound_is_said(nothing):
    with pytest.raises(InvalidInputError, match="sound track"):
        AudioRefiner().refine(nothing)


def test_unknown_backend(video):
    with pytest.raises(UnknownBackendError, match="Installed: .*motion"):
        VisualFeatureExtractor().extract(video, backbone="nothing")


@pytest.mark.parametrize("pictures", [torch.zeros(0, 4, 4, 3), torch.zeros(4, 4), None])
def test_no_pictures(pictures):
    with pytest.raises(InvalidInputError, match="frames"):
        VisualFeatureExtractor().extract(pictures, backbone="motion")
