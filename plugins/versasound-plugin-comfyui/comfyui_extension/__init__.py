"""VersaSound's published Python API: models, processors and nodes that work without ComfyUI too.

Behind these names are the core and its plugins; any backend that is installed can be named here.
"""

from __future__ import annotations

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
