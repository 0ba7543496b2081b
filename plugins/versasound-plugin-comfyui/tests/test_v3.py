"""Schemas and bodies of ComfyUI's nodes, without ComfyUI."""

import asyncio
import importlib
import io as bytes_io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from comfyui_support import golden, stand_in

from versasound_core import weights as core_weights
from versasound_core.cards import OptionSpec
from versasound_core.containers import AudioData, VideoClip, VisualFeatures
from versasound_core.errors import BrokenPluginError, DeviceError, InvalidInputError
from versasound_core.media.loudness import measure
from versasound_core.registry import default_registry
from versasound_core.scenes import random_scene, write_scene
from versasound_core.weights import Checkpoint, find

GOLDEN = json.loads((Path(__file__).parent / "golden" / "object_info.json").read_text(encoding="utf-8"))["nodes"]
FOLDER = Path(__file__).parents[1] / "versasound_plugin_comfyui" / "custom_node"
COMBO = "COMFY_DYNAMICCOMBO_V3"


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setattr(core_weights, "more_caches", [])
    return stand_in.put_in_place(monkeypatch, tmp_path)


@pytest.fixture
def nodes(host):
    package = importlib.import_module("versasound_plugin_comfyui.nodes")
    return {node.define_schema().node_id.removeprefix("VersaSound_"): node for node in package.NODES}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_scene(random_scene(3, 3.0), tmp_path_factory.mktemp("scene") / "scene.mp4", fps=24, height=120)


def inputs(node, **changes):
    """What ComfyUI hands to a node that is as it was when it was new."""
    made = {}
    for key, (kind, about) in node.define_schema().info()["input"]["required"].items():
        if kind == COMBO:
            first = about["options"][0]
            made[key] = {key: first["key"], **{k: w["default"] for k, (_, w) in first["inputs"]["required"].items()}}
        elif "default" in about:
            made[key] = about["default"]
    return {**made, **changes}


def run(node, **changes):
    return node.execute(**inputs(node, **changes))


class TestSchemas:
    @pytest.mark.parametrize("name", GOLDEN)
    def test_as_a_real_server_told_them(self, nodes, name, monkeypatch):
        monkeypatch.setattr(default_registry, "_registered", [])
        default_registry.register("generator", "every", lambda: None, {"summary": "A test's.", "options": golden.EVERY})
        assert golden.stable(nodes[name.removeprefix("VersaSound_")].define_schema().info()) == GOLDEN[name]

    def test_the_weightless_default_stands_first(self, nodes):
        required = nodes["AddSoundToVideo"].define_schema().info()["input"]["required"]
        first = [required[role][1]["options"][0]["key"] for role in ("encoder", "generator", "aligner", "refiner")]
        assert first == ["motion", "foley", "cross_correlation", "mastering"]

    def test_a_backend_registered_meanwhile_is_offered(self, nodes, monkeypatch):
        def keys():
            options = nodes["AudioGenerator"].define_schema().info()["input"]["required"]["generator"][1]["options"]
            return [option["key"] for option in options]

        assert "beep" not in keys()
        monkeypatch.setattr(default_registry, "_registered", [])
        default_registry.register("generator", "beep", lambda: None, {"summary": "Beeps."})
        assert "beep" in keys()

    def test_start_up_loads_nothing_heavy(self, tmp_path):
        code = (
            "import sys; import versasound_plugin_comfyui, comfyui_extension\n"
            "print([m for m in ('torch', 'numpy', 'av', 'soxr', 'PIL', 'yaml') if m in sys.modules], "
            "[h for h in __import__('logging').getLogger().handlers])"
        )
        made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert made.stdout.strip() == "[] []"

    def test_entry_point(self, host):
        package = importlib.import_module("versasound_plugin_comfyui")
        extension = asyncio.run(package.comfy_entrypoint())
        asyncio.run(extension.on_load())
        assert len(asyncio.run(extension.get_node_list())) == len(GOLDEN)
        assert host.model_folders == [str(host.folder / "models" / "versasound")]


