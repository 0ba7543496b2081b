"""A recipe: what it refuses, and how a configuration becomes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from versasound_core import Pipeline, Recipe
from versasound_core.config import Config, load_config
from versasound_core.errors import (
    InvalidInputError,
    VersaSoundError,
)

ROLES = {"encoder": "encode", "generator": "generate", "aligner": "estimate", "refiner": "refine"}


class TestRecipe:
    @pytest.mark.parametrize(
        "fields",
        [
            {"sync_strength": 1.5},
            {"sync_strength": float("nan")},
            {"keep_original": "loop"},
            {"sample_rate": 0},
            {"sample_rate": 44100.5},
            {"seed": -1},
            {"seed": 2**63},
            {"original_level_db": float("inf")},
        ],
    )
    def test_refuses_what_no_run_can_do(self, fields: dict) -> None:
        with pytest.raises(InvalidInputError, match=next(iter(fields))):
            Recipe(**fields)

    @pytest.mark.parametrize("role", ROLES)
    def test_an_option_that_no_card_has_is_refused_when_the_pipeline_is_made(self, role: str) -> None:
        with pytest.raises(InvalidInputError, match="loudnes"):
            Pipeline(Recipe(**{f"{role}_options": {"loudnes": 1}}))

    def test_of_a_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_text(
            "visual_encoder: {backbone: motion, options: {fps: 12.5}}\n"
            "audio_generator: {default_model: foley, sample_rate: 44100, options: {material: wood}}\n"
            "temporal_aligner: {sync_method: cross_correlation, sync_strength: 0.25, options: {adaptive: false}}\n"
            "audio_refiner: {denoise_strength: 0.1, normalize: false, options: {target_lufs: -23}}\n"
            "device: {device_type: cpu, precision: bf16}\n"
        )
        recipe = Recipe.from_config(load_config(tmp_path / "config.yaml"))
        assert (recipe.encoder, recipe.generator) == ("motion", "foley")
        assert (recipe.aligner, recipe.refiner) == ("cross_correlation", "mastering")
        assert recipe.encoder_options == {"fps": 12.5}
        assert recipe.generator_options == {"material": "wood"}
        assert recipe.aligner_options == {"adaptive": False}
        # Settings of the section that its backend has as options, and the section's own options.
        assert recipe.refiner_options == {
            "denoise_strength": 0.1,
            "normalize": False,
            "bass_boost": 1.0,
            "treble_boost": 1.0,
            "compression_ratio": 0.7,
            "target_lufs": -23,
        }
        assert (recipe.sample_rate, recipe.sync_strength) == (44100, 0.25)
        assert (recipe.device, recipe.precision) == ("cpu", "bf16")
        Pipeline(recipe)

    def test_of_a_configuration_that_names_what_is_not_there(self) -> None:
        config = Config()
        config.visual_encoder.backbone = "crystal_ball"
        with pytest.raises(VersaSoundError, match="crystal_ball"):
            Recipe.from_config(config)
