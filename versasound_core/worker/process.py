"""A process kept alive in an environment of its own, through execnet."""

from __future__ import annotations

import atexit
import functools
import itertools
import logging
import os
import shlex
import signal
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from versasound_core import errors
from versasound_core.errors import BrokenPluginError, VersaSoundError
from versasound_core.log import ROOT

if TYPE_CHECKING:
    import subprocess
    from types import ModuleType

    from execnet import Gateway
    from execnet.gateway_base import Channel

    from versasound_core.context import RunContext
    from versasound_core.registry import Backend

    from .environments import Environment

_ENTRY = """
from versasound_core.worker.serve import serve
serve(channel, *channel.receive())
"""
_LOOK_S = 0.05  # how often a call looks whether the user cancelled
_PATIENCE_S = 10.0  # how long the worker has to notice that a call was given up
_LAST_LINES = 4
_numbers = itertools.count(1)


class _Dead(Exception):  # noqa: N818  (it never leaves this module)
    """The process is no longer there."""


class Worker:
    """The process of one environment. It starts with the first call, and anew after it died.

    Args:
        environment: Where it runs.
        backend: Whom to name in errors.

    Attributes:
        pid: Of the process; None while there is none.
    """

    def __init__(self, environment: Environment, backend: Backend) -> None:
        self.pid: int | None = None
        self._environment, self._backend = environment, backend
        self._lock = threading.RLock()
        self._gateway: Gateway | None = None
        self._channel: Channel | None = None
        self._log: Path | None = None
        self._made: set[int] = set()
        self._dropped: list[int] = []

    def call(  # noqa: PLR0913, PLR0917
        self, number: int, backend: Backend, options: dict[str, Any], method: str, arguments: list[Any], ctx: RunContext
    ) -> Any:  # noqa: ANN401
        """Call a method of a backend in the worker, making the backend first if this process does not have it yet.

        Args:
            number: Which of the backends, as the host counts them.
            backend: What it is.
            options: To make it with.
            method: Its name.
            arguments: Those before the context.
            ctx: Progress and cancellation work as they do without a worker.

        Raises:
            VersaSoundError: What the backend raised, as it raised it.
            BrokenPluginError: If it raised anything else, or the process died.
        """
        with self._lock:
            ctx.check()
            try:
                channel = self._started()
                while self._dropped:
                    self._ask(channel, "drop", self._dropped.pop(), [])
                if number not in self._made:
                    self._ask(channel, "make", (number, backend.role, backend.full_name), options)
                    self._made.add(number)
                context = (ctx.device, ctx.precision, str(ctx.cache_dir) if ctx.cache_dir else None)
                cancel = channel.gateway.newchannel()
                try:
                    return self._ask(channel, "call", (number, method, context, cancel), arguments, ctx, cancel)
                finally:
                    with suppress(OSError):
                        cancel.close()
            except _Dead as error:
                raise self._obituary(error) from None

    def drop(self, number: int) -> None:
        """Let a backend go, at the next call."""
        self._dropped.append(number)

    def stop(self) -> None:
        """End the process, if there is one."""
        gateway, self._gateway, self._channel, self.pid = self._gateway, None, None, None
        self._made.clear()
        self._dropped.clear()
        if gateway is not None:
            gateway.exit()
            process = _process(gateway)
            process.kill()
            process.wait()
            gateway.join()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        if self._log is not None:
            self._log.unlink(missing_ok=True)

    def _started(self) -> Channel:
        if self._channel is not None and self._gateway is not None and _process(self._gateway).poll() is None:
            return self._channel
        self.stop()
        environment = self._environment.ready()
        handle, name = tempfile.mkstemp(prefix="versasound-worker-", suffix=".log")
        os.close(handle)
        self._log = Path(name)
        # -I: neither the host's PYTHONPATH nor the working directory leads anywhere in there
        python = shlex.quote(environment.python.as_posix())
        self._gateway = _execnet().makegateway(f"popen//python={python} -I")
        self._channel = self._gateway.remote_exec(_ENTRY)
        _send(self._channel, (name, logging.getLogger(ROOT).getEffectiveLevel()))
        self.pid = _receive(self._channel)
        return self._channel

    def _ask(  # noqa: PLR0913, PLR0917
        self,
        channel: Channel,
        what: str,
        which: object,
        value: object,
        ctx: RunContext | None = None,
        cancel: Channel | None = None,
    ) -> Any:  # noqa: ANN401
        """Say one thing and wait for its answer."""
        from .wire import pack, unpack

        plain, pieces = pack(value)
        _send(channel, (what, which, plain, len(pieces)))
        for piece in pieces:
            _send(channel, piece)
        answer = None
        try:
            while answer is None:
                if ctx is not None and cancel is not None and ctx.cancel.cancelled:
                    _send(cancel, None)
                answer = self._listen(channel, ctx)
        except _Dead:
            raise
        except BaseException:  # Ctrl-C, or a progress callback that raised
            self._give_up(channel, cancel)
            raise
        kind, *rest = answer
        if kind == "error":
            raise _error(self._backend, *rest)
        return unpack(rest[0], [_receive(channel) for _ in range(rest[1])])

    def _listen(self, channel: Channel, ctx: RunContext | None) -> Any:  # noqa: ANN401
        """Hear one thing at most: return it if it is the answer, deal with it if it is not."""
        said = _receive(channel, _LOOK_S)
        if said is None:
            return None
        what, *rest = said
        if what == "progress":
            if ctx is not None and ctx.progress is not None:
                ctx.progress(*rest)
            return None
        if what == "log":
            name, level, text = rest
            logging.getLogger(name).log(level, "%s", text)
            return None
        return said

    def _give_up(self, channel: Channel, cancel: Channel | None) -> None:
        """Let the worker come to an end with what it does, so that the next call is not answered by it; or end it."""
        until = time.monotonic() + _PATIENCE_S
        try:
            if cancel is not None:
                _send(cancel, None)
            while time.monotonic() < until:
                what, *rest = _receive(channel, _LOOK_S) or ("silence",)
                if what in {"done", "error"}:
                    for _ in range(rest[1] if what == "done" else 0):
                        _receive(channel)
                    return
            self.stop()
        except BaseException:  # somebody is in a hurry
            self.stop()
            raise

    def _obituary(self, cause: _Dead) -> BrokenPluginError:
        code = _process(self._gateway).wait() if self._gateway else None
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = f"signal {-code}, {signal.Signals(-code).name}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log else []
        last = " / ".join([*(line.strip() for line in lines[-_LAST_LINES:] if line.strip()), *map(str, cause.args)])
        self.stop()
        return BrokenPluginError(
            f"{self._backend}: its worker process ended in the middle of the work ({how})"
            + (f". Its last words: {last[-400:]}" if last else "."),
            "The next call starts a new one. SIGKILL often means that memory ran out.",
        )


