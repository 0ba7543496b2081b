"""What a real ComfyUI server says when something is wrong."""

import re
import resource

import pytest
from comfyui_support import server as comfy_server
from comfyui_support.graphs import add_sound, chosen, defaults, failed, node, refused

pytestmark = pytest.mark.skipif(
    comfy_server.where() is None, reason="COMFYUI_PATH names no ComfyUI to run the nodes in"
)


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
