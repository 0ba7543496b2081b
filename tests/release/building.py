"""Build every distribution of this repository, and read what came out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CORE = "versasound-core"
EPOCH = "1767225600"
BUILD = """
import os, sys
import hatchling.build
for folder in sys.argv[2:]:
    os.chdir(folder)
    hatchling.build.build_wheel(sys.argv[1])
    hatchling.build.build_sdist(sys.argv[1])
"""


def run(*command: str | Path, **variables: str) -> str:
    """Run a command without this environment's variables; return what it printed, and end here if it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VERSASOUND_", "PYTHON"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, env={**kept, **variables}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"failed: {' '.join(words)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def read(folder: Path) -> dict[str, Any]:
    """What a distribution says of itself."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def distributions() -> dict[str, Path]:
    """The folder of each distribution of this repository, the core's first."""
    folders = [ROOT, *(path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))]
    return {read(folder)["project"]["name"]: folder for folder in folders}


def build(folders: list[Path], out: Path) -> dict[str, bytes]:
    """Build wheel and sdist of each; return the files by name."""
    out.mkdir(parents=True)
    run(sys.executable, "-c", BUILD, out, *folders, SOURCE_DATE_EPOCH=EPOCH)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def copied(home: Path) -> list[Path]:
    """The folders of the same distributions in another place, with other times."""
    leave = shutil.ignore_patterns(
        ".git", ".tox", ".venv", ".*_cache", ".hypothesis", "__pycache__", "_build", "generated"
    )
    shutil.copytree(ROOT, home, ignore=leave, copy_function=shutil.copyfile)
    return [home / folder.relative_to(ROOT) for folder in distributions().values()]


def packages(folder: Path) -> list[str]:
    """The packages that a distribution says that it holds."""
    project = read(folder)
    target = project.get("tool", {}).get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
    found: list[str] = target.get("packages", [project["project"]["name"].replace("-", "_")])
    return found


def faults_of(wheel: Path, packages: list[str]) -> list[str]:
    """What is wrong with a wheel's metadata and contents."""
    from packaging.metadata import Metadata

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name for name in names if name.endswith(".dist-info/METADATA"))
        read = Metadata.from_email(archive.read(info), validate=True)
    about = info.removesuffix("METADATA")
    wanted = [f"{about}licenses/LICENSE"]
    wanted += [f"{package}/{file}" for package in packages for file in ("py.typed", "__init__.py")]
    faults = [f"it lacks {name}" for name in wanted if name not in names]
    expected = (about, *(f"{package}/" for package in packages))
    faults += [f"it holds {name}" for name in names if not name.startswith(expected)]
    faults += [f"it holds {name}" for name in names if "/tests/" in name or "__pycache__" in name]
    if str(read.license_expression) != "MIT":
        faults.append(f"its licence is {read.license_expression}")
    if len(read.description or "") < 200:
        faults.append("it has no README")
    if not read.summary or str(read.requires_python) != ">=3.11":
        faults.append("its summary or requires-python is missing")
    if any(need.url for need in read.requires_dist or []):
        faults.append("it needs something by URL")
    return faults


def wheel_of(name: str, wheels: Path) -> Path:
    """The wheel of a distribution."""
    (wheel,) = wheels.glob(f"{name.replace('-', '_')}-*.whl")
    return wheel
