"""`versasound env`: the environments of backends that cannot live beside the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from versasound_core.worker.environments import Environment, EnvironmentState, environments, find

from . import _console as console

if TYPE_CHECKING:
    import argparse

    from versasound_core.worker.build import Package

_LARGEST = 5


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command and its three verbs."""
    parser = commands.add_parser(
        "env",
        help="build, list and remove the environments of isolated backends",
        description="Some model libraries want versions that would break everything else. Their backends run in an "
        "environment of their own, which is built once and used from then on as if it were this one.",
        parents=parents,
    )
    verbs = parser.add_subparsers(metavar="VERB", title="verbs", required=True)
    create = verbs.add_parser(
        "create",
        help="build one",
        description="Build the environment of a backend with uv, anew if there is one. What it will install, and how "
        "large that is, is shown first. Nothing is installed into this environment.",
        parents=parents,
    )
    create.add_argument("name", help="the backend, as `versasound plugins` lists it")
    create.add_argument("--yes", action="store_true", help="do not ask")
    create.set_defaults(run=run_create)
    show = verbs.add_parser("list", help="list them", description="List those there are and could be.", parents=parents)
    show.add_argument("--json", action="store_true", help="for programs")
    show.set_defaults(run=run_list)
    remove = verbs.add_parser("remove", help="delete one", description="Delete one from the disk.", parents=parents)
    remove.add_argument("name", help="as `versasound env list` shows it")
    remove.set_defaults(run=run_remove)


def run_create(args: argparse.Namespace) -> int:
    """Show what would be installed, ask, and build the environment."""
    from versasound_core.worker.build import create

    environment = find(args.name)
    console.say(f"{environment.backend}: looking for versions that fit together")

    def confirm(packages: list[Package]) -> None:
        console.say(f"{_told(packages)} into {environment.path}.")
        if not args.yes:
            console.ask("Install them?", "whether to install them", "Nothing was installed.")

    create(environment, confirm)
    print(f"built: {environment.path} ({_gigabytes(environment.size_bytes())})")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Print what there is; a missing environment is part of it and no failure of the command."""
    known = environments()
    if args.json:
        print(json.dumps({"environments": [facts(environment) for environment in known]}, indent=2))
        return 0
    if not known:
        print("No backend that is installed wants an environment of its own.")
    for environment in known:
        told = facts(environment)
        size = _gigabytes(told["size_bytes"]) if told["size_bytes"] else "-"
        what = {
            EnvironmentState.READY: str(environment.path),
            EnvironmentState.MISSING: f"build it: {environment.command}",
            EnvironmentState.OUTDATED: f"build it anew: {environment.command}",
            EnvironmentState.UNUSED: f"its plugin is gone: versasound env remove {environment.name}",
        }[environment.state]
        print(f"{environment.name:24}  {told['state']:8}  {size:>8}  {what}")
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Delete an environment."""
    named = [environment for environment in environments() if environment.name == args.name]
    environment = named[0] if named else find(args.name)
    size = environment.size_bytes() if environment.path.is_dir() else 0
    environment.remove()
    print(f"removed: {environment.path} ({_gigabytes(size)})")
    return 0


def facts(environment: Environment) -> dict[str, Any]:
    """Return what is known of an environment, for JSON."""
    backend = environment.backend
    built = environment.path.is_dir()
    return {
        "name": environment.name,
        "state": environment.state.value,
        "backend": str(backend) if backend else environment.facts.get("backend", ""),
        "distribution": backend.distribution if backend else "",
        "path": str(environment.path),
        "packages": environment.facts.get("packages", 0),
        "size_bytes": environment.size_bytes() if built else 0,
    }


def _told(packages: list[Package]) -> str:
    largest = sorted(packages, key=lambda package: -package.size_bytes)[:_LARGEST]
    names = ", ".join(f"{p.name} {p.version} ({p.size_bytes / 1e6:.0f} MB)" for p in largest)
    total = sum(package.size_bytes for package in packages)
    return f"{len(packages)} packages of {total / 1e6:.0f} MB packed, the largest {names}, are going to be installed"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
