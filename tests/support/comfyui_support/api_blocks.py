"""Runs every Python block of the published API page, each in a process of its own.

`python api_blocks.py PAGE` runs in an empty folder and prints one line of JSON for each block. A block runs as it is
printed. What the page leaves open is supplied: the files that an example reads, the names that earlier blocks defined,
and the usual imports of signatures. Weights are looked for where `HF_HUB_CACHE` says.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import textwrap
import traceback
from pathlib import Path

# How a name comes to be that a block uses and does not define: an import of the page's own, or an earlier block's line.
NAMES = {
    "torch": "import torch",
    "nn": "from torch import nn",
    **{name: f"from typing import {name}" for name in ("Any", "Dict", "Optional", "Union")},
    "VisualFeatures": "from comfyui_extension.custom_types import VisualFeatures",
    "AudioData": "from comfyui_extension.custom_types import AudioData",
    "VisualFeatureExtractor": "from comfyui_extension.nodes import VisualFeatureExtractor",
    "AudioGenerator": "from comfyui_extension.nodes import AudioGenerator",
    "UniversalVisualEncoder": "from comfyui_extension.models.visual_encoder import UniversalVisualEncoder",
    "encoder": "encoder = UniversalVisualEncoder(backbone='videomae')",
    "features": "features = encoder(torch.randn(1, 24, 3, 224, 224))",
    "visual_features": "visual_features = VisualFeatures(torch.randn(1, 24, 768), {'backbone': 'videomae', 'fps': 24})",
    "audio": "audio = AudioData(torch.randn(1, 1, 80000) / 10, sample_rate=16000)",
    "audio_data": "audio_data = AudioData(torch.randn(1, 1, 80000) / 10, sample_rate=16000)",
    "generated_audio": "generated_audio = AudioData(torch.randn(1, 1, 80000) / 10, sample_rate=16000)",
    "video": "video = torch.rand(24, 64, 96, 3)  # [N, H, W, C] in [0, 1]",
    "video_tensor": "video_tensor = torch.rand(24, 64, 96, 3)",
    **{f"video{k}": f"video{k} = torch.randn(24, 3, 224, 224)" for k in (1, 2, 3)},
    "images": "images = torch.rand(2, 64, 64, 3)",
    "latents": "latents = {'samples': torch.randn(1, 4, 32, 32)}",
    "vae": "from vae_of_this_test import vae",
    "config": "from comfyui_extension.utils.config_utils import load_config\nconfig = load_config()",
}
# The nearest pixel and back: what a VAE of ComfyUI takes and gives.
VAE = """
import torch

class Vae:
    def decode(self, samples):
        return samples[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3).movedim(1, -1).clamp(0, 1)

    def encode(self, pixels):
        return torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)[:, [0, 1, 2, 0]]

vae = Vae()
"""


def blocks(page: str) -> list[tuple[str, str]]:
    """The Python blocks, each with the headings above it."""
    found: list[tuple[str, str]] = []
    headings: list[str] = []
    lines = iter(page.splitlines())
    for line in lines:
        if match := re.match(r"(#+) (.*)", line):
            headings = [*headings[: len(match[1]) - 1], match[2]]
        elif line.strip() == "```python":
            code = []
            for inner in lines:
                if inner.strip() == "```":
                    break
                code.append(inner)
            title = headings[-1] + (f" ({code[0].strip()})" if headings[-1] == "Optimization Checklist" else "")
            found.append((title, textwrap.dedent("\n".join(code))))
    return found


def missing(code: str) -> list[str]:
    """The names that must be there before the block runs, in the order in which they are first used."""
    tree = ast.parse(code)
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for statement in function.body
        for node in ast.walk(statement)
    }
    stored: set[str] = set()
    wanted: list[str] = []
    outer = [node for node in ast.walk(tree) if id(node) not in inner]
    for node in sorted(outer, key=lambda n: (getattr(n, "lineno", 0), isinstance(getattr(n, "ctx", None), ast.Store))):
        if isinstance(node, ast.alias):
            stored.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            stored.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stored.add(node.id)
        elif isinstance(node, ast.Name) and node.id in NAMES and node.id not in stored and node.id not in wanted:
            wanted.append(node.id)
    return wanted


def supply(name: str, scope: dict[str, object]) -> None:
    """Define a name, and those that its own definition uses, unless it is there."""
    if name in scope:
        return
    for other in missing(NAMES[name]):
        supply(other, scope)
    exec(NAMES[name], scope)


def write_files(folder: Path) -> None:
    """Write the files that the examples read."""
    import torch

    from versasound_core.config import load_config, save_config
    from versasound_core.containers import AudioData
    from versasound_core.media.audio import save_audio
    from versasound_core.scenes import random_scene, write_scene

    for name in ("path/to", "data/videos", "data/audio"):
        (folder / name).mkdir(parents=True)
    tone = AudioData(0.1 * torch.sin(torch.arange(16000) / 6)[None, None], 16000)
    save_audio(tone, folder / "path/to/audio.wav")
    write_scene(random_scene(1, 1.0), folder / "path/to/video.mp4", height=64)
    save_config(load_config(), folder / "path/to/custom_config.yaml")
    for name in ("one", "two"):
        write_scene(random_scene(2, 1.0), folder / f"data/videos/{name}.mp4", height=64)
        save_audio(tone, folder / f"data/audio/{name}.wav")
    (folder / "vae_of_this_test.py").write_text(VAE)


def run(code: str, folder: Path) -> str:
    """Run one block in a process of its own; return what went wrong, or nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        status = os.waitpid(child, 0)[1]
        return said or (f"the process ended with {status}" if status else "")
    try:
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        scope: dict[str, object] = {"__name__": "__main__"}
        for name in missing(code):
            supply(name, scope)
        exec(code, scope)
    except BaseException:  # noqa: BLE001  (told to the parent)
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(0)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    import transformers.models.videomae  # noqa: F401  (heavy, and not what is tested)

    import versasound_core.vision  # noqa: F401

    page, folder = Path(sys.argv[1]), Path(sys.argv[2])
    write_files(folder)
    for title, code in blocks(page.read_text(encoding="utf-8")):
        print(json.dumps({"title": title, "error": run(code, folder)}), flush=True)


if __name__ == "__main__":
    main()
