"""What runs in the worker: it makes backends and calls them, until the host hangs up.

The host says one thing at a time: `(what, which, value, count)`, and then the tensors of the value in `count` pieces.
It is answered by `done`, likewise with pieces, or `error`, after any number of `progress` and `log`.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import VersaSoundError, in_words
from versasound_core.hooks import PLUGIN_FAILURES
from versasound_core.log import ROOT
from versasound_core.registry import Registry

if TYPE_CHECKING:
    from execnet.gateway_base import Channel

STDERR = 2


def serve(channel: Channel, log_file: str, level: int) -> None:
    """Answer the host until it hangs up.

    Args:
        channel: To the host.
        log_file: Where this process's stderr goes, for the host to quote if the process dies.
        level: Of the host's logging; records from here on upwards are passed to it.
    """
    from .wire import pack, unpack

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the host, which then cancels
    with Path(log_file).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), STDERR)
    sys.stderr = os.fdopen(STDERR, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    faulthandler.enable()
    logger = logging.getLogger(ROOT)
    logger.addHandler(_ToHost(channel))
    logger.setLevel(level)
    registry = Registry(isolate=False)
    backends: dict[int, Any] = {}
    channel.send(os.getpid())
    while True:
        try:
            what, which, plain, count = channel.receive()
            pieces = [channel.receive() for _ in range(count)]
        except EOFError:
            return
        try:
            answer, parts = pack(_do(channel, registry, backends, what, which, unpack(plain, pieces)))
        except PLUGIN_FAILURES as error:
            channel.send(("error", *_told(error)))
            continue
        channel.send(("done", answer, len(parts)))
        for part in parts:
            channel.send(part)


def _do(  # noqa: PLR0913, PLR0917
    channel: Channel,
    registry: Registry,
    backends: dict[int, Any],
    what: str,
    which: Any,  # noqa: ANN401
    value: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    if what == "drop":
        backends.pop(which, None)
        return None
    if what == "make":
        number, role, name = which
        backends[number] = registry.create(role, name, **value)
        return None
    number, method, (device, precision, cache_dir), cancel = which
    token = CancelToken()
    cancel.setcallback(lambda _: token.cancel(), endmarker=None)  # the end comes also when the host is gone
    ctx = RunContext(
        device=device,
        precision=precision,
        cache_dir=Path(cache_dir) if cache_dir else None,
        cancel=token,
        progress=lambda fraction, message: channel.send(("progress", float(fraction), str(message))),
    )
    return getattr(backends[number], method)(*value, ctx)


def _told(error: BaseException) -> tuple[list[str], str, str | None, str]:
    """The error's classes, nearest first, its message, its hint, and where it comes from."""
    names = [cls.__name__ for cls in type(error).__mro__ if issubclass(cls, VersaSoundError)]
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, VersaSoundError):
        return names, error.message, error.hint, trace
    return names, in_words(error), None, trace


class _ToHost(logging.Handler):
    """Passes log records to the host."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a host that is gone does not hear it."""
        try:
            self._channel.send(("log", record.name, record.levelno, record.getMessage()))
        except OSError:
            return
