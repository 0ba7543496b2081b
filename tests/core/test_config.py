from __future__ import annotations

import subprocess
import sys
import warnings

import attrs
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.config import (
    DEFAULT_CONFIG,
    AudioGeneratorConfig,
    Config,
    ConfigMigrationWarning,
    DeviceConfig,
    VisualEncoderConfig,
    check_against_cards,
    load_config,
    save_config,
    to_yaml,
)
from versasound_core.errors import InvalidInputError, UnknownBackendError
from versasound_core.registry import Registry

PUBLISHED = {
    "visual_encoder": {
        "backbone": "videomae",
        "input_size": 224,
        "feature_dim": 768,
        "temporal_pooling": "attention",
        "spatial_pooling": "avg",
        "freeze_backbone": True,
    },
    "audio_generator": {
        "default_model": "audioldm2",
        "num_inference_steps": 50,
        "guidance_scale": 10.0,
        "sample_rate": 16000,
        "default_duration": 5.0,
    },
    "temporal_aligner": {"hidden_dim": 512, "num_layers": 4, "sync_method": "learned", "sync_strength": 0.5},
    "audio_refiner": {
        "normalize": True,
        "denoise_strength": 0.5,
        "bass_boost": 1.0,
        "treble_boost": 1.0,
        "compression_ratio": 0.7,
    },
    "memory": {"max_batch_size": 8, "clear_cache_after_generation": True, "use_gradient_checkpointing": False},
    "device": {"device_type": "auto", "precision": "fp16", "use_autocast": True},
    "logging": {"level": "INFO", "log_to_file": False, "log_file": "versasound.log"},
}


@pytest.fixture
def load(tmp_path):
    """Load a configuration from a text."""

    def load(text: str | bytes) -> Config:
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path)

    return load


class TestDefaults:
    def test_the_shipped_file_says_what_was_published(self):
        assert yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8")) == PUBLISHED

    def test_the_classes_have_the_published_values(self):
        ours = {name: {key: section[key] for key in PUBLISHED[name]} for name, section in Config().items()}
        assert ours == PUBLISHED

    def test_loading_nothing_gives_them(self):
        assert load_config() == Config()

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "device:\n", "---\n"])
    def test_an_empty_file_too(self, load, text):
        assert load(text) == Config()

    def test_a_partial_file_keeps_the_rest(self, load):
        config = load("device:\n  precision: bf16\n")
        assert config.device == DeviceConfig(precision="bf16")
        assert attrs.evolve(config, device=DeviceConfig()) == Config()

    def test_sections_share_nothing(self):
        first, second = Config(), Config()
        first.visual_encoder.options["variant"] = "large"
        first.device.precision = "fp32"
        assert second == Config()


class TestBothWays:
    def test_items_and_attributes_are_one(self):
        config = Config()
        config["device"]["precision"] = "fp32"
        assert config.device.precision == "fp32"
        config.audio_generator.num_inference_steps = 7
        assert config["audio_generator"]["num_inference_steps"] == 7

    def test_constructed_like_dataclasses(self):
        assert VisualEncoderConfig("clip", feature_dim=512)["backbone"] == "clip"
        assert AudioGeneratorConfig() == AudioGeneratorConfig("audioldm2", 50, 10.0, 16000, 5.0)

    def test_a_section_is_a_mapping(self):
        device = DeviceConfig()
        assert dict(device) == PUBLISHED["device"] == {**device}
        assert list(device.keys()) == list(PUBLISHED["device"])
        assert "precision" in device
        assert "colour" not in device
        assert device.get("colour", 3) == 3
        assert list(Config()) == list(PUBLISHED)

    def test_a_whole_section_can_be_given_as_a_mapping(self):
        config = Config()
        config["device"] = {"precision": "bf16"}
        assert config.device == DeviceConfig(precision="bf16")

    def test_numbers_of_numpy_become_plain(self):
        encoder = VisualEncoderConfig(input_size=np.int64(112))
        generator = AudioGeneratorConfig(guidance_scale=np.float32(2.5), default_duration=4)
        assert type(encoder.input_size) is int
        assert type(generator.guidance_scale) is type(generator.default_duration) is float

    def test_the_backend_of_each_role(self):
        config = Config(audio_generator={"default_model": "foley", "options": {"sharpness": 0.2}})
        assert config.backend("generator") == ("foley", {"sharpness": 0.2})
        assert [config.backend(role)[0] for role in ("encoder", "aligner", "refiner")] == [
            "videomae",
            "learned",
            "mastering",
        ]

    def test_section_names_follow_class_names(self):
        assert {name: section.path() for name, section in Config().items()} == {name: name for name in PUBLISHED}


