"""The command line `versasound`: one file a command, flags of the backends from their cards."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from . import _console as console
from . import add_sound, align, check, demo, doctor, env, new, plugins, pull, sync_report
from ._parser import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = {
    "add-sound": add_sound,
    "align": align,
    "sync-report": sync_report,
    "demo": demo,
    "plugins": plugins,
    "pull": pull,
    "env": env,
    "doctor": doctor,
    "new": new,
    "check": check,
}
_USAGE = 2
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_EPILOG = """\
exit codes:
  0 done, 1 failed, 2 not understood, 3 a value that cannot be used, 4 a file that cannot be read or written,
  5 a plugin, 6 weights, 7 a device, 70 a bug, 130 cancelled
"""


def build_parser(*, third_party: bool = False) -> argparse.ArgumentParser:
    """Return the parser of all commands; `run` of what it parses is the function to call.

    Args:
        third_party: Whether plugins are loaded to add commands of theirs. One that fails is warned of.
    """
    common = _common()
    parser = Parser(
        prog="versasound",
        description="Put sound to silent video.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    parser.set_defaults(run=lambda _: _show_help(parser))
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command in _COMMANDS.values():
        command.add(commands, [common])
    if third_party:
        from versasound_core.registry import default_registry

        hooks = default_registry.hooks
        hooks.load(default_registry)
        hooks.call("versasound_register_commands", cli=commands)
        for failure in hooks.failures:
            console.warn(failure)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, as `versasound --help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in words or os.environ.get("VERSASOUND_DEBUG", "") not in {"", "0"}
    with console.prepared():
        try:
            code = _run(words, debug=debug)
            sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001  (every error ends here as one line and a code)
            code = console.tell(error, debug=debug)
    return code


def _run(words: list[str], *, debug: bool) -> int:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, parents=[_common()], exit_on_error=False)
    first.add_argument("command", nargs="?")
    try:
        command = first.parse_known_args(words)[0].command
    except argparse.ArgumentError:  # the real parser says it better
        command = None
    args = build_parser(third_party=command not in _COMMANDS).parse_args(words)
    args.debug = debug
    args.log_level = getattr(args, "log_level", "DEBUG" if debug else None)
    if args.log_level:
        from versasound_core.config import LoggingConfig
        from versasound_core.log import configure_logging

        configure_logging(LoggingConfig(level=args.log_level))
    return int(args.run(args) or 0)


def _common() -> argparse.ArgumentParser:
    """The options of every command. None has a default, so that they may stand before or after the command."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("when something is wrong")
    group.add_argument("--log-level", choices=_LEVELS, metavar="LEVEL", help=f"log on stderr: {', '.join(_LEVELS)}")
    group.add_argument("--debug", action="store_true", help="log everything, and show where an error comes from")
    return common


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:  # noqa: ANN401
        import versasound_core

        print(f"versasound {versasound_core.__version__}")
        parser.exit()


def _show_help(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return _USAGE
