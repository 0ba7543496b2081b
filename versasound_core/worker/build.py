"""Build the environment of an isolated backend with uv, aside, and put it in its place when it is whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import attrs

from versasound_core.errors import PluginError

from .environments import CORE, Environment, environments_dir, installed, listed_file
from .repack import repack

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.registry import Backend

_CHECK = "import versasound_core.worker.serve"


@attrs.frozen
class Package:
    """One package that is going to be installed.

    Args:
        name: Of the distribution.
        version: Of it.
        size_bytes: Of its file; 0 if the index does not tell.
    """

    name: str
    version: str
    size_bytes: int


def create(environment: Environment, confirm: Callable[[list[Package]], None]) -> None:
    """Build an environment, in place of the one that may be there.

    Versions are resolved first. The PyTorch release of this environment is preferred, and any other taken where the
    requirements exclude it. uv shows its own progress on stderr.

    Args:
        environment: Of a backend that is installed.
        confirm: Called with what would be installed; it may raise to stop.

    Raises:
        PluginError: If uv is missing or fails, or the plugin's files are not there.
    """
    from filelock import FileLock

    home, backend = environments_dir(), environment.backend
    if backend is None:
        raise PluginError(f"Nothing that is installed runs in an environment called {environment.name!r}.")
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        for left_over in home.glob(".*/"):  # whoever made it was killed: the lock is ours
            shutil.rmtree(left_over, ignore_errors=True)
        aside = home / f".{environment.path.name}.new"
        try:
            _build(environment, backend, aside, confirm)
            if environment.path.is_dir():
                environment.remove()
            aside.rename(environment.path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _build(environment: Environment, backend: Backend, aside: Path, confirm: Callable[[list[Package]], None]) -> None:
    uv = Uv(aside)
    uv.run("venv", "--quiet", "--relocatable", "--python", sys.executable, str(aside))
    wheels = aside / "wheels"
    wheels.mkdir()
    core, plugin = (repack(installed(name), wheels) for name in (CORE, backend.distribution))
    chosen, packages = _resolve(uv, backend, core)
    confirm(packages)
    # the plugin without what it depends on: that is for where it runs beside the rest
    uv.run("pip", "install", "--no-deps", "-r", str(chosen), str(plugin))
    python = aside / environment.python.relative_to(environment.path)
    done = subprocess.run([python, "-I", "-c", _CHECK], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise PluginError(
            f"The environment of {backend} was built and does not work: {last}", "Report this to the plugin's author."
        )
    shutil.rmtree(wheels)
    environment.stamp(aside, packages=len(packages))


def _resolve(uv: Uv, backend: Backend, core: Path) -> tuple[Path, list[Package]]:
    """Choose all versions; return a file with them, and how large they are."""
    requirements, overrides = listed_file(backend, "requirements"), listed_file(backend, "overrides")
    wanted = uv.folder / "wanted.txt"
    lines = [f"-r {requirements.as_posix()}"] if requirements else []
    wanted.write_text("\n".join([*lines, f"{CORE} @ {core.as_uri()}"]), encoding="utf-8")
    chosen, lock = uv.folder / "chosen.txt", uv.folder / "pylock.toml"
    # uv keeps to what stands in the output file already, wherever it can
    chosen.write_text(f"torch=={installed('torch').version}\n", encoding="utf-8")
    compiled = ("pip", "compile", "--quiet", "--no-header", "--no-annotate")
    uv.run(*compiled, str(wanted), *(["--override", str(overrides)] if overrides else []), "-o", str(chosen))
    uv.run(*compiled, "--no-deps", "--format", "pylock.toml", str(chosen), "-o", str(lock))
    with lock.open("rb") as file:
        packages = tomllib.load(file).get("packages", [])
    return chosen, [Package(p["name"], p.get("version", ""), _size(p)) for p in packages]


def _size(package: dict[str, Any]) -> int:
    """The largest of the files among which uv chooses."""
    sizes = [0]
    for file in package.get("wheels") or [package.get("sdist") or package.get("archive") or {}]:
        url = urlsplit(file.get("url", ""))
        local = Path(unquote(url.path)) if url.scheme == "file" else None
        sizes.append(file.get("size") or (local.stat().st_size if local and local.is_file() else 0))
    return max(sizes)


class Uv:
    """The program uv, at work in a folder.

    Args:
        folder: The environment that is being built.

    Raises:
        PluginError: If there is no uv.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._program = _find_uv()
        self._sources = _sources()

    def run(self, *words: str) -> None:
        """Run one command. Its progress and its errors go to stderr.

        Raises:
            PluginError: If it fails.
        """
        command = [self._program, *words]
        if words[0] == "pip":
            command += [*self._sources, "--python", str(self.folder)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=self.folder.parent, check=False)  # noqa: S603
        if done.returncode:
            raise PluginError(
                f"uv could not build the environment: `uv {' '.join(words[:2])}` failed; it says above why.",
                "Nothing was left behind. Check the network and the disk, and try again.",
            )


def _find_uv() -> str:
    try:
        from uv import find_uv_bin
    except ImportError:
        found = shutil.which("uv")
    else:
        found = find_uv_bin()
    if found is None:
        raise PluginError("Building an environment needs the program uv.", "pip install uv")
    return os.fspath(found)


def _sources() -> list[str]:
    """Where packages come from by pip's own configuration, which uv does not read."""
    links = [word for link in _pip_setting("find-links") for word in ("--find-links", link)]
    own_index = any(os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"))
    index = [] if own_index else [word for url in _pip_setting("index-url") for word in ("--default-index", url)]
    return [*links, *index]


def _pip_setting(name: str) -> list[str]:
    if named := os.environ.get(f"PIP_{name.replace('-', '_').upper()}"):
        return named.split()
    for section in ("install", "global"):
        ask = [sys.executable, "-m", "pip", "config", "get", f"{section}.{name}"]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode == 0:
            return done.stdout.split()
    return []
