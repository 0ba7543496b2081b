"""`versasound comfyui`: the node pack's folder, put into a ComfyUI and taken out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versasound_core.hooks import hookimpl

if TYPE_CHECKING:
    import argparse


@hookimpl
def versasound_register_commands(cli: Any) -> None:  # noqa: ANN401  (argparse's own type is private)
    """Add the command."""
    about = "show VersaSound's nodes in a ComfyUI"
    parser = cli.add_parser("comfyui", help=about, description=f"{about[0].upper()}{about[1:]}, or no longer.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("install", _install, "put a small folder into its custom_nodes; run it with the Python that runs ComfyUI"),
        ("uninstall", _uninstall, "take that folder away again"),
    ):
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.add_argument("path", metavar="PATH", help="the folder of ComfyUI, with main.py in it")
        action.set_defaults(run=run)


def _install(args: argparse.Namespace) -> int:
    from .install import install

    print(install(args.path))
    print("Restart ComfyUI; the nodes are under VersaSound.")
    return 0


def _uninstall(args: argparse.Namespace) -> int:
    from .install import uninstall

    folder = uninstall(args.path)
    print(f"removed: {folder}" if folder else "There was nothing to remove.")
    print("The Python packages stay: pip uninstall versasound-plugin-comfyui")
    return 0
