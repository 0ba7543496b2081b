"""`versasound check`: ask an installed backend everything that its contract says."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.cards import ROLES
from versasound_core.errors import InvalidInputError, UnknownBackendError, VersaSoundError
from versasound_core.registry import Backend, default_registry
from versasound_core.testing import CONTRACTS

if TYPE_CHECKING:
    import argparse

    from ._parser import Parser


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "check",
        prepare=_set_apart,
        help="ask a backend everything that its contract says",
        description="Run the conformance kit, versasound_core.testing, on backends that are installed: shapes, rates, "
        "lengths, seeds, cancellation, and so on. What comes after `--` goes to pytest; the exit code is pytest's own.",
        parents=parents,
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="backends, as `versasound plugins` lists them")
    parser.add_argument("--role", choices=ROLES, help="only of this role, where a name is offered in several")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="make it with this option; may be repeated"
    )
    parser.add_argument("--seedless", action="store_true", help="every seed may give the same sound")
    parser.set_defaults(run=run, pytest=[])


def _set_apart(parser: Parser, words: list[str]) -> list[str]:
    """Keep what comes after `--` for pytest."""
    if "--" not in words:
        return words
    end = words.index("--")
    parser.set_defaults(pytest=words[end + 1 :])
    return words[:end]


def run(args: argparse.Namespace) -> int:
    """Run pytest on the three lines that an author would write, and return its exit code."""
    if importlib.util.find_spec("pytest") is None:
        raise VersaSoundError("versasound check runs pytest, which is not installed.", _INSTALL)
    names, words = args.names, args.pytest
    options = dict(_option(text) for text in args.option)
    text = "".join(
        _test(backend, options, seedless=args.seedless) for name in names for backend in _find(name, args.role)
    )
    import pytest

    with tempfile.TemporaryDirectory(prefix="versasound_check_") as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        path = Path(folder, "test_contract.py")
        path.write_text(f"from versasound_core import testing\n{text}", encoding="utf-8")
        given = [
            "-c",
            str(Path(folder, "pytest.ini")),
            "--rootdir",
            folder,
            "--import-mode=importlib",
            "-p",
            "no:cacheprovider",
        ]
        return int(pytest.main([*given, str(path), *words]))


_INSTALL = 'pip install "versasound-core[testing]"'


def _test(backend: Backend, options: dict[str, Any], *, seedless: bool) -> str:
    own = {key: value for key, value in options.items() if backend.card is None or key in backend.card.options}
    name = "".join(part.capitalize() for part in backend.name.replace(":", "-").replace("_", "-").split("-"))
    lines = [
        f"class Test{name}{backend.role.capitalize()}(testing.{CONTRACTS[backend.role]}):",
        f"    name = {backend.name!r}",
        f"    options = {own!r}",
        *(["    seedless = True"] if seedless and backend.role == "generator" else []),
    ]
    return "\n".join(["", "", *lines, ""])


def _find(name: str, role: str | None) -> list[Backend]:
    """The backends that a name may mean; a bare name that several claim means each."""
    known = [b for b in default_registry.backends() if role in {None, b.role}]
    found = [b for b in known if name in {b.name, b.full_name}] or [b for b in known if b.bare_name == name]
    if not found:
        names = ", ".join(dict.fromkeys(b.name for b in known)) or "none"
        raise UnknownBackendError(f"there is no {role or 'backend'} {name!r}.", f"Installed: {names}.")
    return found


def _option(text: str) -> tuple[str, Any]:
    import yaml

    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidInputError(f"--option {text!r}: wanted KEY=VALUE.")
    return key, yaml.safe_load(value)
