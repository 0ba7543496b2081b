"""Configurations of the older layouts: read, with one warning that says what to change."""

from __future__ import annotations

import pytest

from versasound_core.config import (
    AudioGeneratorConfig,
    Config,
    ConfigMigrationWarning,
    DeviceConfig,
    VisualEncoderConfig,
    load_config,
    save_config,
)
from versasound_core.config_v1 import MOVES
from versasound_core.errors import InvalidInputError


@pytest.fixture
def load(tmp_path):
    """Load a configuration from a text."""

    def load(text: str | bytes) -> Config:
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path)

    return load


V1 = """
visual_encoder:
  model_name: universal
  backbone_name: videomae_large
  backbone_dim: 1024
  output_dim: 512
  num_heads: 8
  num_temporal_layers: 4
  freeze_backbone: false
  motion_encoder: {enabled: true, dim: 256}
  audio_cue_extractor: {dim: 128}
audio_generator:
  model_name: stable_audio
  visual_dim: 768
  adapter_layers: 4
  use_lora: true
  lora_rank: 8
  generation: {default_sample_rate: 44100, default_duration: null, num_inference_steps: 25, guidance_scale: 3}
  temporal_controller: {enabled: true}
temporal_alignment:
  enabled: true
  sync_method: dtw
  alignment_threshold: 0.5
  allow_time_stretch: true
  max_stretch_ratio: 1.2
  event_detector: {threshold: 0.3}
device: {auto_detect: true, preferred_device: cuda, precision: bf16, use_autocast: false}
memory: {gradient_checkpointing: true, clear_cache_after_generation: false, max_batch_size: 2}
video_processing: {target_fps: 8, target_size: [112, 112]}
audio_processing: {normalization: {enabled: false, target_db: -20}}
checkpoints: {dir: ./checkpoints}
logging: {level: DEBUG, use_tensorboard: true}
"""


class TestOlderLayouts:
    def test_v1_loads_with_one_warning_that_says_what_to_change(self, load):
        with pytest.warns(ConfigMigrationWarning) as caught:
            config = load(V1)
        assert config == Config(
            visual_encoder=VisualEncoderConfig("videomae", 112, 512, freeze_backbone=False),
            audio_generator=AudioGeneratorConfig("stable_audio", 25, 3.0, 44100, None),
            temporal_aligner={"sync_method": "dtw"},
            audio_refiner={"normalize": False},
            memory={"max_batch_size": 2, "clear_cache_after_generation": False, "use_gradient_checkpointing": True},
            device=DeviceConfig("cuda", "bf16", False),
            logging={"level": "DEBUG"},
        )
        assert len(caught) == 1
        assert caught[0].filename == __file__
        head, _, tail = str(caught[0].message).partition("Without successor, ignored:\n")
        assert "mine.yaml" in head
        assert [line.strip() for line in head.splitlines()[1:]] == [
            "visual_encoder.backbone_name -> visual_encoder.backbone: videomae",
            "visual_encoder.output_dim -> visual_encoder.feature_dim",
            "video_processing.target_size -> visual_encoder.input_size: 112",
            "audio_generator.model_name -> audio_generator.default_model",
            "audio_generator.generation.default_sample_rate -> audio_generator.sample_rate",
            "audio_generator.generation.default_duration -> audio_generator.default_duration",
            "audio_generator.generation.num_inference_steps -> audio_generator.num_inference_steps",
            "audio_generator.generation.guidance_scale -> audio_generator.guidance_scale",
            "temporal_alignment.sync_method -> temporal_aligner.sync_method",
            "audio_processing.normalization.enabled -> audio_refiner.normalize",
            "memory.gradient_checkpointing -> memory.use_gradient_checkpointing",
            "device.preferred_device -> device.device_type",
        ]
        assert {line.strip() for line in tail.splitlines()} == {
            "visual_encoder.model_name",
            "visual_encoder.backbone_dim",
            "visual_encoder.num_heads",
            "visual_encoder.num_temporal_layers",
            "visual_encoder.motion_encoder.enabled",
            "visual_encoder.motion_encoder.dim",
            "visual_encoder.audio_cue_extractor.dim",
            "audio_generator.visual_dim",
            "audio_generator.adapter_layers",
            "audio_generator.use_lora",
            "audio_generator.lora_rank",
            "audio_generator.temporal_controller.enabled",
            "temporal_alignment.enabled: True, which is so by itself",
            "temporal_alignment.alignment_threshold",
            "temporal_alignment.allow_time_stretch",
            "temporal_alignment.max_stretch_ratio",
            "temporal_alignment.event_detector.threshold",
            "device.auto_detect",
            "video_processing.target_fps",
            "audio_processing.normalization.target_db",
            "checkpoints.dir",
            "logging.use_tensorboard",
        }

    def test_following_the_advice_ends_the_warning(self, load, tmp_path):
        with pytest.warns(ConfigMigrationWarning):
            config = load(V1)
        save_config(config, tmp_path / "new.yaml")
        assert load_config(tmp_path / "new.yaml") == config

    def test_alignment_switched_off_is_strength_zero(self, load):
        with pytest.warns(
            ConfigMigrationWarning, match=r"temporal_alignment.enabled -> temporal_aligner.sync_strength: 0.0"
        ):
            assert load("temporal_alignment: {enabled: false}").temporal_aligner.sync_strength == 0

    def test_null_was_the_default(self, load):
        text = "device: {preferred_device: null, precision: null}\nvisual_encoder: {output_dim: null}\n"
        with pytest.warns(ConfigMigrationWarning, match=r"device.preferred_device: null, which is so by itself"):
            assert load(text) == Config()

    def test_an_emptied_section_is_not_worth_a_word(self, load):
        assert load("checkpoints: {}\ntemporal_alignment: {event_detector: {}}\n") == Config()

    def test_the_flat_layout(self, load):
        with pytest.warns(ConfigMigrationWarning) as caught:
            config = load(
                "backbone: clip\nmodel_type: foley\ndevice: cuda:1\nprecision: fp32\nnum_inference_steps: 9\n"
            )
        assert len(caught) == 1
        assert config == Config(
            visual_encoder=VisualEncoderConfig("clip"),
            audio_generator=AudioGeneratorConfig("foley", 9),
            device=DeviceConfig("cuda:1", "fp32"),
        )

    def test_a_new_key_beats_its_old_one(self, load):
        with pytest.warns(ConfigMigrationWarning, match="precision, as device.precision is given too"):
            assert load("precision: fp32\ndevice: {precision: bf16}").device.precision == "bf16"

    def test_an_old_value_is_checked_like_a_new_one(self, load):
        with pytest.warns(ConfigMigrationWarning), pytest.raises(InvalidInputError, match="visual_encoder.input_size"):
            load("video_processing: {target_size: [224, 320]}")

    def test_every_move_ends_at_a_key_of_today_and_none_begins_at_one(self):
        today = {section.path(key) for section in Config().values() for key in section}
        assert {move.new for move in MOVES if move.new} <= today
        assert not {move.old for move in MOVES} & today