def _process(gateway: Gateway) -> subprocess.Popen[bytes]:
    return cast("subprocess.Popen[bytes]", cast("Any", gateway)._io.popen)  # execnet has no public way to it


def _send(channel: Channel, value: object) -> None:
    try:
        channel.send(value)
    except OSError as error:
        raise _Dead from error


def _receive(channel: Channel, timeout: float | None = None) -> Any:  # noqa: ANN401
    """Return what comes, or None if nothing does in time."""
    try:
        return channel.receive(timeout)
    except channel.TimeoutError:
        return None
    except channel.RemoteError as error:  # what runs in there failed itself
        raise _Dead(str(error).strip().splitlines()[-1]) from error
    except (EOFError, OSError) as error:
        raise _Dead from error


def _error(backend: Backend, names: list[str], message: str, hint: str | None, trace: str) -> VersaSoundError:
    """Make the error anew that a backend raised in the worker."""
    known = (getattr(errors, name, None) for name in names)
    cls = next((one for one in known if one is not None), None)
    error = BrokenPluginError(f"{backend} failed: {message}") if cls is None else cls(message, hint)
    error.add_note(f"In the worker:\n{trace}")
    return error


@functools.cache
def _execnet() -> ModuleType:
    """Import execnet, and see to it that workers end with this process, before execnet does in its own, slower way."""
    import execnet

    atexit.register(stop_all)
    return execnet


_workers: dict[str, Worker] = {}
_workers_lock = threading.Lock()


def worker(environment: Environment, backend: Backend) -> Worker:
    """Return the one worker of an environment."""
    with _workers_lock:
        return _workers.setdefault(str(environment.path), Worker(environment, backend))


def number_of(owner: object, of: Worker) -> int:
    """Return a number for a backend in the worker that is let go when `owner` is."""
    number = next(_numbers)
    weakref.finalize(owner, of.drop, number).atexit = False
    return number


def stop_all() -> None:
    """End all workers."""
    for one in _workers.values():
        one.stop()
