"""The published API: every block of its page runs, every signature is as printed."""

import ast
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from comfyui_support import api_blocks

from versasound_core.config import DEFAULT_CONFIG
from versasound_core.errors import UnknownBackendError

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "api.md"
NEEDS = {
    "versasound_plugin_videomae": "videomae",
    "versasound_plugin_learned": "learned",
    "versasound_plugin_audioldm2": "UniversalAudioGenerator(",
    "versasound_plugin_training": "VersaSoundTrainer",
}
CLASSES = {
    "VisualFeatures": "custom_types",
    "AudioData": "custom_types",
    "UniversalVisualEncoder": "models.visual_encoder",
    "UniversalAudioGenerator": "models.audio_generator",
    "TemporalAlignmentModule": "models.temporal_aligner",
}
BLOCKS = api_blocks.blocks(PAGE.read_text(encoding="utf-8"))
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork, by which blocks are run")


@pytest.fixture(scope="module")
def outcomes(tiny_hub_files, tmp_path_factory):
    """What running each block came to, in the order of the page."""
    tiny_hub_files.add_all()
    command = [sys.executable, "-W", "ignore", api_blocks.__file__, PAGE, tmp_path_factory.mktemp("api")]
    env = {**os.environ, **tiny_hub_files.env, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.parametrize("number", range(len(BLOCKS)), ids=[f"{n}: {title}" for n, (title, _) in enumerate(BLOCKS)])
def test_block_runs_as_printed(outcomes, number):
    title, code = BLOCKS[number]
    uses = code + "".join(api_blocks.NAMES[name] for name in api_blocks.missing(code))
    if "encoder" in api_blocks.missing(code) or "UniversalVisualEncoder(" in uses.replace("class Uni", ""):
        uses += "videomae"
    for package, word in NEEDS.items():
        if word in uses.replace("class UniversalAudioGenerator(", "") and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    assert outcomes[number]["title"] == title
    assert not outcomes[number]["error"], outcomes[number]["error"]


def test_every_block_is_found():
    assert len(BLOCKS) == PAGE.read_text(encoding="utf-8").count("```python")


def published():
    """Every method that the page prints, with its arguments and their defaults."""
    for _, code in BLOCKS:
        for node in ast.parse(code).body:
            if isinstance(node, ast.ClassDef) and node.name in CLASSES:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef):
                        yield pytest.param(node.name, method, id=f"{node.name}.{method.name}")


@pytest.mark.parametrize(("name", "method"), list(published()))
def test_signature_is_as_printed(name, method):
    cls = getattr(importlib.import_module(f"comfyui_extension.{CLASSES[name]}"), name)
    if any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in method.decorator_list):
        assert isinstance(inspect.getattr_static(cls, method.name), property)
        return
    printed = [argument.arg for argument in method.args.args]
    defaults = [ast.literal_eval(default) for default in method.args.defaults]
    real = list(inspect.signature(getattr(cls, method.name)).parameters.values())
    assert [parameter.name for parameter in real][: len(printed)] == printed
    assert [p.default for p in real[len(printed) - len(defaults) : len(printed)]] == defaults
    assert all(parameter.default is not inspect.Parameter.empty for parameter in real[len(printed) :])


def test_default_configuration_is_the_published_and_the_cores():
    import comfyui_extension

    ours = Path(comfyui_extension.__file__).parent / "configs" / "default_config.yaml"
    printed = PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(ours.read_text()) == yaml.safe_load(printed) == yaml.safe_load(DEFAULT_CONFIG.read_text())


def test_values_in_the_pages_comments():
    from comfyui_extension.custom_types import AudioData, VisualFeatures

    seen = VisualFeatures(features=torch.randn(1, 24, 768), metadata={"backbone": "videomae", "fps": 24})
    assert (seen.shape, seen.get_temporal_length(), seen.get_feature_dim()) == (torch.Size([1, 24, 768]), 24, 768)
    audio = AudioData(waveform=torch.randn(1, 1, 80000), sample_rate=16000, metadata={"source": "generated"})
    assert (audio.duration, audio.num_channels) == (5.0, 1)
    assert audio.to_stereo().shape == torch.Size([1, 2, 80000])
    assert audio.resample(44100).shape == torch.Size([1, 1, 220500])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_data_for_a_device_that_is_not_here_stays_with_a_warning():
    from comfyui_extension.custom_types import VisualFeatures

    from versasound_core.device import DeviceFallbackWarning

    with pytest.warns(DeviceFallbackWarning, match="no cuda device here"):
        assert VisualFeatures(torch.zeros(1, 2, 3)).to("cuda").device.type == "cpu"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet", r"there is no encoder 'resnet'\. .*Installed: .*motion"),
        ("moton", "Did you mean motion"),
    ],
)
def test_unknown_backend_lists_what_there_is(name, hint):
    from comfyui_extension.models.visual_encoder import UniversalVisualEncoder

    with pytest.raises(UnknownBackendError, match=hint):
        UniversalVisualEncoder(name)


def test_unknown_backend_of_the_house_says_how_to_get_it(monkeypatch):
    from comfyui_extension import backends

    monkeypatch.setitem(backends._OWN, "encoder", ("motion", "not_yet"))
    with pytest.raises(UnknownBackendError, match="Get it: pip install versasound-plugin-not-yet"):
        backends.create("encoder", "not_yet", {})
    with pytest.raises(UnknownBackendError, match="to install: pip install versasound-plugin-not-yet"):
        backends.create("encoder", "other", {})


@pytest.mark.skipif(importlib.util.find_spec("versasound_plugin_training") is not None, reason="training is installed")
def test_training_says_how_to_get_it():
    with pytest.raises(ImportError, match="pip install versasound-plugin-training"):
        importlib.import_module("comfyui_extension.training.trainer")
