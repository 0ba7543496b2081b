"""As much of ComfyUI's interface as the nodes touch, for runs without ComfyUI.

It renders schemas in the form of `/object_info`; the golden file, which a real server wrote, keeps it honest.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Input:
    kind = ""

    def __init__(self, id: str, **about: Any) -> None:  # noqa: A002  (ComfyUI's name)
        self.id, self.about = id, about

    def info(self) -> tuple[str, dict[str, Any]]:
        return self.kind, {key: value for key, value in self.about.items() if value is not None}


class Output:
    kind = ""

    def __init__(self, id: str, tooltip: str | None = None, is_output_list: bool = False) -> None:  # noqa: A002
        self.id, self.tooltip, self.is_output_list = id, tooltip, is_output_list


def wire(kind: str, **always: Any) -> Any:
    """A type of ComfyUI: its input and its output."""

    class TypedInput(Input):
        def __init__(self, id: str, **about: Any) -> None:  # noqa: A002  (ComfyUI's name)
            super().__init__(id, **{**always, **about})

    TypedInput.kind = kind
    return SimpleNamespace(Input=TypedInput, Output=type("TypedOutput", (Output,), {"kind": kind}))


class Option:
    def __init__(self, key: str, inputs: list[Input]) -> None:
        self.key, self.inputs = key, inputs


class Choice(Input):
    kind = "COMFY_DYNAMICCOMBO_V3"

    def info(self) -> tuple[str, dict[str, Any]]:
        kind, about = super().info()
        about["options"] = [
            {"key": option.key, "inputs": {"required": {one.id: list(one.info()) for one in option.inputs}}}
            for option in about["options"]
        ]
        return kind, about


class Schema:
    def __init__(self, *, accept_all_inputs: bool = False, **about: Any) -> None:
        self.__dict__.update(about)

    def info(self) -> dict[str, Any]:
        about = self.__dict__
        saves = about.get("is_output_node", False)
        hidden = {"prompt": ("PROMPT",), "extra_pnginfo": ("EXTRA_PNGINFO",)}
        required = {one.id: list(one.info()) for one in about["inputs"]}
        return {
            "input": {"required": required, **({"hidden": hidden} if saves else {})},
            "output": [one.kind for one in about["outputs"]],
            "output_name": [one.id for one in about["outputs"]],
            "output_is_list": [one.is_output_list for one in about["outputs"]],
            "display_name": about["display_name"],
            "category": about["category"],
            "description": about["description"],
            "output_node": saves,
        }


class NodeOutput:
    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args, self.ui = args, ui


class InterruptProcessingException(BaseException):
    """What ComfyUI raises when somebody presses stop."""


class VideoFromFile:
    """ComfyUI's VIDEO of a file, or of a cut of it."""

    def __init__(self, file: Any, window: tuple[float, float] = (0.0, 0.0)) -> None:
        self.file, self.window = file, window

    def get_stream_source(self) -> Any:
        return self.file

    def get_active_trim_window(self) -> tuple[float, float]:
        return self.window


class ModelPatcher:
    """ComfyUI's handle on a model."""

    def __init__(self, model: torch.nn.Module, load_device: torch.device, offload_device: torch.device) -> None:
        self.model, self.load_device, self.offload_device = model, load_device, offload_device

    def model_size(self) -> int:
        return sum(tensor.nbytes for tensor in self.model.state_dict().values())


class Host:
    """What the stand-in was told, and what it is to say.

    Attributes:
        progress: The values of the progress bar.
        stop_after: Press the stop button when the bar has moved so often.
        model_folders: Where models are looked for.
        loaded: The models that lie in memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress: list[int] = []
        self.stop_after: int | None = None
        self.model_folders: list[str] = []
        self.loaded: list[Any] = []

    def load(self, patchers: list[Any]) -> None:
        self.loaded[:] = patchers

    def unload(self) -> None:
        for patcher in self.loaded:
            patcher.detach()
        self.loaded.clear()

    def interrupted(self) -> bool:
        return self.stop_after is not None and len(self.progress) >= self.stop_after

    def throw_if_interrupted(self) -> None:
        if self.interrupted():
            raise InterruptProcessingException


def put_in_place(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Host:
    """Let the modules be found that ComfyUI would bring."""
    host = Host(folder)

    class ProgressBar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update_absolute(self, value: int) -> None:
            host.progress.append(value)

    io = SimpleNamespace(
        Boolean=wire("BOOLEAN"),
        Int=wire("INT"),
        Float=wire("FLOAT"),
        String=wire("STRING", multiline=False),
        Combo=wire("COMBO", multiselect=False),
        Video=wire("VIDEO"),
        Audio=wire("AUDIO"),
        Image=wire("IMAGE"),
        Latent=wire("LATENT"),
        Vae=wire("VAE"),
        Custom=wire,
        DynamicCombo=SimpleNamespace(Input=Choice, Option=Option),
        ControlAfterGenerate=SimpleNamespace(fixed="fixed"),
        Schema=Schema,
        NodeOutput=NodeOutput,
        ComfyNode=type("ComfyNode", (), {}),
    )
    latest = {
        "io": io,
        "ui": SimpleNamespace(PreviewImage=lambda image, cls: ("preview", image)),
        "ComfyExtension": type("ComfyExtension", (), {}),
        "Input": SimpleNamespace(Video=VideoFromFile),
        "InputImpl": SimpleNamespace(VideoFromFile=VideoFromFile),
    }
    memory = {
        "get_torch_device": lambda: torch.device("cpu"),
        "processing_interrupted": host.interrupted,
        "throw_exception_if_processing_interrupted": host.throw_if_interrupted,
        "load_models_gpu": host.load,
        "unload_all_models": host.unload,
        "soft_empty_cache": lambda: None,
    }
    folders = {
        "models_dir": str(folder / "models"),
        "get_temp_directory": lambda: str(folder / "temp"),
        "add_model_folder_path": lambda kind, path, is_default: host.model_folders.insert(0, path),
        "get_folder_paths": lambda kind: list(host.model_folders),
    }
    modules = {
        "comfy": {},
        "comfy.utils": {"ProgressBar": ProgressBar},
        "comfy.model_management": memory,
        "comfy.model_patcher": {"ModelPatcher": ModelPatcher},
        "comfy_api": {},
        "comfy_api.latest": latest,
        "folder_paths": folders,
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    ours = [name for name in sys.modules if name.split(".")[0] == "versasound_plugin_comfyui"]
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    return host
