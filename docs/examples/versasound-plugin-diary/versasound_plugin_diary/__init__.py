"""A plugin without a backend: it listens, and adds a command."""

import os
from pathlib import Path

from versasound_core import hookimpl


def _diary() -> Path:
    return Path(os.environ.get("VERSASOUND_DIARY", "versasound_diary.txt"))


@hookimpl
def versasound_run_finished(result, error):
    """Write a line for every run, good or bad."""
    line = f"{result.path} seed {result.seed}" if error is None else f"failed: {error}"
    with _diary().open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


@hookimpl
def versasound_register_commands(cli):
    """Add `versasound diary`."""
    parser = cli.add_parser("diary", help="show what was made")
    parser.set_defaults(run=show)


def show(args):
    """Print the diary; what a command returns is its exit code."""
    print(_diary().read_text(encoding="utf-8") if _diary().exists() else "nothing yet", end="")
    return 0
