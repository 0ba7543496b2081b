"""The reference pages that are made from the code, so that nothing is written twice.

Backends and licences from the cards, settings from the classes of the configuration, commands from the argument parser,
contracts from the roles and the conformance kit, hooks from their specifications.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core import contracts, registry
from versasound_core import testing as kit
from versasound_core.cards import ROLES
from versasound_core.cli import build_parser
from versasound_core.config import Config
from versasound_core.hooks import HookSpecs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

    from versasound_core.cards import BackendCard, OptionSpec

FOLDER = "reference/generated"


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for pages."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", read_backticks, priority=400)  # before napoleon adds its own markup
    return {"parallel_read_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write every generated page, touch none that is as it was, and remove those of backends that went."""
    folder = Path(app.srcdir, FOLDER)
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.md": text for name, text in _pages()}
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def read_backticks(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:  # noqa: PLR0913, PLR0917
    """Make Sphinx take single backticks in docstrings as code, as Markdown does."""
    lines[:] = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``\\ ", "\n".join(lines)).split("\n")


def _pages() -> Iterator[tuple[str, str]]:
    from sphinx.util import logging

    logger = logging.getLogger(__name__)
    yield "configuration", configuration_page()
    yield "commands", commands_page()
    yield "contracts", contracts_page()
    yield "hooks", hooks_page()
    yield "licences", licences_page()
    names = []
    for backend in registry.backends():
        if backend.card is None:
            logger.warning("%s has no readable card: %s", backend, backend.reason)
            continue
        names.append(f"{backend.role}-{backend.name.replace(':', '-')}")
        yield names[-1], backend_page(backend, backend.card)
    toctree = ["```{toctree}", *names, "```"] if names else ["No backend was installed when these pages were built."]
    yield "backends", "\n".join(["# Backends", "", *toctree, ""])


def backend_page(backend: registry.Backend, card: BackendCard) -> str:
    """Return the page of one backend, all from its card."""
    facts = {
        "Install": f"`pip install {backend.distribution}`",
        "Environment": f"its own: `versasound env create {backend.name}`" if card.isolated else "",
        "Follows events itself": "yes" if card.timed else "",
        "Licence of the code": card.code_licence,
        "Weights": card.weights,
        "Licence of the weights": card.weights_licence,
        "Download": f"{card.download_gb:g} GB" if card.download_gb else "",
        "GPU memory": f"{card.vram_gb:g} GB" if card.vram_gb else "",
        "Variants": ", ".join(f"`{variant}`" for variant in card.variants),
    }
    lines = [f"# {backend.name} ({backend.role})", "", card.summary, ""]
    lines += [f"- {fact}: {value}" for fact, value in facts.items() if value]
    lines += ["", "## Options", "", *_table(list(card.options.values()))]
    return "\n".join([*lines, ""])


def licences_page() -> str:
    """Return the table of all licences, from the cards and their variants."""
    rows = [("backend", "variant", "licence of the code", "weights", "licence of the weights"), ("---",) * 5]
    for backend in registry.backends():
        card = backend.card
        if card is None:
            continue
        name = f"{backend.role} `{backend.name}`"
        rows.append((name, "", card.code_licence, card.weights or "none", card.weights_licence))
        for variant, fields in card.variants.items():
            size = f"{fields['repository']} ({fields['size_gb']:g} GB)"
            rows.append((name, f"`{variant}`", card.code_licence, size, str(fields["licence"])))
    return "\n".join(["# Licences", "", *_rows(rows), ""])


def contracts_page() -> str:
    """Return the page of the roles: their methods, and what the conformance kit asks, from its tests."""
    asked = {name: _asked(name) for name in ("contract", *ROLES)}
    lines = [
        "# Contracts",
        "",
        "A class with the right method has the role. What `versasound check` asks of every role:",
        "",
    ]
    lines += asked["contract"]
    for role in ROLES:
        protocol = getattr(contracts, role.capitalize())
        for name, method in inspect.getmembers(protocol, inspect.isfunction):
            if not name.startswith("_"):
                lines += ["", f"## {role.capitalize()}", "", "```python", f"def {name}{_signature(method)}", "```", ""]
                lines += [inspect.getdoc(method) or "", "", f"`{kit.CONTRACTS[role]}` asks besides:", "", *asked[role]]
    return "\n".join([*lines, ""])


def _asked(module: str) -> list[str]:
    """The tests of a module of the kit, as a list; read and not imported, for that needs pytest."""
    tree = ast.parse(Path(kit.__file__).with_name(f"{module}.py").read_bytes())
    tests = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    return [
        f"- {n.name.removeprefix('test_').replace('_', ' ')}: {' '.join((ast.get_docstring(n) or '').split())}"
        for n in tests
    ]


def hooks_page() -> str:
    """Return the page of all hooks, with their exact signatures."""
    lines = ["# Hooks", "", "How to use them: [Listen to the life cycle](../../how-to/hooks.md).", ""]
    for name, hook in inspect.getmembers(HookSpecs, inspect.isfunction):
        if name.startswith("versasound_"):
            lines += [
                f"## {name}",
                "",
                "```python",
                f"def {name}{_signature(hook)}",
                "```",
                "",
                inspect.getdoc(hook) or "",
                "",
            ]
    return "\n".join(lines)


def _signature(function: Any) -> str:  # noqa: ANN401
    signature = inspect.signature(function)
    return str(signature.replace(parameters=list(signature.parameters.values())[1:])).replace("'", "")


def configuration_page() -> str:
    """Return the page of all settings."""
    lines = ["# Configuration", "", "Every section and key may be left out; what is left out keeps its default.", ""]
    lines += ["```{literalinclude} ../../../versasound_core/default_config.yaml", ":language: yaml", "```", ""]
    for name, section in Config().items():
        cls = type(section)
        settings = {field.name: field.metadata.get("spec") for field in attrs.fields(cls)}
        specs = [attrs.evolve(spec, name=key) for key, spec in settings.items() if spec]
        lines += [f"## {name}", "", (cls.__doc__ or "").strip(), "", *_table(specs), ""]
        if "options" in settings:
            lines += ["`options:` may hold options of the chosen backend: see [Backends](backends.md).", ""]
    return "\n".join(lines)


def commands_page() -> str:
    """Return the page of all commands, as `--help` prints them."""
    os.environ["COLUMNS"] = "100"
    return "\n".join(["# Command line", "", *_commands(build_parser())])


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```", "")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                yield from _commands(child)


def _table(specs: list[OptionSpec]) -> list[str]:
    if not specs:
        return ["None."]
    rows = [("name", "default", "takes", "what it does"), ("---",) * 4]
    rows += [(f"`{spec.name}`", _default(spec.default), spec.wanted, spec.help) for spec in specs]
    return _rows(rows)


def _rows(rows: list[tuple[str, ...]]) -> list[str]:
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def _default(value: Any) -> str:  # noqa: ANN401
    return (
        ""
        if value is None
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
        if value != ""
        else "empty"
    )
