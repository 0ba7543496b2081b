"""`versasound pull`: fetch the weights of a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versasound_core.cards import ROLES
from versasound_core.errors import InvalidInputError, ModelLoadError
from versasound_core.registry import default_registry
from versasound_core.weights import checkpoint, fetch, find

from . import _console as console

if TYPE_CHECKING:
    import argparse

    from versasound_core.registry import Backend
    from versasound_core.weights import Checkpoint


def add(commands: Any, parents: list[argparse.ArgumentParser]) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    parser = commands.add_parser(
        "pull",
        help="fetch the weights of a backend",
        description="Fetch the weights of a backend into the cache of the Hugging Face hub. Size and licence are shown "
        "first; an interrupted download goes on where it stopped. Nothing else in VersaSound downloads.",
        parents=parents,
    )
    parser.add_argument("name", help="the backend, as `versasound plugins` lists it")
    parser.add_argument("--variant", metavar="V", help="which weights; the backend's default if not given")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show what would be fetched, ask, and fetch it."""
    wanted = _wanted(args.name, args.variant)
    card = default_registry.get(wanted.role, args.name).card
    needed = [wanted, *(checkpoint(card, wanted.role, wanted.backend, name) for name in wanted.also)]
    missing = [one for one in needed if not _is_here(one)]
    for one in missing:
        console.say(f"{one.role} {one.backend}, variant {one.variant}: {one}")
        if one.gated:
            console.say(f"Its owner asks for consent first: https://huggingface.co/{one.repository}")
    if missing and not args.yes:
        console.ask("Fetch it?", "whether to fetch it", "Nothing was fetched.")
    for one in missing:
        print(f"fetched: {fetch(one)}")
    return 0


def _is_here(wanted: Checkpoint) -> bool:
    try:
        print(f"{wanted} is here already: {find(wanted)}")
    except ModelLoadError:
        return False
    return True


def _wanted(name: str, variant: str | None) -> Checkpoint:
    owners = [backend for role in ROLES for backend in default_registry.backends(role) if backend.name == name]
    if not owners:
        known = ", ".join(b.name for b in default_registry.backends() if b.card and b.card.variants)
        raise InvalidInputError(f"no backend is called {name!r}.", f"With weights there are: {known or 'none'}.")
    backend = next((b for b in owners if b.card and b.card.variants), None)
    if backend is None:
        raise InvalidInputError(f"{owners[0].role} {name} needs no weights.", "There is nothing to fetch.")
    return checkpoint(default_registry.get(backend.role, name).card, backend.role, name, variant or _default(backend))


def _default(backend: Backend) -> str:
    card = backend.card
    option = card.options.get("variant") if card else None
    return str(option.default if option else next(iter(card.variants if card else {})))