class TestWidgets:
    @pytest.mark.parametrize(
        ("spec", "shown", "given", "meant"),
        [
            ({"type": "int", "default": None, "min": 32, "max": 99}, {"default": 0, "min": 0, "max": 99}, 0, None),
            ({"type": "int", "default": None, "min": 32, "max": 99}, {}, 40, 40),
            ({"type": "int", "default": None, "min": 0}, {"default": -1, "min": -1}, -1, None),
            ({"type": "float", "default": None, "max": 5.0}, {"max": 5.0}, -(2**53 - 1), None),
            ({"type": "path", "default": None}, {"default": ""}, "", None),
            ({"type": "str", "default": "x"}, {"default": "x"}, "", ""),
            ({"type": "str", "default": None, "choices": ["a", "b"]}, {"options": ["(its own)", "a", "b"]}, "a", "a"),
            ({"type": "str", "default": None, "choices": ["a", "b"]}, {"default": "(its own)"}, "(its own)", None),
            ({"type": "int", "default": 2, "choices": [2, 4]}, {"options": ["2", "4"], "default": "2"}, "4", 4),
            ({"type": "bool", "default": True}, {"default": True}, False, False),
        ],
    )
    def test_an_option_there_and_back(self, host, spec, shown, given, meant):
        widgets = importlib.import_module("versasound_plugin_comfyui.widgets")
        option = OptionSpec(name="option", **spec)
        about = widgets.widget(option).info()[1]
        assert {key: about[key] for key in shown} == shown
        assert widgets._meant(option, given) == meant

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"encoder": "motoin"}, "there is no encoder 'motoin'. Did you mean motion"),
            (
                {"encoder": {"encoder": "motion", "fps": 0.0}},
                "motion: fps=0.0: wanted a number from 1 to 120 Hz",
            ),
            ({"encoder": None}, "no encoder is chosen"),
        ],
    )
    def test_refusals_are_sentences(self, host, values, words):
        widgets = importlib.import_module("versasound_plugin_comfyui.widgets")
        assert words in widgets.refusal(**values)

    def test_what_is_right_passes(self, host):
        widgets = importlib.import_module("versasound_plugin_comfyui.widgets")
        assert widgets.refusal(encoder={"encoder": "motion", "fps": None}, refiner="none") is True


