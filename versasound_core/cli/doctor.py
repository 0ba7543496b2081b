"""`versasound doctor`: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import platform
from typing import TYPE_CHECKING, Any

from versasound_core.cards import ROLES
from versasound_core.errors import VersaSoundError, in_words
from versasound_core.hooks import PLUGIN_FAILURES
from versasound_core.recipe import Recipe
from versasound_core.registry import State, default_registry

from . import plugins

if TYPE_CHECKING:
    import argparse

_NEEDED = ("numpy", "torch", "av", "soxr", "safetensors")
_MIB = 2**20


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="look whether everything works",
        description="Load every library and plugin, and say what works, what does not and what to do. "
        "Exits with 1 if the default backends cannot run.",
        parents=parents,
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 if sound cannot be made the default way."""
    found = examine()
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    return 0 if found["works"] else 1


def examine() -> dict[str, Any]:
    """Load what there is to load, and return what was found; `works` is whether the default backends can run."""
    failures: dict[str, str] = {}
    versions = {"versasound-core": importlib.metadata.version("versasound-core")}
    for name in _NEEDED:
        try:
            versions[name] = importlib.import_module(name).__version__
        except PLUGIN_FAILURES as error:
            failures[name] = in_words(error)
    default_registry.hooks.load(default_registry)
    for backend in default_registry.backends():
        if backend.state is State.READY and not failures:
            try:
                default_registry.create(backend.role, backend.name)
            except VersaSoundError as error:
                # Where its code cannot be loaded the registry has noted why.
                backend.state, backend.reason = State.BROKEN, backend.reason or str(error)
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions,
        "ffmpeg": {} if "av" in failures else _ffmpeg(),
        "device": {} if "torch" in failures else _device(),
        "backends": [plugins.facts(backend) for backend in default_registry.backends()],
        "hook_failures": default_registry.hooks.failures,
        "cache": _cache(),
        "reports": importlib.util.find_spec("matplotlib") is not None,
        "libraries_failed": failures,
        "missing": _missing(),
        "works": not failures and not _missing(),
    }


def _missing() -> list[str]:
    """The default backends that cannot be used."""
    recipe = Recipe()
    usable = {(b.role, b.name) for b in default_registry.backends() if b.state in {State.READY, State.LOADED}}
    return [f"{role} {getattr(recipe, role)}" for role in ROLES if (role, getattr(recipe, role)) not in usable]


def _ffmpeg() -> dict[str, str]:
    import av

    return {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}


def _device() -> dict[str, Any]:
    from versasound_core.device import DeviceManager

    return {**DeviceManager().get_device_info()}


def _cache() -> dict[str, Any]:
    from versasound_core.cache import default_cache_dir

    folder = default_cache_dir()
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {"folder": str(folder), "files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def _advice(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{name} cannot be loaded ({reason}). Install it anew: pip install --force-reinstall {name}"
        for name, reason in found["libraries_failed"].items()
    ]
    installed = {f"{backend['role']} {backend['name']}": backend for backend in found["backends"]}
    for name in found["missing"]:
        if name not in installed:
            lines.append(f'The default {name} is not installed: pip install "versasound-core[default]"')
        elif not found["libraries_failed"]:
            lines.append(f"The default {name} cannot run: {installed[name]['reason']}")
    for name, backend in installed.items():
        if backend["state"] in {State.BROKEN, State.INCOMPATIBLE} and name not in found["missing"]:
            lines.append(
                f"The {name} cannot run: {backend['reason']} pip uninstall {backend['distribution']} removes it."
            )
    lines += [f"A plugin failed: {failure}" for failure in found["hook_failures"]]
    if not found["reports"]:
        lines.append("Reports need matplotlib: pip install matplotlib")
    if found["works"]:
        lines.append("Sound can be made. Try: versasound demo")
    return lines


def _print(found: dict[str, Any]) -> None:
    device, cache = found["device"], found["cache"]
    rows = {
        "Python": f"{found['python']} on {found['system']}",
        **found["versions"],
        "FFmpeg": ", ".join(f"{name} {version}" for name, version in found["ffmpeg"].items()),
        "device": f"{device['device']}: {device['name']}, {device['memory']} MiB" if device else "",
        "cache": f"{cache['folder']}: {cache['files']} files, {cache['bytes'] / _MIB:.1f} MiB",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        if value:
            print(f"{name:{width}}  {value}")
    print()
    for line in plugins.table(default_registry.backends()):
        print(line)
    print()
    for line in _advice(found):
        print(line)
