"""`python room.py --cpu`, with ComfyUI on its path: which models stay when a backend needs room. Prints a line of JSON.

There is no GPU: the free memory of the CPU is said to be none, so that all that is needed must be taken from others.
"""

from __future__ import annotations

import gc
import json

import comfy.options

comfy.options.enable_args_parsing()  # which happens while the rest is imported

import comfy.model_management as memory  # noqa: E402
import torch  # noqa: E402
from comfy.model_patcher import ModelPatcher  # noqa: E402
from versasound_plugin_comfyui import registry, resident  # noqa: E402

from versasound_core.registry import default_registry  # noqa: E402

CPU = torch.device("cpu")
WEIGHTS_GB = 4000 * 4000 * 4 / 2**30


class Heavy:
    def __init__(self) -> None:
        self.parts = [torch.nn.Linear(4000, 4000, bias=False)]


def register(needs_gb: float) -> None:
    default_registry._registered.clear()
    for name in ("wanted", "other"):
        default_registry.register("generator", name, Heavy, {"summary": "A test's.", "vram_gb": needs_gb})


def there() -> list[str]:
    """The models that are loaded, and the backends among them by name."""
    gc.collect()
    patchers = [loaded.model for loaded in memory.current_loaded_models]
    return sorted(p.key[1].split(":")[-1] if isinstance(p, resident.Resident) else "a model" for p in patchers)


def main() -> None:
    register(WEIGHTS_GB)
    for name in ("wanted", "other"):
        registry.kept.create("generator", name)
    resident.enlist(CPU)
    model = ModelPatcher(torch.nn.Linear(500, 500), CPU, CPU)
    memory.load_models_gpu([model])
    free, memory.get_free_memory = memory.get_free_memory, lambda *_, **__: 0
    memory.soft_empty_cache = lambda *_, **__: None
    memory.vram_state = memory.VRAMState.HIGH_VRAM  # then it does not ask how much of the free memory is PyTorch's
    said = {"before": there()}
    resident.make_room([("generator", "wanted")], CPU)
    said["it holds all it needs"] = there()
    register(10 * WEIGHTS_GB)
    resident.make_room([("generator", "wanted")], CPU)
    said["it needs more"] = there()
    memory.get_free_memory = free
    memory.unload_all_models()
    said["unloaded"] = [*there(), *registry.kept.made]
    print(json.dumps(said))


main()
