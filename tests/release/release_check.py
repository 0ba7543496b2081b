"""What a release must be: run by `tox -e release-check`, with names of plugins to look at those alone.

Every distribution is built twice and must come out the same byte for byte; its metadata and contents are read; and in
fresh environments each plugin is installed alone, in every pair and with all others, asked for and taken out again.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EPOCH = "1767225600"
LISTED = """
import json
from versasound_core import registry
print(json.dumps([[b.role, b.name, b.state] for b in registry.backends()]))
"""
MADE = """
from versasound_core import registry
for backend in registry.backends():
    if not backend.card.isolated:  # they are made in environments that a user builds
        registry.create(backend.role, backend.name)
"""
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


def distributions() -> dict[str, Path]:
    """The folder of each distribution of this repository, the core's first."""
    projects = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    return {tomllib.loads(p.read_text(encoding="utf-8"))["project"]["name"]: p.parent for p in projects}


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
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
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


def fresh(home: Path) -> Path:
    """The interpreter of a new virtual environment."""
    run(sys.executable, "-m", "venv", home)
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def listed(python: Path) -> set[tuple[str, ...]]:
    """The backends that an environment has, each of which must be ready."""
    found: list[Any] = json.loads(run(python, "-P", "-c", LISTED).splitlines()[-1])
    if [one for one in found if one[2] != "ready"]:
        raise SystemExit(f"not ready: {found}")
    return {(role, name) for role, name, _ in found}


def offered(folder: Path) -> set[tuple[str, ...]]:
    """The backends that a distribution says that it brings."""
    points = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("entry-points", {})
    roles = [f"versasound.{role}s" for role in ("encoder", "generator", "aligner", "refiner")]
    return {(group.removeprefix("versasound.")[:-1], name) for group in roles for name in points.get(group, {})}


def siblings(folder: Path) -> list[str]:
    """The plugins that a distribution needs."""
    from packaging.requirements import Requirement

    needs = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return [name for name in (Requirement(need).name for need in needs) if name.startswith("versasound-plugin-")]


def installed_for_real(names: list[str], folders: dict[str, Path], wheels: Path) -> None:
    """With everything that they need, in a fresh environment: pip agrees, the registry is right, all can be made."""
    with tempfile.TemporaryDirectory(prefix="versasound_release_") as home:
        python = fresh(Path(home, "venv"))
        pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", ROOT / "constraints-dev.txt")
        run(*pip, "torch")
        before = run(python, "-m", "pip", "freeze")
        run(*pip, "--find-links", wheels, "versasound-core", *names)
        run(python, "-m", "pip", "check")
        wanted = set().union(*(offered(folders[name]) for name in names)) if names else set()
        if not wanted <= listed(python):
            raise SystemExit(f"{names}: {wanted - listed(python)} is missing")
        run(python, "-P", "-c", MADE)
        torch = [line for line in before.splitlines() if line.startswith("torch==")]
        if torch != [line for line in run(python, "-m", "pip", "freeze").splitlines() if line.startswith("torch==")]:
            raise SystemExit(f"{names} replaced {torch}")
        run(python, "-m", "pip", "uninstall", "-q", "-y", "versasound-core", *folders)
        left = [str(path) for path in Path(home).rglob("*versasound*")]
        if left:
            raise SystemExit(f"left behind by {names}: {left}")


def in_pairs(names: list[str], folders: dict[str, Path], wheels: Path) -> int:
    """Each alone and every pair, in and out of one environment: the registry holds these and nothing is left behind.

    What they need is there from the first, or a hundred environments would be built; `installed_for_real` builds some.
    """
    files = {name: wheel_of(name, wheels) for name in folders}
    with tempfile.TemporaryDirectory(prefix="versasound_pairs_") as home:
        python = fresh(Path(home, "venv"))
        pip = (python, "-m", "pip", "--disable-pip-version-check")
        install = (*pip, "install", "-q", "-c", ROOT / "constraints-dev.txt")
        run(*install, "torch")
        run(*install, "--find-links", wheels, "versasound-core", *names)
        run(*pip, "uninstall", "-q", "-y", *(name for name in folders if name != "versasound-core"))
        site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        before = sorted(site.iterdir())
        groups = [*((name,) for name in names), *itertools.combinations(names, 2)]
        for pair in groups:
            group = sorted({*pair, *(need for name in pair for need in siblings(folders[name]))})
            run(*pip, "install", "-q", "--no-deps", "--no-index", *(files[name] for name in group))
            run(*pip, "check")
            wanted = set().union(*(offered(folders[name]) for name in group))
            if listed(python) != wanted:
                raise SystemExit(f"{group}: {listed(python)} is listed, not {wanted}")
            run(*pip, "uninstall", "-q", "-y", *group)
            if sorted(site.iterdir()) != before:
                raise SystemExit(f"{group} leaves {set(site.iterdir()) - set(before)} behind")
        return len(groups)


def main(words: list[str]) -> None:
    """Check everything, and say each thing that was seen."""
    folders = distributions()
    plugins = [name for name in folders if name != "versasound-core"]
    chosen = [name for name in plugins if not words or name.removeprefix("versasound-plugin-") in words]
    with tempfile.TemporaryDirectory(prefix="versasound_wheels_") as home:
        wheels = Path(home, "one")
        one = build(list(folders.values()), wheels)
        two = build(copied(Path(home, "copy")), Path(home, "two"))
        differing = [name for name in one if one[name] != two.get(name)]
        if differing or one.keys() != two.keys():
            raise SystemExit(f"built twice, these differ: {differing or set(one) ^ set(two)}")
        print(f"{len(one)} files built twice: the same bytes", flush=True)
        for name, folder in folders.items():
            if faults := faults_of(wheel_of(name, wheels), packages(folder)):
                raise SystemExit(f"{name}: {'; '.join(faults)}")
        print(f"{len(folders)} wheels: metadata, licence and contents are right", flush=True)
        groups = in_pairs(chosen, folders, wheels)
        print(f"{groups} groups of one and two: pip agrees, listed, and gone without a trace", flush=True)
        for group in [*([name] for name in chosen), *([chosen] if len(chosen) > 1 else [])]:
            installed_for_real(group, folders, wheels)
            print(f"pip check, fresh environment: {', '.join(group)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