class TestBodies:
    def test_video_in_and_out(self, nodes, host, scene):
        made = run(nodes["AddSoundToVideo"], video=stand_in.VideoFromFile(str(scene)), prompt="rain", variations=2)
        videos, audio, notes = made.args
        assert audio["waveform"].shape[::2] == (2, 3 * 48000)
        assert not torch.equal(audio["waveform"][0], audio["waveform"][1])
        assert "rain" in notes
        for video in videos:
            assert VideoClip.open(video.file).has_audio
        assert 900 < max(host.progress) <= 1000

    def test_variation_is_what_its_seed_makes(self, nodes, scene):
        video = stand_in.VideoFromFile(str(scene))
        both = run(nodes["AddSoundToVideo"], video=video, seed=5, variations=2).args[1]["waveform"]
        second = run(nodes["AddSoundToVideo"], video=video, seed=6).args[1]["waveform"]
        assert torch.equal(both[1:], second)

    def test_video_in_memory(self, nodes, scene):
        video = stand_in.VideoFromFile(bytes_io.BytesIO(scene.read_bytes()))
        (one,), *_ = run(nodes["AddSoundToVideo"], video=video).args
        assert VideoClip.open(one.file).num_frames == VideoClip.open(scene).num_frames

    def test_stop_button(self, nodes, host, scene):
        host.stop_after = 3
        with pytest.raises(stand_in.InterruptProcessingException):
            run(nodes["AddSoundToVideo"], video=stand_in.VideoFromFile(str(scene)))
        assert len(host.progress) == 3

    def test_chain(self, nodes, scene):
        video = stand_in.VideoFromFile(str(scene))
        seen = run(nodes["VisualFeatureExtractor"], video=video).args[0]
        made, notes = run(nodes["AudioGenerator"], visual_features=seen, prompt="a hammer on metal").args
        assert made["waveform"].shape[2] == 3 * 48000
        assert "hammer" in notes
        moved, report = run(nodes["TemporalSynchronizer"], audio=made, visual_features=seen).args
        assert report.endswith(".")
        (fine,) = run(nodes["AudioRefiner"], audio=moved).args
        assert measure(AudioData(fine["waveform"], fine["sample_rate"])).integrated_lufs == pytest.approx(-23, abs=0.3)
        (both,) = run(nodes["AudioBlender"], audio_a=fine, audio_b=made).args
        ((clip,),) = run(nodes["AttachSound"], video=video, audio=both, keep_original="mix").args
        assert VideoClip.open(clip.file).has_audio

    def test_long_sound_is_made_in_parts(self, nodes, scene):
        seen = run(nodes["VisualFeatureExtractor"], video=stand_in.VideoFromFile(str(scene))).args[0]
        asked = {"prompt": "rain", "duration": 70.5, "sample_rate": 16000}
        made, _ = run(nodes["AudioGenerator"], visual_features=seen, **asked).args
        assert made["waveform"].shape[2] == round(70.5 * 16000)
        assert made["waveform"][..., -16000:].abs().max() > 0

    def test_variations_made_together_are_what_each_is_alone(self, nodes, scene, tiny_hub):
        pytest.importorskip("versasound_plugin_audioldm2")
        tiny_hub.add("cvssp/audioldm2")
        seen = run(nodes["VisualFeatureExtractor"], video=stand_in.VideoFromFile(str(scene))).args[0]
        generator = {"generator": "audioldm2"}
        asked = {
            "visual_features": seen,
            "prompt": "a hammer",
            "generator": generator,
            "steps": 2,
            "sample_rate": 16000,
        }
        both, _ = run(nodes["AudioGenerator"], **asked, seed=4, variations=2).args
        second, _ = run(nodes["AudioGenerator"], **asked, seed=5).args
        assert both["waveform"].shape == (2, 1, 48000)
        assert torch.allclose(both["waveform"][1:], second["waveform"], atol=1e-5)
        assert not torch.allclose(both["waveform"][:1], second["waveform"], atol=1e-3)

    def test_batch_of_sounds_follows_one_video(self, nodes, scene):
        seen = run(nodes["VisualFeatureExtractor"], video=stand_in.VideoFromFile(str(scene))).args[0]
        audio = {"waveform": torch.rand(2, 1, 48000) - 0.5, "sample_rate": 16000}
        moved, report = run(nodes["TemporalSynchronizer"], audio=audio, visual_features=seen).args
        assert moved["waveform"].shape == (2, 1, 48000)
        assert len(report.splitlines()) == 2
        two = VisualFeatures(torch.cat([seen.features, seen.features]), seen.metadata)
        three = {"waveform": torch.zeros(3, 1, 9), "sample_rate": 9}
        with pytest.raises(InvalidInputError, match="3 sounds cannot follow 2 videos"):
            run(nodes["TemporalSynchronizer"], audio=three, visual_features=two)

    def test_event_track(self, nodes, scene):
        seen = run(nodes["VisualFeatureExtractor"], video=stand_in.VideoFromFile(str(scene))).args[0]
        made = run(nodes["EventTrack"], visual_features=seen)
        picture, said = made.args
        (found,) = json.loads(said)
        assert [one["time_s"] for one in found] == pytest.approx([t for t, _ in seen.events.onsets[0]], abs=1e-4)
        assert picture.shape == (1, 288, 1024, 3)
        orange = torch.tensor([246, 168, 66]) / 255
        columns = ((picture[0] - orange).abs().amax(-1) < 0.01).any(0).nonzero().flatten()
        for one in found:  # each strike is drawn where it is
            at = 24 + (1024 - 48) * one["time_s"] / seen.events.duration_s
            assert (columns - at).abs().min() <= 1
        assert made.ui[0] == "preview"

    def test_latents(self, nodes):
        class Vae:
            def decode(self, samples):
                return torch.zeros(1, 12, 32, 32, 3)

        latents = {"samples": torch.zeros(1, 16, 3, 4, 4)}
        seen = run(nodes["LatentToVisualFeatures"], latents=latents, vae=Vae(), fps=6.0).args[0]
        assert seen.metadata["duration_s"] == 2.0

    def test_a_backend_that_fails_is_named(self, nodes, scene, monkeypatch):
        class Fails:
            def generate(self, features, request, ctx):
                raise ZeroDivisionError("by nothing")

        monkeypatch.setattr(default_registry, "_registered", [])
        default_registry.register("generator", "fails", Fails, {"summary": "Fails."})
        seen = run(nodes["VisualFeatureExtractor"], video=stand_in.VideoFromFile(str(scene))).args[0]
        with pytest.raises(BrokenPluginError, match="generator fails .* failed: ZeroDivisionError: by nothing"):
            run(nodes["AudioGenerator"], visual_features=seen, generator={"generator": "fails"})

    @pytest.mark.parametrize("audio", [None, {"waveform": torch.zeros(0, 1, 9), "sample_rate": 9}])
    def test_no_sound_is_said(self, nodes, audio):
        with pytest.raises(InvalidInputError, match="sound|empty batch"):
            run(nodes["AudioRefiner"], audio=audio)

    def test_no_video_is_said(self, nodes):
        with pytest.raises(InvalidInputError, match="a VIDEO is wanted here, and Tensor came. Use Load Video"):
            run(nodes["VisualFeatureExtractor"], video=torch.zeros(1))


