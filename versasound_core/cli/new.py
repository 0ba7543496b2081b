"""`versasound new`: a whole distribution to begin a backend with."""

from __future__ import annotations

import datetime
import re
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.cards import CARD_FILE, ROLES, Role
from versasound_core.errors import InvalidInputError, MediaError
from versasound_core.registry import default_registry
from versasound_core.testing import CONTRACTS

from . import _console as console

if TYPE_CHECKING:
    import argparse

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "new",
        help="begin a backend of your own",
        description="Write a whole distribution with a backend that works: project file, card, code, tests, README, "
        "licence and a workflow. It passes `versasound check` at once; then replace what it does.",
        parents=parents,
    )
    parser.add_argument("role", choices=ROLES, help=f"one of {', '.join(ROLES)}")
    parser.add_argument("name", metavar="NAME", help="what it is called by, such as rain_maker")
    parser.add_argument("-o", "--output", metavar="FOLDER", default=".", help="where to put its folder (default: here)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write it, say where it is and what comes next."""
    if any(args.name == b.bare_name for b in default_registry.backends(args.role)):
        console.warn(f"a {args.role} {args.name} is installed already; with both, each is called distribution:name.")
    folder = write_distribution(args.role, args.name, Path(args.output))
    print(folder)
    console.say(
        f"Next:\n  pip install -e {folder}\n  versasound check {args.name.replace('-', '_')}\n"
        f"  then replace what {folder / package_of(args.name) / args.role}.py does"
    )
    return 0


def package_of(name: str) -> str:
    """The import name of the distribution of a backend."""
    return f"versasound_plugin_{name.replace('-', '_')}"


def write_distribution(role: Role, name: str, parent: Path) -> Path:
    """Write the distribution of a new backend, whole or not at all, and return its folder.

    Raises:
        InvalidInputError: If the name cannot be one, or the folder is there already.
        MediaError: If it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"a backend cannot be called {name!r}.", "Use small letters, digits and _, as in rain_maker."
        )
    distribution = f"versasound-plugin-{name.replace('_', '-')}"
    target = parent / distribution
    if target.exists():
        raise InvalidInputError(f"{target} is there already, and nothing is written over.", "Choose another name.")
    words = {
        "role": role,
        "name": name.replace("-", "_"),
        "class": "".join(part.capitalize() for part in re.split("[_-]", name)) + role.capitalize(),
        "package": package_of(name),
        "distribution": distribution,
        "contract": CONTRACTS[role],
        "core": _core_version(),
        "year": str(datetime.datetime.now(tz=datetime.UTC).year),
    }
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".versasound_new_", dir=parent) as aside:
            whole = Path(aside, distribution)
            for path, template in _layout(words).items():
                (whole / path).parent.mkdir(parents=True, exist_ok=True)
                (whole / path).write_text(_filled(template, words), encoding="utf-8")
            shutil.move(whole, target)
    except OSError as error:
        raise MediaError(f"{target} cannot be written: {error.strerror}.", "Choose another folder with -o.") from error
    return target


def _layout(words: dict[str, str]) -> dict[str, str]:
    """Which template makes which file."""
    role, package = words["role"], words["package"]
    return {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        "LICENSE": "common/LICENSE",
        ".gitignore": "common/gitignore",
        ".github/workflows/test.yml": "common/ci.yml",
        f"{package}/__init__.py": "common/init.py",
        f"{package}/py.typed": "",
        f"{package}/{role}.py": f"{role}/backend.py",
        f"{package}/{CARD_FILE}": f"{role}/card.yaml",
        f"tests/test_{words['name']}.py": "common/test.py",
    }


def _filled(template: str, words: dict[str, str]) -> str:
    if not template:
        return ""
    text = files("versasound_core").joinpath("scaffold", *f"{template}.tmpl".split("/")).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: words[match[1]], text)


def _core_version() -> str:
    from importlib.metadata import version

    return ".".join(version("versasound-core").split(".")[:2])
