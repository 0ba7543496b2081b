"""The nodes in a real ComfyUI server, which `COMFYUI_PATH` names.

`VERSASOUND_RECORD=1` writes what the server says of the nodes into the golden file that other tests read.
"""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

import av
import pytest
from comfyui_support import golden, packages
from comfyui_support import server as comfy_server
from tiny_hub.server import serving

from versasound_core.scenes import random_scene, write_scene

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "object_info.json"
CLIP, DINOV2 = "openai/clip-vit-base-patch16", "facebook/dinov2-base"


pytestmark = pytest.mark.skipif(
    comfy_server.where() is None, reason="COMFYUI_PATH names no ComfyUI to run the nodes in"
)
# Two node packs with the habits of common ones: each puts its own folder first in sys.path and configures logging, and
# both bring a top-level package of one name, so that the second does not find its part of it.
PACK = """
import logging, os, sys
logging.basicConfig(level=logging.INFO)
sys.path.insert(0, os.path.dirname(__file__))
import inference.{name} as helper

class Node:
    RETURN_TYPES, FUNCTION, CATEGORY = ("STRING",), "run", "foley"
    @classmethod
    def INPUT_TYPES(cls): return {{"required": {{}}}}
    def run(self): return (helper.WHO,)

NODE_CLASS_MAPPINGS = {{"{name}": Node}}
"""
# What other packs hand on when they found nothing.
NOTHING = """
import torch

class Nothing:
    RETURN_TYPES, FUNCTION, CATEGORY = ("AUDIO", "IMAGE"), "run", "test"
    @classmethod
    def INPUT_TYPES(cls): return {"required": {}}
    def run(self): return {"waveform": torch.zeros(0, 1, 9), "sample_rate": 9}, torch.zeros(0, 64, 64, 3)

NODE_CLASS_MAPPINGS = {"Nothing": Nothing}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_hub_files):
    from versasound_plugin_comfyui.install import install

    base = tmp_path_factory.mktemp("comfyui")
    for name in ("ComfyUI-MMAudio", "ComfyUI-HunyuanVideo-Foley"):
        pack = base / "custom_nodes" / name
        (pack / "inference").mkdir(parents=True)
        word = re.sub(r"\W", "_", name)
        (pack / "__init__.py").write_text(PACK.format(name=word))
        (pack / "inference" / "__init__.py").touch()
        (pack / "inference" / f"{word}.py").write_text(f"WHO = {name!r}\n")
    (base / "custom_nodes" / "nothing.py").write_text(NOTHING)
    install(base)
    more = {"elsewhere": {"base_path": str(base / "elsewhere"), "versasound": "weights"}}
    (base / "extra_model_paths.yaml").write_text(json.dumps(more))
    shutil.copytree(tiny_hub_files.add(DINOV2), base / "elsewhere" / "weights" / Path(DINOV2).name)
    site = base / "site"
    packages.install(site, "slow", packages.SLOW, packages.SLOW_OPTIONS)
    packages.install(site, "every", packages.SLOW, json.dumps(golden.EVERY))
    packages.install(site, "breaks", packages.BROKEN)
    packages.install(site, "heavy", packages.HEAVY)
    env = {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "HF_HOME": str(base / "hf"), "HF_HUB_DISABLE_XET": "1"}
    with serving(tiny_hub_files, CLIP) as hub, comfy_server.Server(base, {**env, "HF_ENDPOINT": hub.url}) as running:
        running.site, running.hub = site, hub
        write_scene(random_scene(1, 4.0), base / "input" / "scene.mp4", fps=24, height=120)
        yield running


@pytest.fixture(scope="module")
def info(server):
    return {name: facts for name, facts in server.get("object_info").items() if name.startswith("VersaSound_")}


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def chosen(info, kind, role, name, **changes):
    """The inputs that a browser sends for a drop-down: the choice, and the defaults of its options."""
    options = info[f"VersaSound_{kind}"]["input"]["required"][role][1]["options"]
    widgets = next(option for option in options if option["key"] == name)["inputs"]["required"]
    values = {key: about["default"] for key, (_, about) in widgets.items()}
    return {role: name, **{f"{role}.{key}": value for key, value in {**values, **changes}.items()}}


def defaults(info, kind, **changes):
    """The inputs of a node as it is when it is new."""
    made = {}
    for key, (type_, about) in info[f"VersaSound_{kind}"]["input"]["required"].items():
        if type_ == "COMFY_DYNAMICCOMBO_V3":
            made |= chosen(info, kind, key, about["options"][0]["key"])
        elif "default" in about:
            made[key] = about["default"]
    return {**made, **changes}


def packets(path, kind):
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        return hashlib.md5(b"".join(bytes(packet) for packet in file.demux(stream))).hexdigest()


def seconds(path, kind):
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        return float(stream.duration * stream.time_base)


def add_sound(info, clip="scene.mp4", **changes):
    return {
        "1": node("LoadVideo", file=clip),
        "2": node("VersaSound_AddSoundToVideo", video=["1", 0], **defaults(info, "AddSoundToVideo", **changes)),
        "3": node("SaveVideo", video=["2", 0], filename_prefix="made", format="auto", codec="auto"),
    }


def refused(server, workflow):
    """What the server says of a workflow that it does not run."""
    status, answer = server.post("prompt", {"prompt": workflow})
    assert status == 400
    return " ".join(e["message"] + ": " + e["details"] for n in answer["node_errors"].values() for e in n["errors"])


def failed(server, workflow):
    """What a person is shown of a workflow that fails while it runs."""
    entry = server.run(workflow)
    assert entry["status"]["status_str"] == "error"
    return comfy_server.messages(entry)


def test_nodes_are_there_beside_packs_that_fight_over_names(server, info):
    everything = server.get("object_info")
    assert {"ComfyUI_MMAudio", "ComfyUI_HunyuanVideo_Foley"} & everything.keys()  # one wins
    assert len(info) == 10
    assert {facts["category"] for facts in info.values()} == {"VersaSound"}


def test_golden_file(server, info):
    told = {name: golden.stable(facts) for name, facts in info.items()}
    if os.environ.get("VERSASOUND_RECORD"):
        content = {"comfyui": server.version, "nodes": told}
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    assert json.loads(GOLDEN.read_text(encoding="utf-8"))["nodes"] == told


def test_help_pages_and_translations(server, info):
    import urllib.request

    for name in info:
        with urllib.request.urlopen(f"{server.url}/extensions/versasound/docs/{name}.md", timeout=30) as page:
            assert len(page.read()) > 200, name
    translated = server.get("i18n")
    for language in ("fr", "zh"):
        assert translated[language]["nodeDefs"].keys() == info.keys()
    assert "add_sound_to_video" in server.get("workflow_templates")["versasound"]


@pytest.mark.parametrize("clip", ["scene", "hitting_metal_15fps", "drummer_21fps", "stream_of_water"])
def test_clip_in_and_out_with_its_picture_untouched(server, info, clip):
    if clip != "scene":
        clips = os.environ.get("VERSASOUND_CLIPS")
        if not clips:
            pytest.skip("VERSASOUND_CLIPS names no folder of real clips")
        server.add_input(Path(clips, f"{clip}.mp4"))
    before = server.base / "input" / f"{clip}.mp4"
    (after,) = server.outputs(server.run(add_sound(info, f"{clip}.mp4", prompt="a hammer on metal")), "3")
    assert packets(after, "video") == packets(before, "video")
    assert seconds(after, "audio") == pytest.approx(seconds(before, "video"), abs=0.05)


def test_variations_are_a_batch_and_each_a_video(server, info):
    workflow = add_sound(info, variations=3, seed=100)
    workflow["4"] = node("SaveAudio", audio=["2", 1], filename_prefix="batch")
    entry = server.run(workflow)
    videos, sounds = server.outputs(entry, "3"), server.outputs(entry, "4")
    assert len({packets(path, "audio") for path in videos}) == len(videos) == len(sounds) == 3
    one = server.outputs(server.run(add_sound(info, seed=102)), "3")
    assert packets(one[0], "audio") == packets(videos[2], "audio")


def test_every_other_node(server, info):
    eyes = defaults(info, "VisualFeatureExtractor")
    workflow = {
        "video": node("LoadVideo", file="scene.mp4"),
        "seen": node("VersaSound_VisualFeatureExtractor", video=["video", 0], **eyes),
        "track": node("VersaSound_EventTrack", visual_features=["seen", 0]),
        "track_image": node("SaveImage", images=["track", 0], filename_prefix="track"),
        "made": node(
            "VersaSound_AudioGenerator",
            visual_features=["seen", 0],
            **defaults(info, "AudioGenerator", prompt="footsteps on gravel", variations=2),
        ),
        "moved": node(
            "VersaSound_TemporalSynchronizer",
            audio=["made", 0],
            visual_features=["seen", 0],
            **defaults(info, "TemporalSynchronizer"),
        ),
        "fine": node("VersaSound_AudioRefiner", audio=["moved", 0], **defaults(info, "AudioRefiner")),
        "both": node(
            "VersaSound_AudioBlender", audio_a=["fine", 0], audio_b=["made", 0], **defaults(info, "AudioBlender")
        ),
        "clip": node("VersaSound_AttachSound", video=["video", 0], audio=["both", 0], **defaults(info, "AttachSound")),
        "saved": node("SaveVideo", video=["clip", 0], filename_prefix="chain", format="auto", codec="auto"),
        "report": node("PreviewAny", source=["moved", 1]),
        "notes": node("PreviewAny", source=["made", 1]),
    }
    entry = server.run(workflow)
    saved = server.outputs(entry, "saved")
    assert len(saved) == 2
    assert packets(saved[0], "video") == packets(server.base / "input" / "scene.mp4", "video")
    assert seconds(saved[0], "audio") == pytest.approx(4.0, abs=0.05)
    assert server.outputs(entry, "track")[0].exists()
    assert "sound" in entry["outputs"]["report"]["text"][0]
    assert "gravel" in entry["outputs"]["notes"]["text"][0]


def test_latents(server, info):
    latents = {
        "picture": node("EmptyImage", width=64, height=64, batch_size=12, color=255),
        "vae": node("VAELoader", vae_name="pixel_space"),
        "latents": node("VAEEncode", pixels=["picture", 0], vae=["vae", 0]),
        "seen": node(
            "VersaSound_LatentToVisualFeatures",
            latents=["latents", 0],
            vae=["vae", 0],
            **defaults(info, "LatentToVisualFeatures", fps=6.0),
        ),
        "track": node("VersaSound_EventTrack", visual_features=["seen", 0]),
        "said": node("PreviewAny", source=["track", 1]),
    }
    entry = server.run(latents)
    assert entry["status"]["status_str"] == "success", comfy_server.messages(entry)
    assert json.loads(entry["outputs"]["said"]["text"][0]) == [[]]  # nothing moves in it


def test_images_and_a_rate_make_a_video(server, info):
    workflow = add_sound(info)
    workflow["0"] = node("EmptyImage", width=64, height=64, batch_size=32, color=255)
    workflow["1"] = node("CreateVideo", images=["0", 0], fps=16.0)
    (made,) = server.outputs(server.run(workflow), "3")
    assert seconds(made, "audio") == pytest.approx(2.0, abs=0.05)


def test_cut_of_a_video(server, info):
    workflow = add_sound(info)
    workflow["0"] = node("LoadVideo", file="scene.mp4")
    workflow["1"] = node("Video Slice", video=["0", 0], start_time=1.0, duration=2.0, strict_duration=False)
    (made,) = server.outputs(server.run(workflow), "3")
    assert seconds(made, "video") == pytest.approx(2.0, abs=0.1)
    assert seconds(made, "audio") == pytest.approx(seconds(made, "video"), abs=0.05)


def test_second_run_is_cached(server, info):
    workflow = add_sound(info, seed=7)
    server.run(workflow)
    assert sorted(comfy_server.cached(server.run(workflow))) == ["1", "2", "3"]
    workflow["2"]["inputs"]["seed"] = 8
    assert comfy_server.cached(server.run(workflow)) == ["1"]


def slowly(server, info, steps):
    workflow = add_sound(info, seed=int(time.time()))
    workflow["2"]["inputs"] |= {"generator": "slow", "generator.steps": steps}
    return workflow


def test_stop_within_a_step(server, info):
    queued = server.queue(slowly(server, info, 100_000))
    end = time.monotonic() + 60
    while time.monotonic() < end and not server.get("queue")["queue_running"]:
        time.sleep(0.05)
    time.sleep(1.0)
    pressed = time.monotonic()
    server.post("interrupt", {})
    entry = server.wait(queued)
    assert [kind for kind, _ in entry["status"]["messages"]][-1] == "execution_interrupted"
    assert time.monotonic() - pressed < 10  # of the 5000 s that it would have taken
    assert server.run(add_sound(info, seed=9))["status"]["status_str"] == "success"


def test_thirty_runs_do_not_grow_memory(server, info):
    held = []
    for seed in range(1000, 1030):
        assert server.run(add_sound(info, seed=seed))["status"]["status_str"] == "success"
        held.append(server.memory_mib)
    assert max(held[20:]) - max(held[5:15]) < 40, [round(mib) for mib in held]


def test_weights_stay_until_comfyui_frees_them(server, info):
    def made(seed):
        workflow = add_sound(info, **chosen(info, "AddSoundToVideo", "generator", "heavy"), seed=seed)
        workflow["4"] = node("PreviewAny", source=["2", 2])
        return server.run(workflow)["outputs"]["4"]["text"][0]

    assert "loaded" in made(1)
    assert "found" in made(2)
    held = server.memory_mib
    server.post("free", {"unload_models": True})
    end = time.monotonic() + 60
    while time.monotonic() < end and server.memory_mib > held - 300:
        time.sleep(0.2)
    assert server.memory_mib <= held - 300  # of the 381 MiB
    assert "loaded" in made(3)


def test_room_is_made_for_a_backend_and_not_of_its_own_weights():
    home, python = comfy_server.where()
    command = [python, Path(comfy_server.__file__).with_name("room.py"), "--cpu"]
    env = {**os.environ, "PYTHONPATH": str(home)}
    made = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout.splitlines()[-1]) == {
        "before": ["a model", "other", "wanted"],
        "it holds all it needs": ["a model", "other", "wanted"],
        "it needs more": ["wanted"],
        "unloaded": [],
    }


class TestWrong:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"encoder": "nothing"}, "there is no encoder .nothing.*Installed: .*motion"),
            ({"encoder.fps": 0.0}, "encoder.fps"),
            ({"sync_strength": 2.0}, "sync_strength"),
            ({"generator.material": "cheese"}, "generator.material"),
        ],
    )
    def test_values_are_refused_before_anything_runs(self, server, info, change, words):
        workflow = add_sound(info)
        workflow["2"]["inputs"] |= change
        assert re.search(words, refused(server, workflow))

    def test_wrong_wire(self, server, info):
        workflow = add_sound(info)
        workflow["2"]["inputs"]["video"] = ["4", 0]
        workflow["4"] = node("EmptyImage", width=64, height=64, batch_size=1, color=0)
        assert "VIDEO" in refused(server, workflow)

    def test_plugin_that_breaks_at_import(self, server, info):
        workflow = add_sound(info)
        workflow["2"]["inputs"]["generator"] = "breaks"
        said = failed(server, workflow)
        assert "libnothing.so.7" in said
        assert "pip install --force-reinstall thirdparty-breaks" in said
        assert "libnothing.so.7" in refused(server, workflow)  # from now on it is known, and not offered

    def test_missing_checkpoint(self, server, info):
        names = [
            o["key"] for o in info["VersaSound_VisualFeatureExtractor"]["input"]["required"]["encoder"][1]["options"]
        ]
        if "clip" not in names:
            pytest.skip("versasound-plugin-clip is not installed where ComfyUI runs")
        workflow = add_sound(info, **chosen(info, "AddSoundToVideo", "encoder", "clip"))
        said = failed(server, workflow)
        assert "openai/clip-vit-base-patch32 (0.61 GB, licence: MIT)" in said
        assert "versasound pull clip" in said

    def test_video_without_sound(self, server, info):
        workflow = {
            "1": node("LoadVideo", file="scene.mp4"),
            "2": node("GetVideoComponents", video=["1", 0]),
            "3": node("VersaSound_AudioRefiner", audio=["2", 1], **defaults(info, "AudioRefiner")),
            "4": node("PreviewAudio", audio=["3", 0]),
        }
        assert "Does the video have a sound track?" in failed(server, workflow)

    def test_empty_batches(self, server, info):
        workflow = {
            "1": node("Nothing"),
            "2": node("VersaSound_AudioRefiner", audio=["1", 0], **defaults(info, "AudioRefiner")),
            "3": node("PreviewAudio", audio=["2", 0]),
        }
        assert "empty batch" in failed(server, workflow)
        workflow = add_sound(info)
        workflow["0"] = node("Nothing")
        workflow["1"] = node("CreateVideo", images=["0", 1], fps=16.0)
        assert "no pictures" in failed(server, workflow)

    def test_no_room_to_write(self, server, info):
        process = server._process.pid
        soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (30_000, hard))
        try:
            said = failed(server, add_sound(info, seed=31337))
        finally:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))
        assert re.search("(?i)free (some )?space", said), said


def test_weights_are_fetched_when_their_licence_is_accepted(server, info):
    offered = info["VersaSound_FetchWeights"]["input"]["required"]["weights"][1]["options"]
    name = "encoder clip, vit-b-16: 0.6 GB, MIT"
    if name not in offered:
        pytest.skip("versasound-plugin-clip is not installed where ComfyUI runs")
    workflow = {"1": node("VersaSound_FetchWeights", weights=name, agreed=False)}
    assert re.search(r"0.6 GB, licence: MIT\) was not fetched\. Accept", failed(server, workflow))
    assert server.hub.sent == []
    workflow["1"]["inputs"]["agreed"] = True
    assert server.run(workflow)["status"]["status_str"] == "success"
    assert (server.base / "models" / "versasound" / f"models--{CLIP.replace('/', '--')}").is_dir()
    looking = {
        "1": node("LoadVideo", file="scene.mp4"),
        "2": node(
            "VersaSound_VisualFeatureExtractor",
            video=["1", 0],
            **chosen(info, "VisualFeatureExtractor", "encoder", "clip", variant="vit-b-16"),
        ),
        "3": node("PreviewAny", source=["2", 1]),
    }
    assert "(" in server.run(looking)["outputs"]["3"]["text"][0]  # it has words now


def test_weights_in_the_extra_folders_of_models_are_found(server, info):
    names = [o["key"] for o in info["VersaSound_VisualFeatureExtractor"]["input"]["required"]["encoder"][1]["options"]]
    if "dinov2" not in names:
        pytest.skip("versasound-plugin-dinov2 is not installed where ComfyUI runs")
    eyes = chosen(info, "VisualFeatureExtractor", "encoder", "dinov2", variant="base")
    workflow = {
        "1": node("LoadVideo", file="scene.mp4"),
        "2": node("VersaSound_VisualFeatureExtractor", video=["1", 0], **eyes),
        "3": node("PreviewAny", source=["2", 1]),
    }
    entry = server.run(workflow)
    assert entry["status"]["status_str"] == "success", comfy_server.messages(entry)


def test_plugin_installed_meanwhile_is_offered_without_a_restart(server):
    def offered():
        about = server.get("object_info/VersaSound_AudioGenerator")["VersaSound_AudioGenerator"]
        return [option["key"] for option in about["input"]["required"]["generator"][1]["options"]]

    assert "late" not in offered()
    packages.install(server.site, "late", packages.SLOW, packages.SLOW_OPTIONS)
    assert "late" in offered()
