"""What a person at the terminal sees: errors, warnings, notes and progress on stderr, results on stdout."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from versasound_core.errors import Cancelled, InvalidInputError, MediaError, VersaSoundError, in_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from versasound_core.context import CancelToken

_BUG = 70
_REDRAW_S, _LINE_S = 0.1, 15.0


def say(text: str) -> None:
    """Tell something on stderr."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Warn on stderr."""
    say(f"versasound: warning: {text}")


def ask(question: str, about: str, otherwise: str) -> None:
    """Ask for consent at the terminal.

    Args:
        question: What a yes is to.
        about: The same in words that follow "there is nobody to ask".
        otherwise: What to say when the answer is no.

    Raises:
        InvalidInputError: If nobody sits there.
        Cancelled: If the answer is no.
    """
    if not sys.stdin.isatty():
        raise InvalidInputError(f"there is nobody to ask {about}.", "Say --yes to do it without asking.")
    say(f"{question} [y/N] ")
    if input().strip().lower() not in {"y", "yes"}:
        raise Cancelled(otherwise)


def tell(error: BaseException, about: str = "", *, debug: bool = False) -> int:
    """Say on one line of stderr what went wrong, and return the exit code that says the same.

    Args:
        error: Anything that a command may end in.
        about: What was being worked on, if the error may not say so itself.
        debug: Show where it comes from first.
    """
    if debug and not isinstance(error, SystemExit):
        traceback.print_exception(error)
    if isinstance(error, SystemExit):  # argparse has spoken
        if isinstance(error.code, str):
            _complain(error.code)
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, BrokenPipeError):  # whoever reads, such as `head`, has seen enough
        _close_stdout()
        return 0
    if isinstance(error, KeyboardInterrupt):
        error = Cancelled("Cancelled.")
    if isinstance(error, VersaSoundError):
        text = str(error)
        _complain(f"{about}: {text}" if about and about not in text else text)
        return error.exit_code
    if isinstance(error, OSError):
        _complain(in_words(error))
        _close_stdout()
        return MediaError.exit_code
    _complain(f"{in_words(error).removesuffix('.')}. This is a bug; --debug shows where it is.")
    return _BUG


def _complain(text: str) -> None:
    say(f"versasound: error: {text}")


def _close_stdout() -> None:
    """Let Python's own last flush of stdout succeed."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def prepared() -> Iterator[None]:
    """Show each warning as one line, and let file names pass through stdout whatever bytes they hold."""
    if sys.platform != "win32" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")

    def show(message: Warning | str, *_: Any, **__: Any) -> None:  # noqa: ANN401
        warn(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def cancelling(token: CancelToken) -> Iterator[None]:
    """Let Ctrl-C, `kill` and a closed terminal cancel the run; a second time they interrupt it at once.

    A signal that this process was started to ignore (`nohup`) stays ignored.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        token.cancel()
        # Not through the buffer of sys.stderr, which may be in the middle of a line.
        os.write(2, b"\nversasound: stopping; a second time stops at once\n")

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in names):
            if signal.getsignal(number) not in {signal.SIG_IGN, None}:
                before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """How far the work has come: a bar where stderr is a terminal, now and then a line where it is not.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar = sys.stderr.isatty()
        self._shown_s = time.monotonic()
        self._about = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def start(self, about: str) -> None:
        """Begin a piece of work with this name."""
        self._about = about
        self._shown_s -= _REDRAW_S if self._bar else 0.0
        self(0.0, "loading")

    def __call__(self, fraction: float, message: str) -> None:
        """Show a fraction in [0, 1] and a few words, unless that was done just now."""
        now = time.monotonic()
        if self._quiet or now - self._shown_s < (_REDRAW_S if self._bar else _LINE_S):
            return
        self._shown_s = now
        if not self._bar:
            say(f"{self._about}: {fraction:.0%} {message}")
            return
        sign = "━" if (sys.stderr.encoding or "").lower().startswith("utf") else "="
        room = shutil.get_terminal_size().columns - 1
        done = round(24 * fraction)
        text = f"{self._about} {message}"[: max(0, room - 32)]
        sys.stderr.write(f"\r\x1b[K\x1b[36m{sign * done}\x1b[90m{sign * (24 - done)}\x1b[0m {fraction:4.0%} {text}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar away, so that something else can be said."""
        if self._bar and not self._quiet:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
