"""Fresh virtual environments by the hundred: what pip installed once is linked into each, file by file."""

from __future__ import annotations

import os
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from building import run
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"
SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


class Shelf:
    """One environment into which pip installs what others wrote, and from which fresh ones are filled.

    No distribution of this repository ever gets into it. A fresh environment holds what it was asked for and what that
    needs, as if pip had just installed it, and nothing else: what a plugin uses and does not declare is not there.
    """

    def __init__(self, home: Path, needs: list[Requirement], *options: str | Path) -> None:
        run(sys.executable, "-m", "venv", home)
        python = home / PYTHON
        run(python, "-m", "pip", "install", "-q", *options, *(str(need) for need in needs))
        self.site = Path(run(python, "-c", SITE).strip())
        self.there = {canonicalize_name(one.name): one for one in distributions(path=[str(self.site)])}

    def fresh(self, home: Path, needs: list[Requirement]) -> Path:
        """The interpreter of a new environment with pip and these."""
        run(sys.executable, "-m", "venv", "--without-pip", home)
        python = home / PYTHON
        site = Path(run(python, "-c", SITE).strip())
        for one in self._closed([Requirement("pip"), *needs]):
            for file in one.files or []:
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(self.site / file, target)
        return python

    def _closed(self, needs: list[Requirement]) -> list[Distribution]:
        """These and all that they need in turn."""
        seen: set[tuple[str, str]] = set()
        left = list(needs)
        while left:
            need = left.pop()
            name = canonicalize_name(need.name)
            for extra in {"", *need.extras} - {extra for known, extra in seen if known == name}:
                seen.add((name, extra))
                asked = map(Requirement, self.there[name].requires or [])
                left += [one for one in asked if one.marker is None or one.marker.evaluate({"extra": extra})]
        return [self.there[name] for name in sorted({name for name, _ in seen})]


def files(home: Path) -> dict[str, tuple[int, int, int]]:
    """Each file of a folder: which one it is, its bytes and when it was written."""
    found = {}
    for folder, _, names in os.walk(home):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118  (many thousand files)
            state = os.lstat(path)
            found[path] = (state.st_ino, state.st_size, state.st_mtime_ns)
    return found