class TestMemory:
    """What a backend loaded stays until ComfyUI wants the memory."""

    @pytest.fixture
    def made(self, monkeypatch):
        """A generator that holds weights as diffusion pipelines do, in an object that can be called."""
        built = []

        class Pipeline:
            def __init__(self):
                self.parts = {"unet": torch.nn.Linear(1000, 1000, bias=False)}
                built.append(self)

            def __call__(self, request):
                if request.prompt == "too much":
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return AudioData(torch.zeros(1, 1, request.num_samples), request.sample_rate)

        class Heavy:
            def __init__(self):
                self.pipe = None

            def generate(self, features, request, ctx):
                self.pipe = self.pipe or Pipeline()
                return self.pipe(request)

        monkeypatch.setattr(default_registry, "_registered", [])
        default_registry.register("generator", "heavy", Heavy, {"summary": "Heavy."})
        return built

    def test_until_it_is_wanted_back(self, nodes, host, made):
        seen = VisualFeatures(torch.zeros(1, 4, 8), {"fps": 4.0})
        for seed in (1, 2):
            run(nodes["AudioGenerator"], visual_features=seen, generator={"generator": "heavy"}, seed=seed)
        assert len(made) == 1
        (listed,) = host.loaded
        assert listed.loaded_size() == 4_000_000
        host.unload()
        run(nodes["AudioGenerator"], visual_features=seen, generator={"generator": "heavy"}, seed=3)
        assert len(made) == 2

    def test_running_out_of_it_is_said_and_frees_all(self, nodes, host, made):
        seen = VisualFeatures(torch.zeros(1, 4, 8), {"fps": 4.0})
        asked = {"visual_features": seen, "generator": {"generator": "heavy"}}
        with pytest.raises(DeviceError, match="cpu ran out of memory. All models were unloaded. Make fewer variations"):
            run(nodes["AudioGenerator"], **asked, prompt="too much")
        assert host.loaded == []
        run(nodes["AudioGenerator"], **asked, prompt="less")
        assert len(made) == 2


