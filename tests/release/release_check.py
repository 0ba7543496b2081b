"""What a release must be: run by `tox -e release-check`, with names of plugins to look at those alone.

Every distribution is built twice and must come out the same byte for byte; its metadata and contents are read; and in
a fresh environment for each, the core, each plugin, every pair and all together are installed and taken out again.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from building import CORE, ROOT, build, copied, distributions, faults_of, packages, read, run, wheel_of
from environments import Shelf, files
from packaging.requirements import Requirement

MADE = """
from versasound_core import registry
for backend in registry.backends():
    if not backend.card.isolated:  # they are made in environments that a user builds
        registry.create(backend.role, backend.name)
"""
FOLDERS = distributions()
NEEDS = {
    name: [Requirement(need) for need in read(folder)["project"]["dependencies"]] for name, folder in FOLDERS.items()
}


def wanted(names: list[str]) -> list[str]:
    """The distributions of this repository that pip installs for these: the core, and the plugins that they need."""
    found = {CORE, *names}
    while more := {need.name for name in found for need in NEEDS[name] if need.name in FOLDERS} - found:
        found |= more
    return sorted(found)


def foreign(names: list[str]) -> list[Requirement]:
    """What these need that others wrote."""
    return [need for name in names for need in NEEDS[name] if need.name not in FOLDERS]


def offered(names: list[str]) -> set[tuple[str, ...]]:
    """The backends that these distributions say that they bring."""
    roles = {f"versasound.{role}s": role for role in ("encoder", "generator", "aligner", "refiner")}
    points = [read(FOLDERS[name])["project"].get("entry-points", {}) for name in names]
    return {(roles[group], name) for groups in points for group in groups if group in roles for name in groups[group]}


class Trial:
    """One group of distributions, in and out of an environment that nothing was in before."""

    def __init__(self, asked: tuple[str, ...], shelf: Shelf, wheels: Path, home: Path) -> None:
        self.asked, self.wheels, self.home = asked, wheels, home
        self.present = wanted(list(asked))
        # Alone and all together, pip finds what they need by itself, beside a PyTorch that it must leave as it is.
        self.searching = len(asked) != 2
        self.python = shelf.fresh(home, [Requirement("torch")] if self.searching else foreign(self.present))

    def pip(self, *words: str | Path) -> str:
        """What pip says."""
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *words, PYTHONDONTWRITEBYTECODE="1")

    def ask(self, *words: str) -> str:
        """What Python prints in the environment."""
        return run(self.python, "-P", *words, PYTHONDONTWRITEBYTECODE="1", HOME=str(self.home))

    def right(self) -> None:
        """`versasound plugins` lists the backends of what is present, each ready, and no others; no hook has failed."""
        said: dict[str, Any] = json.loads(self.ask("-m", "versasound_core", "plugins", "--json"))
        listed = sorted((one["role"], one["name"], one["state"]) for one in said["backends"])
        expected = sorted((role, name, "ready") for role, name in offered(self.present))
        if listed != expected or said["hook_failures"]:
            raise SystemExit(f"{self.asked}: with {self.present} there are {said}, not {expected}")

    def run(self) -> str:
        """Install, ask, take out one after the other, and compare with the beginning."""
        before, frozen = files(self.home), set(self.pip("freeze").splitlines())
        source = ("-c", ROOT / "constraints-dev.txt") if self.searching else ("--no-index",)
        # Where pip may search, it is handed all of this repository: no index has a say in which.
        handed = self.present if self.searching else self.asked
        wheels = [wheel_of(name, self.wheels) for name in handed]
        self.pip("install", "-q", *source, "--find-links", self.wheels, *wheels)
        self.pip("check")
        self.right()
        self.ask("-c", MADE)
        now = files(self.home)
        if changed := sorted(path for path, state in before.items() if now.get(path) != state):
            raise SystemExit(f"{self.asked}: installing changes what was there: {changed[:9]}")
        for name in self.asked:
            self.pip("uninstall", "-q", "-y", name)
            self.present.remove(name)
            self.right()
        added = [line for line in self.pip("freeze").splitlines() if line not in frozen]
        self.pip("uninstall", "-q", "-y", *(line.partition(" @ ")[0].partition("==")[0] for line in added))
        after = files(self.home)
        if after != before:
            differing = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
            raise SystemExit(f"{self.asked}: uninstalling leaves, takes or changes {differing[:9]}")
        return f"{' + '.join(self.asked) or CORE}: installed, pip agrees, listed, made, gone without a trace"


def trial(asked: tuple[str, ...], shelf: Shelf, wheels: Path) -> str:
    """Try a group in a folder of its own beside the shelf."""
    home = Path(tempfile.mkdtemp(dir=wheels.parent))
    try:
        return Trial(asked, shelf, wheels, home).run()
    finally:
        shutil.rmtree(home)


def main(words: list[str]) -> None:
    """Check everything, and say each thing that was seen."""
    began = time.monotonic()
    plugins = [name for name in FOLDERS if name != CORE]
    chosen = [name for name in plugins if not words or name.removeprefix("versasound-plugin-") in words]
    with tempfile.TemporaryDirectory(prefix="versasound_release_") as folder:
        home = Path(folder)
        wheels = home / "one"
        one, two = build(list(FOLDERS.values()), wheels), build(copied(home / "copy"), home / "two")
        differing = [name for name in one if one[name] != two.get(name)]
        if differing or one.keys() != two.keys():
            raise SystemExit(f"built twice, these differ: {differing or set(one) ^ set(two)}")
        print(f"{len(one)} files built twice: the same bytes", flush=True)
        for name, where in FOLDERS.items():
            if faults := faults_of(wheel_of(name, wheels), packages(where)):
                raise SystemExit(f"{name}: {'; '.join(faults)}")
        print(f"{len(FOLDERS)} wheels: metadata, licence and contents are right", flush=True)
        shelf = Shelf(home / "shelf", foreign(wanted(chosen)), "-c", ROOT / "constraints-dev.txt")
        every = [tuple(chosen)] if len(chosen) > 2 else []
        groups = [(), *((name,) for name in chosen), *every, *itertools.combinations(chosen, 2)]
        with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
            for said in pool.map(lambda asked: trial(asked, shelf, wheels), groups):
                print(said, flush=True)
    print(f"{len(groups)} groups, each in a fresh environment: all right after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
