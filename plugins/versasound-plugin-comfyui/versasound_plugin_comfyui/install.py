"""The folder in ComfyUI's `custom_nodes` that shows the nodes: put there, and taken away."""

from __future__ import annotations

import shutil
from pathlib import Path

from versasound_core.errors import InvalidInputError, MediaError

FOLDER = "versasound"
_TEMPLATE = Path(__file__).with_name("custom_node")


def install(comfyui: str | Path) -> Path:
    """Put the folder into a ComfyUI, in place of an older one of ours, and return where it is.

    Raises:
        InvalidInputError: There is no ComfyUI, or something else is called so there.
        MediaError: It cannot be written.
    """
    target = _place(comfyui)
    fresh = target.with_name(f".{FOLDER}-new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(_TEMPLATE, fresh, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(target, ignore_errors=True)
        fresh.replace(target)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise MediaError(
            f"{target} cannot be written: {error.strerror}.", "Check its rights and free space."
        ) from error
    return target


def uninstall(comfyui: str | Path) -> Path | None:
    """Take the folder away again; return where it was, or None if there was none.

    Raises:
        InvalidInputError: There is no ComfyUI, or something else is called so there.
        MediaError: It cannot be removed.
    """
    target = _place(comfyui)
    if not target.exists():
        return None
    try:
        shutil.rmtree(target)
    except OSError as error:
        raise MediaError(f"{target} cannot be removed: {error.strerror}.", "Check its rights.") from error
    return target


def _place(comfyui: str | Path) -> Path:
    nodes = Path(comfyui).expanduser() / "custom_nodes"
    if not nodes.is_dir():
        hint = "Name the folder with ComfyUI's main.py in it."
        raise InvalidInputError(f"{comfyui} is no ComfyUI: there is no folder {nodes}.", hint)
    target = nodes / FOLDER
    if target.is_symlink() or (target.exists() and not _is_ours(target)):
        raise InvalidInputError(f"{target} is there already, and is not this node pack.", "Move it away first.")
    return target


def _is_ours(folder: Path) -> bool:
    try:
        return "versasound_plugin_comfyui" in (folder / "__init__.py").read_text(encoding="utf-8")
    except OSError:
        return False