class TestWeights:
    @pytest.fixture
    def wanted(self):
        return Checkpoint(
            role="encoder", backend="clip", variant="v", repository="owner/name", size_gb=0.5, licence="MIT"
        )

    @pytest.mark.parametrize("place", ["name", "models--owner--name/snapshots/abc"])
    def test_found_in_comfyuis_folders(self, host, wanted, place, empty_hub):
        importlib.import_module("versasound_plugin_comfyui.weights").use_comfyui_folders()
        folder = host.folder / "models" / "versasound" / place
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").touch()
        assert find(wanted) == folder

    def test_nothing_is_fetched_before_the_licence_is_accepted(self, nodes, host):
        pytest.importorskip("versasound_plugin_clip")
        offered = nodes["FetchWeights"].define_schema().info()["input"]["required"]["weights"][1]["options"]
        name = next(one for one in offered if one.startswith("encoder clip, vit-b-32"))
        assert name == "encoder clip, vit-b-32: 0.61 GB, MIT"


class TestInstall:
    def test_there_and_away(self, tmp_path, capsys):
        from versasound_core.cli import main

        (tmp_path / "custom_nodes").mkdir()
        assert main(["comfyui", "install", str(tmp_path)]) == 0
        folder = tmp_path / "custom_nodes" / "versasound"
        for name in (
            "__init__.py",
            "pyproject.toml",
            "requirements.txt",
            "locales/fr",
            "web/docs",
            "example_workflows",
        ):
            assert (folder / name).exists(), name
        (folder / "old.py").touch()
        assert main(["comfyui", "install", str(tmp_path)]) == 0
        assert not (folder / "old.py").exists()
        assert main(["comfyui", "uninstall", str(tmp_path)]) == 0
        assert list((tmp_path / "custom_nodes").iterdir()) == []
        assert main(["comfyui", "uninstall", str(tmp_path)]) == 0
        assert "nothing to remove" in capsys.readouterr().out

    def test_the_folder_shows_these_nodes(self, host):
        module = runpy.run_path(str(FOLDER / "__init__.py"))
        assert callable(module["comfy_entrypoint"])
        assert "NODE_CLASS_MAPPINGS" not in module  # with it, ComfyUI would not ask the entry point

    def test_an_older_comfyui_is_shown_the_classic_ones(self, host, monkeypatch):
        monkeypatch.delattr(sys.modules["comfy_api.latest"].io, "DynamicCombo")
        module = runpy.run_path(str(FOLDER / "__init__.py"))
        assert len(module["NODE_CLASS_MAPPINGS"]) == len(module["NODE_DISPLAY_NAME_MAPPINGS"]) == 6

    def test_a_missing_package_is_named_with_its_command(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "versasound_plugin_comfyui", None)
        with pytest.raises(ModuleNotFoundError, match="pip install versasound-plugin-comfyui"):
            runpy.run_path(str(FOLDER / "__init__.py"))

    def test_no_comfyui(self, tmp_path, capsys):
        from versasound_core.cli import main

        assert main(["comfyui", "install", str(tmp_path / "nowhere")]) == 3
        assert "main.py" in capsys.readouterr().err

    def test_somebody_elses_folder_is_left_alone(self, tmp_path, capsys):
        from versasound_core.cli import main

        (tmp_path / "custom_nodes" / "versasound").mkdir(parents=True)
        assert main(["comfyui", "install", str(tmp_path)]) == 3
        assert main(["comfyui", "uninstall", str(tmp_path)]) == 3
        assert (tmp_path / "custom_nodes" / "versasound").exists()

    def test_every_node_has_its_page_and_its_translations(self):
        assert {page.stem for page in (FOLDER / "web" / "docs").iterdir()} == set(GOLDEN)
        for language in (FOLDER / "locales").iterdir():
            assert json.loads((language / "nodeDefs.json").read_text(encoding="utf-8")).keys() == GOLDEN.keys()
