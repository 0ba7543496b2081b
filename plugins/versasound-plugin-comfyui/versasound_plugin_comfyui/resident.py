"""Backends that stay loaded between runs, in ComfyUI's account of memory: it may have theirs whenever it wants."""

from __future__ import annotations

from inspect import isclass, ismodule, isroutine
from typing import TYPE_CHECKING

import comfy.model_management as memory
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from . import registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from versasound_core.cards import Role

_GIB = 2**30
_residents: list[Resident] = []


class Resident(ModelPatcher):
    """A backend that was made, as a model of ComfyUI's.

    Its weights lie where the backend put them, and nobody moves them. Asked to unload it, ComfyUI gets their memory
    back, on the GPU and beside it: the backend is let go of, and made anew when it is next wanted.
    """

    def __init__(self, key: registry.Key, backend: object, device: torch.device) -> None:
        super().__init__(nn.ModuleList(modules(backend)), load_device=device, offload_device=torch.device("cpu"))
        self.key = key

    def loaded_size(self) -> int:
        """All of it: a backend is there, or it is not."""
        return int(self.model_size())

    def current_loaded_device(self) -> torch.device:
        """Return the device that it computes on."""
        device: torch.device = self.load_device
        return device

    def partially_load(self, *_: object, **__: object) -> int:
        """Move nothing."""
        return 0

    def partially_unload(self, *_: object, **__: object) -> int:
        """Move nothing."""
        return 0

    def detach(self, unpatch_all: bool = True) -> nn.ModuleList:
        """Let the backend go, unless ComfyUI only lists it anew."""
        model: nn.ModuleList = self.model
        if unpatch_all:
            registry.kept.let_go(self.key)
            del model[:]  # and not the list itself, whose end ComfyUI watches while it unloads
        return model


def make_room(backends: Sequence[tuple[Role, str | None]], device: torch.device) -> None:
    """Ask ComfyUI for as much memory as these backends say they need and do not hold yet."""
    found = [registry.find(role, name) for role, name in backends if name is not None]
    names = {(backend.role, backend.full_name) for backend in found}
    needed = sum(backend.card.vram_gb for backend in found if backend.card) * _GIB
    ours = [
        loaded
        for loaded in memory.current_loaded_models
        if isinstance(loaded.model, Resident) and loaded.model.key[:2] in names
    ]
    held = sum(loaded.model_loaded_memory() for loaded in ours)
    memory.free_memory(max(needed - held, 0), device, keep_loaded=ours)


def enlist(device: torch.device) -> None:
    """Put the backends that are kept on ComfyUI's list of what is loaded."""
    global _residents  # noqa: PLW0603  (ComfyUI itself holds them weakly)
    _residents = [Resident(key, backend, device) for key, backend in registry.kept.made.items()]
    if _residents:
        memory.load_models_gpu(_residents)


def modules(backend: object) -> Iterator[nn.Module]:
    """Find the modules that a backend holds, at whatever depth of its attributes: it inherits nothing that tells."""
    seen: set[int] = set()
    left = [backend]
    while left:
        one = left.pop()
        if id(one) in seen or isclass(one):
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            yield one
        elif isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list | tuple | set):
            left += one
        elif not isroutine(one) and not ismodule(one):
            left += getattr(one, "__dict__", {}).values()
