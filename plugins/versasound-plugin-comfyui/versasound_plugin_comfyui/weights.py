"""Weights in ComfyUI's own folders: `models/versasound` and whatever `extra_model_paths.yaml` adds to it."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from versasound_core import weights as core

KIND = "versasound"


def use_comfyui_folders() -> None:
    """Have VersaSound look for weights in ComfyUI's folders too, whatever ComfyUI adds to them later."""
    folder_paths.add_model_folder_path(KIND, str(Path(folder_paths.models_dir, KIND)), is_default=True)
    if folders not in core.more_caches:
        core.more_caches.append(folders)


def folders() -> list[Path]:
    """Return the folders, the one that downloads go to first."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(KIND)]
