"""The environments of isolated backends: where they are, whether they can be used, and how to be rid of them."""

from __future__ import annotations

import enum
import hashlib
import json
import os
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.errors import InvalidInputError, PluginError
from versasound_core.registry import Backend, Registry, default_registry

if TYPE_CHECKING:
    from importlib.metadata import Distribution

CORE = "versasound-core"
_MANIFEST = "versasound.json"


class EnvironmentState(enum.StrEnum):
    """What can be done with an environment."""

    READY = "ready"
    MISSING = "missing"
    OUTDATED = "outdated"
    UNUSED = "unused"


def environments_dir() -> Path:
    """Return where environments are kept.

    In the folder named in `VERSASOUND_DATA`, or in the system's usual place for a user's data.
    """
    if named := os.environ.get("VERSASOUND_DATA"):
        return Path(named).absolute() / "environments"
    from platformdirs import user_data_path

    return user_data_path("versasound", appauthor=False) / "environments"


@attrs.frozen(kw_only=True)
class Environment:
    """The environment of one isolated backend, whether it was built yet or not.

    Args:
        name: What the backend is called by.
        backend: Who runs in it; None if it is no longer installed.
    """

    name: str
    backend: Backend | None

    @property
    def path(self) -> Path:
        """Its folder."""
        return environments_dir() / self.name.replace(":", "@")  # Windows allows no colon

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def command(self) -> str:
        """What builds it."""
        return f"versasound env create {self.name}"

    @property
    def facts(self) -> dict[str, Any]:
        """What was written down when it was built; nothing if it was not."""
        try:
            facts = json.loads((self.path / _MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    @property
    def state(self) -> EnvironmentState:
        """Whether it is there, and was built for what is installed now."""
        facts = self.facts
        if self.backend is None:
            return EnvironmentState.UNUSED
        if not facts or not self.python.exists():
            return EnvironmentState.MISSING
        current = facts.get("made_for") == fingerprint(self.backend)
        return EnvironmentState.READY if current else EnvironmentState.OUTDATED

    def ready(self) -> Environment:
        """Return this environment if its backend can run in it.

        Raises:
            PluginError: If it is missing or outdated; it says the command that builds it.
        """
        state = self.state
        if state is EnvironmentState.MISSING:
            raise PluginError(f"{self.backend} runs in an environment of its own, and that is not built yet.", self._do)
        if state is not EnvironmentState.READY:
            raise PluginError(f"The environment of {self.backend} was built for another version of it.", self._do)
        return self

    @property
    def _do(self) -> str:
        return f"Build it: {self.command} (it says first what it will install, and how large that is)."

    def stamp(self, folder: Path, **facts: object) -> None:
        """Write down in `folder` that it is this environment, finished, and for which versions."""
        if self.backend is None:
            raise InvalidInputError(f"nothing that is installed runs in an environment called {self.name!r}.")
        known = {"backend": str(self.backend), "made_for": fingerprint(self.backend), **facts}
        (folder / _MANIFEST).write_text(json.dumps(known, indent=2), encoding="utf-8")

    def size_bytes(self) -> int:
        """How much room it takes, counting each file once however often it is linked to from elsewhere."""
        return sum(path.lstat().st_size for path in self.path.rglob("*") if not path.is_dir() or path.is_symlink())

    def remove(self) -> None:
        """Delete it.

        Raises:
            InvalidInputError: If there is none.
        """
        if not self.path.is_dir():
            raise InvalidInputError(f"there is no environment {self.name!r}.", "`versasound env list` shows them.")
        gone = self.path.with_name(f".{self.path.name}.removed")
        shutil.rmtree(gone, ignore_errors=True)
        self.path.rename(gone)  # in one step, so that nobody meets half of it
        shutil.rmtree(gone)


def environments(registry: Registry = default_registry) -> list[Environment]:
    """List the environments that installed backends want, and those that are left of others."""
    wanted = {
        backend.name: Environment(name=backend.name, backend=backend)
        for backend in registry.backends()
        if backend.card and backend.card.isolated
    }
    home = environments_dir()
    built = [path.name.replace("@", ":") for path in home.iterdir()] if home.is_dir() else []
    for name in built:
        if not name.startswith(".") and name not in wanted:
            wanted[name] = Environment(name=name, backend=None)
    return sorted(wanted.values(), key=lambda environment: environment.name)


def find(name: str, registry: Registry = default_registry) -> Environment:
    """Find an environment by the name of its backend, or of another backend of the same plugin that has only one.

    Raises:
        InvalidInputError: If there is none of that name.
    """
    known = environments(registry)
    for environment in known:
        if environment.name == name:
            return environment
    backends = [backend for backend in registry.backends() if name in {backend.name, backend.bare_name}]
    owners = {backend.distribution for backend in backends}
    kin = [e for e in known if e.backend and e.backend.distribution in owners]
    if len(kin) == 1:
        return kin[0]
    names = ", ".join(environment.name for environment in kin or known)
    if backends:
        raise InvalidInputError(
            f"{backends[0]} runs beside the rest and needs no environment of its own.",
            f"Those that do: {names or 'none that is installed'}.",
        )
    raise InvalidInputError(f"no backend is called {name!r}.", f"With an environment of their own: {names or 'none'}.")


def installed(name: str) -> Distribution:
    """Return an installed distribution.

    Raises:
        PluginError: If there is none of that name, as when a backend was registered at run time.
    """
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise PluginError(
            f"{name} is no installed distribution, and only those can have an environment of their own.",
            "Make it a package with an entry point, and pip install it.",
        ) from error


def listed_file(backend: Backend, field: str) -> Path | None:
    """Return the file that the card names as `requirements` or `overrides`; None if it names none.

    Raises:
        PluginError: If it is not there.
    """
    name = getattr(backend.card, field) if backend.card else ""
    if not name or backend.folder is None:
        return None
    path = backend.folder / name
    if not path.is_file():
        raise PluginError(f"{backend}: its card names {field}: {name}, and there is no such file.", f"See {path}.")
    return path


def fingerprint(backend: Backend) -> str:
    """Say in a few characters what an environment was built from: both packages, and what the card asks for."""
    parts = [f"{dist.name} {dist.version} {_contents(dist)}" for dist in map(installed, (CORE, backend.distribution))]
    files = (listed_file(backend, field) for field in ("requirements", "overrides"))
    parts += [path.read_text(encoding="utf-8") if path else "" for path in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _contents(dist: Distribution) -> str:
    """The hashes of a distribution's code, as its installer wrote them down; of an editable one, where it is."""
    lines = (dist.read_text("RECORD") or "").splitlines()
    return "".join(sorted(line for line in lines if ".dist-info/" not in line and "sha256=" in line))
