"""One ComfyUI for all tests that ask a real one, beside packs and plugins that misbehave."""

import json
import re
import shutil
from pathlib import Path

import pytest
from comfyui_support import golden, packages
from comfyui_support import server as comfy_server
from tiny_hub.server import serving

from versasound_core.scenes import random_scene, write_scene

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
CLIP, DINOV2 = "openai/clip-vit-base-patch16", "facebook/dinov2-base"


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def info(server):
    return {name: facts for name, facts in server.get("object_info").items() if name.startswith("VersaSound_")}
