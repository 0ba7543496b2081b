"""A projection that learns with its adapter, is loaded by the encoder, and what cannot learn."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from safetensors.torch import load_file
from versasound_plugin_training import VersaSoundTrainer, VideoAudioDataset

from versasound_core import registry
from versasound_core.adapters import load_adapter
from versasound_core.containers import GenerationRequest, VideoClip
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError
from versasound_core.vision.projection import projection

pytest.importorskip("diffusers", reason="diffusers, with which the generators come, is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
pytest.importorskip("versasound_plugin_clip", reason="the encoder whose projection is taught is not installed")

TRAINING = {
    "train": "projection",
    "width": 16,
    "num_layers": 1,
    "num_heads": 2,
    "num_tokens": 4,
    "warmup_steps": 1,
    "schedule": "constant",
    "sample_every_steps": 1,
    "log_every_steps": 1,
    "drop_all": 0.0,
    "workers": 0,
}
WIDTH = 6
POOLED = {"labels": 0, "spatial_pooling": "avg", "temporal_pooling": "attention"}


def trainer(encoder="clip", options=None, progress=None, cancel=None, **training):
    told = {"backbone": encoder, "feature_dim": WIDTH, "options": {"labels": 0, **(options or {})}}
    return VersaSoundTrainer(
        told,
        {"default_model": "audioldm2"},
        "cpu",
        training={**TRAINING, **training},
        progress=progress,
        cancel=cancel,
    )


def seen(**options):
    """Features of a scene, pooled as a configuration does where it says nothing."""
    encoder = registry.create("encoder", "clip", **POOLED, **options)
    return encoder.encode(VideoClip.open("videos/scene_000000.mp4"), RunContext())


def losses(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [(row["step"], row["loss"], row["grad_norm"]) for row in csv.DictReader(file)]


@pytest.fixture
def dataset(folder, tiny_hub):
    for repository in ("cvssp/audioldm2", "openai/clip-vit-base-patch32"):
        tiny_hub.add(repository)
    return VideoAudioDataset("videos", "audio", duration_s=0.5, prompts="labels.csv")


def test_it_learns_and_the_encoder_and_its_adapter_use_it_together(folder, dataset, recwarn):
    path = trainer().train(dataset, 2, 3, 1e-2)
    assert sorted(file.name for file in path.iterdir()) == [
        f"{kind}.{suffix}" for kind in ("adapter", "projection") for suffix in ("json", "safetensors")
    ]
    own = seen()
    weight = load_file(path / "projection.safetensors")["weight"]
    first = projection(own.get_feature_dim(), WIDTH).weight.detach()
    assert weight.shape == first.shape
    assert 1e-4 < (weight - first).abs().max() < 0.1  # AdamW moves a weight by the learning rate at most, in a step
    projected = seen(projection=str(path))
    torch.testing.assert_close(projected.features, own.features @ weight.T)
    assert not [warning for warning in recwarn if "nothing has trained" in str(warning.message)]
    told = json.loads((path / "projection.json").read_text())
    assert (told["encoder"], told["encoder_variant"], told["training"]["steps"]) == ("clip", "vit-b-32", 2)
    assert (told["feature_dim"], told["projected_dim"]) == (own.get_feature_dim(), WIDTH)
    assert load_adapter(path).facts.feature_dim == WIDTH
    request = GenerationRequest(duration_s=0.5, sample_rate=16000, num_inference_steps=2)
    generator = registry.create("generator", "audioldm2", adapter=str(path), timing="none")
    assert torch.isfinite(generator.generate(projected, request, RunContext()).waveform).all()
    with pytest.raises(InvalidInputError, match=rf"trained on features \[B, T, {WIDTH}\]"):
        generator.generate(own, request, RunContext())


def test_what_the_adapter_was_shown_is_what_the_encoder_gives_later(dataset):
    """The tokens of the network that learned are those of the two halves, as they are loaded."""
    from versasound_plugin_training.lessons.projection import ProjectedResampler

    from versasound_core.adapters import adapter_inputs
    from versasound_core.vision.projection import load_projection

    path = trainer().train(dataset, 1, 3, 1e-2)
    adapter, (_, layer) = load_adapter(path), load_projection(path)
    with torch.no_grad():
        whole = ProjectedResampler(layer, adapter.network)(*adapter_inputs(seen()))
    torch.testing.assert_close(adapter.tokens(seen(projection=str(path))), whole, rtol=1e-4, atol=1e-5)


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(folder, dataset):
    trainer().train(dataset, 4, 3, 1e-2, output_dir="whole")
    token = CancelToken()

    def stop(fraction, message):
        if message.startswith("step 2 of"):
            token.cancel()

    with pytest.raises(Cancelled):
        trainer(progress=stop, cancel=token).train(dataset, 4, 3, 1e-2, output_dir="stopped")
    assert len(losses(folder / "stopped")) < 4
    with pytest.raises(InvalidInputError, match="is of another run: feature_dim was 6 and is 7"):
        trainer(options={"feature_dim": 7}).train(dataset, 4, 3, 1e-2, output_dir="stopped")
    trainer().train(dataset, 4, 3, 1e-2, output_dir="stopped")
    assert losses(folder / "stopped") == losses(folder / "whole")
    for name in ("projection", "adapter"):
        one, other = (load_file(folder / run / "projection" / f"{name}.safetensors") for run in ("whole", "stopped"))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_features_in_the_cache_are_of_the_projection_as_it_is_now(folder, dataset, tmp_path):
    from versasound_core.pipeline import Pipeline
    from versasound_core.recipe import Recipe

    def features(path):
        recipe = Recipe(encoder="clip", encoder_options={"projection": str(path), **POOLED}, aligner=None, refiner=None)
        pipeline = Pipeline(recipe, ctx=RunContext(cache_dir=tmp_path / "features"))
        return pipeline.encode(VideoClip.open("videos/scene_000000.mp4")).features

    path = trainer().train(dataset, 1, 3, 1e-2)
    first = features(path)
    trainer().train(dataset, 2, 3, 1e-2)  # goes on, and writes the same folder
    weight = load_file(path / "projection.safetensors")["weight"]
    assert not torch.equal(features(path), first)
    torch.testing.assert_close(features(path), seen().features @ weight.T)


def test_a_projection_to_the_encoders_own_width_begins_as_none(dataset):
    own = seen().get_feature_dim()
    path = trainer(options={"feature_dim": own}).train(dataset, 1, 3, 0.0)
    assert torch.equal(load_file(path / "projection.safetensors")["weight"], torch.eye(own))


def test_what_has_no_projection_to_train_is_refused():
    with pytest.raises(InvalidInputError, match="the encoder motion has no projection"):
        VersaSoundTrainer({"backbone": "motion"}, {"default_model": "audioldm2"}, "cpu", training=TRAINING)
    with pytest.raises(InvalidInputError, match="is trained already"):
        trainer(options={"projection": "some/where"})
    with pytest.raises(InvalidInputError, match=r"needs to know its width.*visual_encoder\.feature_dim"):
        trainer(options={"feature_dim": None})