WRONG = [
    ("device:\n  precision: int8\n", ["device.precision='int8'", "fp16, fp32, bf16"]),
    ("device:\n  device_type: tpu\n", ["device.device_type='tpu'", "cuda"]),
    ("visual_encoder:\n  input_size: big\n", ["visual_encoder.input_size='big'", "whole number of at least 1"]),
    ("visual_encoder:\n  input_size: 224.0\n", ["visual_encoder.input_size=224.0", "whole number"]),
    ("visual_encoder:\n  input_size: true\n", ["visual_encoder.input_size=True", "whole number"]),
    ("visual_encoder:\n  temporal_pooling: median\n", ["median", "attention, avg, max, none"]),
    ("visual_encoder:\n  spatial_pooling: none\n", ["visual_encoder.spatial_pooling", "avg, max, cls_token"]),
    ("visual_encoder:\n  freeze_backbone: 1\n", ["visual_encoder.freeze_backbone=1", "true or false"]),
    ("visual_encoder:\n  options: [1]\n", ["visual_encoder.options=[1]"]),
    ("visual_encoder:\n  options: {1: 2}\n", ["visual_encoder.options={1: 2}"]),
    ("audio_generator:\n  guidance_scale: .nan\n", ["audio_generator.guidance_scale=nan", "a number"]),
    (f"audio_generator:\n  guidance_scale: {10**400}\n", ["audio_generator.guidance_scale=1000", "a number"]),
    ("audio_generator:\n  guidance_scale: null\n", ["audio_generator.guidance_scale=None", "a number"]),
    ("temporal_aligner:\n  sync_strength: 1.5\n", ["temporal_aligner.sync_strength=1.5", "from 0 to 1"]),
    ("logging:\n  level: LOUD\n", ["logging.level='LOUD'", "DEBUG"]),
    ("memory: 8\n", ["memory is 8", "key: value"]),
    ("visual_encodr:\n  backbone: clip\n", ["visual_encodr", "Did you mean visual_encoder?"]),
    ("device:\n  precison: fp32\n", ["device.precison", "Did you mean device.precision?"]),
    ("device:\n  1: fp32\n", ["device.1", "device_type, precision, use_autocast"]),
    ("- device\n", ["wanted `key: value` lines"]),
    ("hello", ["wanted `key: value` lines"]),
]


class TestWrongFiles:
    @pytest.mark.parametrize(("text", "words"), WRONG)
    def test_name_the_file_the_key_and_what_is_wanted(self, load, text, words):
        with pytest.raises(InvalidInputError) as caught:
            load(text)
        for word in ["mine.yaml", *words]:
            assert word in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("device:\n  precision: [fp16\n", "line 3, column 1"),
            ("device:\n\tprecision: fp16\n", "line 2, column 1"),
            ("device: {}\nmemory: {}\ndevice: {}\n", "line 3, column 1: the key device is given twice"),
        ],
    )
    def test_syntax_errors_have_a_place(self, load, text, place):
        with pytest.raises(InvalidInputError, match=place):
            load(text)

    @pytest.mark.parametrize(
        "text", [b"\xff\xfe\x00", b"\x00", b"a: 2001-13-01", b"a: !!bool x", b"a: !!python/name:os.system"]
    )
    def test_what_is_no_yaml_is_refused(self, load, text):
        with pytest.raises(InvalidInputError, match="mine.yaml"):
            load(text)

    @given(data=st.binary(max_size=60) | st.text("ab:-[]{}&*!?|>'\"\n #0.<", max_size=60).map(str.encode))
    def test_any_bytes_load_or_are_refused(self, tmp_path_factory, data):
        path = tmp_path_factory.getbasetemp() / "any.yaml"
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigMigrationWarning)
            try:
                config = load_config(path)
            except InvalidInputError:
                return
        assert isinstance(config, Config)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(InvalidInputError, match=r"nowhere.yaml: cannot be read: No such file"):
            load_config(tmp_path / "nowhere.yaml")

    def test_a_folder(self, tmp_path):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            load_config(str(tmp_path))


