"""What ComfyUI loads: the list of nodes, and the folder for weights."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import weights
from .nodes import NODES


class VersaSoundExtension(ComfyExtension):
    """VersaSound in ComfyUI."""

    async def on_load(self) -> None:
        """Add `models/versasound` to the folders where weights are looked for."""
        weights.use_comfyui_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the nodes."""
        return list(NODES)
