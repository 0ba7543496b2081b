"""`versasound plugins`: which backends there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from versasound_core.registry import Backend, State, default_registry

if TYPE_CHECKING:
    import argparse


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "plugins",
        help="list the backends that are installed",
        description="List the backends that are installed, without loading any.",
        parents=parents,
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list; a backend that is broken is part of it and no failure of the command."""
    backends, failures = default_registry.backends(), default_registry.hooks.failures
    if args.json:
        print(json.dumps({"backends": [facts(b) for b in backends], "hook_failures": failures}, indent=2))
        return 0
    if not backends:
        print('No backend is installed. Get the default ones: pip install "versasound-core[default]"')
    for line in table(backends):
        print(line)
    for failure in failures:
        print(f"failed: {failure}")
    return 0


def facts(backend: Backend) -> dict[str, Any]:
    """Return what is known of a backend, for JSON."""
    card = backend.card
    return {
        "role": backend.role,
        "name": backend.name,
        "state": backend.state,
        "distribution": backend.distribution,
        "version": backend.version,
        "reason": backend.reason,
        "summary": card.summary if card else "",
        "code_licence": card.code_licence if card else "",
        "weights": card.weights if card else "",
        "weights_licence": card.weights_licence if card else "",
        "variants": list(card.variants) if card else [],
    }


def table(backends: list[Backend]) -> list[str]:
    """Return aligned lines; what a backend does comes last, or why it cannot be used."""
    rows = [("ROLE", "NAME", "STATE", "FROM", "WHAT IT DOES")] if backends else []
    for backend in backends:
        usable = backend.state in {State.READY, State.LOADED}
        what = backend.card.summary if usable and backend.card else backend.reason
        rows.append((backend.role, backend.name, backend.state.value, backend.owner, what))
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    return ["  ".join([*(f"{cell:{w}}" for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]
