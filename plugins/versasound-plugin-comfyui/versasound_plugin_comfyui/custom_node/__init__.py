"""VersaSound for ComfyUI. The nodes are in the pip package versasound-plugin-comfyui; this folder only shows them."""

try:
    from versasound_plugin_comfyui import comfy_entrypoint
except ModuleNotFoundError as error:
    if error.name != "versasound_plugin_comfyui":
        raise
    message = (
        "VersaSound is not installed here: with the Python that runs ComfyUI, pip install versasound-plugin-comfyui"
    )
    raise ModuleNotFoundError(message, name=error.name) from None

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
