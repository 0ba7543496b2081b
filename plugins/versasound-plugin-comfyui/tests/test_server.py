"""The nodes in a real ComfyUI server, which `COMFYUI_PATH` names.

`VERSASOUND_RECORD=1` writes what the server says of the nodes into the golden file that other tests read.
"""

import hashlib
import json
import os
import re
import subprocess
import time
from pathlib import Path

import av
import pytest
from comfyui_support import golden, packages
from comfyui_support import server as comfy_server
from comfyui_support.graphs import add_sound, chosen, defaults, failed, node

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "object_info.json"
CLIP = "openai/clip-vit-base-patch16"


pytestmark = pytest.mark.skipif(
    comfy_server.where() is None, reason="COMFYUI_PATH names no ComfyUI to run the nodes in"
)


def packets(path, kind):
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        return hashlib.md5(b"".join(bytes(packet) for packet in file.demux(stream))).hexdigest()


def seconds(path, kind):
    with av.open(str(path)) as file:
        stream = next(stream for stream in file.streams if stream.type == kind)
        return float(stream.duration * stream.time_base)


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