class TestWrongAssignments:
    def test_by_item_and_by_attribute_leave_the_old_value(self):
        config = Config()
        with pytest.raises(InvalidInputError, match="device.precision='int8': wanted one of fp16, fp32, bf16"):
            config["device"]["precision"] = "int8"
        with pytest.raises(InvalidInputError, match="device.precision=3"):
            config.device.precision = 3
        with pytest.raises(InvalidInputError, match="Did you mean device.precision"):
            config["device"]["precison"] = "fp32"
        with pytest.raises(InvalidInputError, match="device is 'cuda'"):
            config["device"] = "cuda"
        assert config == Config()

    def test_reading_an_unknown_key_is_a_key_error_too(self):
        with pytest.raises(KeyError, match="Did you mean visual_encoder"):
            Config()["visual_encoders"]

    def test_misspelt_attributes_are_not_silently_made(self):
        with pytest.raises(AttributeError):
            Config().device.precison = "fp32"


def _fitting(section: str, attribute: attrs.Attribute) -> st.SearchStrategy:
    spec = attribute.metadata.get("spec")
    if attribute.name == "options":
        leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
        return st.dictionaries(st.text(), st.recursive(leaf, st.lists, max_leaves=4), max_size=3)
    if attribute.name == "device_type":
        return st.sampled_from(["auto", "cpu", "mps", "cuda"]) | st.integers(0, 99).map("cuda:{}".format)
    if spec.choices:
        return st.sampled_from(spec.choices)
    numbers = {"min_value": spec.min, "max_value": spec.max}
    kinds = {"bool": st.booleans(), "int": st.integers(**numbers), "str": st.text()}
    kinds["float"] = st.floats(**numbers, allow_nan=False, allow_infinity=False)
    nothing = st.none() if (section, attribute.name) == ("audio_generator", "default_duration") else st.nothing()
    return kinds[spec.type] | nothing


configs = st.fixed_dictionaries(
    {
        name: st.builds(type(section), **{a.name: _fitting(name, a) for a in attrs.fields(type(section))})
        for name, section in Config().items()
    }
).map(lambda sections: Config(**sections))


class TestRoundTrip:
    @given(config=configs)
    def test_what_is_saved_loads_equal_and_without_a_warning(self, tmp_path_factory, config):
        path = tmp_path_factory.getbasetemp() / "saved.yaml"
        path.write_text(to_yaml(config), encoding="utf-8")
        assert load_config(path) == config

    def test_save_config_writes_it(self, tmp_path):
        config = Config(logging={"log_file": "журнал.log"})
        save_config(config, tmp_path / "mine.yaml")
        assert load_config(tmp_path / "mine.yaml") == config
        assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]

    def test_what_yaml_cannot_write_leaves_the_file_alone(self, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text("device: {}\n", encoding="utf-8")
        with pytest.raises(InvalidInputError, match="cannot be written as YAML"):
            save_config(Config(visual_encoder={"options": {"thing": object()}}), path)
        assert path.read_text(encoding="utf-8") == "device: {}\n"


class Tone:
    """Makes a tone."""

    def __init__(self, pitch: float) -> None:
        self.pitch = pitch


class TestCards:
    @pytest.fixture
    def registry(self):
        registry = Registry()
        pitch = {"type": "float", "default": 440.0, "min": 20, "max": 2000}
        registry.register("generator", "tone", Tone, {"options": {"pitch": pitch}})
        return registry

    def test_options_that_fit_pass(self, registry):
        check_against_cards(Config(audio_generator={"default_model": "tone", "options": {"pitch": 100.0}}), registry)

    @pytest.mark.parametrize(
        ("options", "words"),
        [({"pitch": 5}, "generator tone: pitch=5: wanted a number from 20"), ({"pich": 50}, "Did you mean pitch")],
    )
    def test_options_that_do_not_fit_are_refused(self, registry, options, words):
        with pytest.raises(InvalidInputError, match=words):
            check_against_cards(Config(audio_generator={"default_model": "tone", "options": options}), registry)

    def test_options_for_a_backend_that_is_not_there(self, registry):
        with pytest.raises(UnknownBackendError):
            check_against_cards(Config(visual_encoder={"backbone": "absent-here", "options": {"a": 1}}), registry)


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, versasound_core.config as c; c.load_config();"
        "print({'torch', 'numpy', 'av', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_setting_says_what_it_does():
    for section in Config().values():
        for attribute in attrs.fields(type(section)):
            assert attribute.name == "options" or attribute.metadata["spec"].help, section.path(attribute.name)
