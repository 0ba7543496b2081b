"""VersaSound's nodes for ComfyUI. The folder in `custom_nodes` imports `comfy_entrypoint` from here, and no more."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .extension import VersaSoundExtension

__all__ = ["comfy_entrypoint", "is_comfyui_new_enough"]


def is_comfyui_new_enough() -> bool:
    """Whether this ComfyUI has all that the nodes use (0.22 has); an older one is shown the classic nodes instead."""
    try:
        from comfy_api.latest import Input, io
    except ImportError:
        return False
    return (
        hasattr(io, "DynamicCombo")
        and "accept_all_inputs" in inspect.signature(io.Schema).parameters
        and hasattr(Input.Video, "get_active_trim_window")
    )


async def comfy_entrypoint() -> VersaSoundExtension:
    """Return the nodes, as ComfyUI asks for them when it starts."""
    from .extension import VersaSoundExtension

    return VersaSoundExtension()
