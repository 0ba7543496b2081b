"""VersaSound for ComfyUI. The nodes are in the pip package versasound-plugin-comfyui; this folder only shows them."""

from versasound_plugin_comfyui import comfy_entrypoint

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
