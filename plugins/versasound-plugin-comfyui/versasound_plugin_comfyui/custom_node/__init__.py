"""VersaSound for ComfyUI. The nodes are in the pip package versasound-plugin-comfyui; this folder only shows them."""

try:
    from versasound_plugin_comfyui import is_comfyui_new_enough
except ModuleNotFoundError as error:
    if error.name != "versasound_plugin_comfyui":
        raise
    message = "VersaSound is missing here; with the Python that runs ComfyUI: pip install versasound-plugin-comfyui"
    raise ModuleNotFoundError(message, name=error.name) from None

WEB_DIRECTORY = "./web"
if is_comfyui_new_enough():
    from versasound_plugin_comfyui import comfy_entrypoint
else:
    from comfyui_extension import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
