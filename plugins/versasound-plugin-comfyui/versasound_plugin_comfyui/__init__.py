"""VersaSound's nodes for ComfyUI. The folder in `custom_nodes` imports `comfy_entrypoint` from here, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .extension import VersaSoundExtension

__all__ = ["comfy_entrypoint"]


async def comfy_entrypoint() -> VersaSoundExtension:
    """Return the nodes, as ComfyUI asks for them when it starts."""
    from .extension import VersaSoundExtension

    return VersaSoundExtension()
