"""`versasound doctor`: what is here, what is missing, and what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.cards import ROLES
from versasound_core.errors import VersaSoundError, in_words
from versasound_core.hooks import PLUGIN_FAILURES
from versasound_core.recipe import Recipe
from versasound_core.registry import State, default_registry
from versasound_core.weights import hub_cache

from . import plugins

if TYPE_CHECKING:
    import argparse

_NEEDED = ("numpy", "torch", "av", "soxr", "safetensors")
_MIB = 2**20
_PATIENCE_S = 3.0


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
    seconds = {} if failures else _load_backends()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions,
        "ffmpeg": {} if "av" in failures else _ffmpeg(),
        "device": {} if "torch" in failures else _device(),
        "backends": [
            {**plugins.facts(backend), "import_s": seconds.get(backend.full_name + backend.role)}
            for backend in default_registry.backends()
        ],
        "hook_failures": default_registry.hooks.failures,
        "cache": _cache(),
        "hub": _hub(),
        "reports": importlib.util.find_spec("matplotlib") is not None,
        "libraries_failed": failures,
        "missing": _missing(),
        "works": not failures and not _missing(),
    }


def _load_backends() -> dict[str, float]:
    """Load every backend, note which fail, and return how long each took; the first pays for what they share."""
    seconds = {}
    for backend in default_registry.backends():
        if backend.state is not State.READY:
            continue
        began_s = time.perf_counter()
        try:
            default_registry.create(backend.role, backend.name)
        except VersaSoundError as error:
            # Where its code cannot be loaded the registry has noted why.
            backend.state, backend.reason = State.BROKEN, backend.reason or str(error)
        seconds[backend.full_name + backend.role] = round(time.perf_counter() - began_s, 3)
    return seconds


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

    return _measured(default_cache_dir())


def _hub() -> dict[str, Any]:
    """What is kept of the Hugging Face hub, and whether more could be fetched. Nothing is."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    reason = _unreachable(endpoint)
    return {**_measured(hub_cache()), "endpoint": endpoint, "reachable": reason == "", "reason": reason}


def _unreachable(endpoint: str) -> str:
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "on", "true", "yes"}:
        return "HF_HUB_OFFLINE is set"
    if not endpoint.startswith(("http://", "https://")):
        return f"HF_ENDPOINT is no address: {endpoint}"
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PATIENCE_S).close()  # noqa: S310
    except urllib.error.HTTPError:  # it answers
        return ""
    except (OSError, ValueError) as error:
        return in_words(error)
    return ""


def _measured(folder: Path) -> dict[str, Any]:
    """How many files a folder holds, and how large they are; links, as the hub makes them, are not counted twice."""
    count = size = 0
    for home, _, names in os.walk(folder):
        for name in names:
            path = Path(home, name)
            if not path.is_symlink() and path.is_file():
                count, size = count + 1, size + path.stat().st_size
    return {"folder": str(folder), "files": count, "bytes": size}


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
    heavy = dict.fromkeys(b["name"] for b in found["backends"] if b["variants"] and b["state"] == State.LOADED)
    if heavy and not found["hub"]["files"]:
        reach = "Fetch them: versasound pull NAME"
        if found["hub"]["reason"]:
            reach = (
                f"The hub cannot be reached ({found['hub']['reason']}): run versasound pull NAME where it can, "
                f"and copy {found['hub']['folder']} here"
            )
        lines.append(f"There are no weights yet for {', '.join(heavy)}. {reach}")
    if not found["reports"]:
        lines.append("Reports need matplotlib: pip install matplotlib")
    if found["works"]:
        lines.append("Sound can be made. Try: versasound demo")
    return lines


def _print(found: dict[str, Any]) -> None:
    device, cache, hub = found["device"], found["cache"], found["hub"]
    rows = {
        "Python": f"{found['python']} on {found['system']}",
        **found["versions"],
        "FFmpeg": ", ".join(f"{name} {version}" for name, version in found["ffmpeg"].items()),
        "device": f"{device['device']}: {device['name']}, {device['memory']} MiB" if device else "",
        "cache": f"{cache['folder']}: {cache['files']} files, {cache['bytes'] / _MIB:.1f} MiB",
        "weights": f"{hub['folder']}: {hub['files']} files, {hub['bytes'] / _MIB:.1f} MiB",
        "hub": f"{hub['endpoint']} {'answers' if hub['reachable'] else 'does not answer: ' + hub['reason']}",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        if value:
            print(f"{name:{width}}  {value}")
    print()
    for line in plugins.table(default_registry.backends()):
        print(line)
    print()
    slowest = sorted((b for b in found["backends"] if b["import_s"]), key=lambda b: -b["import_s"])
    print("loaded in seconds:", ", ".join(f"{b['name']} {b['import_s']:.2f}" for b in slowest) or "nothing")
    print()
    for line in _advice(found):
        print(line)
