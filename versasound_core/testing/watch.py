"""What a backend must not do to the process that it runs in, and what it says while it runs."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.context import CancelToken, RunContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_unpickled: list[str] | None = None  # names that were looked up while somebody listens
_listening = False


def process_state() -> dict[str, Any]:
    """Return what belongs to the user and not to a backend, in values that can be compared."""
    import numpy as np
    import torch

    root = logging.getLogger()
    return {
        "the global random state of torch": torch.get_rng_state().tolist(),
        "the global random state of NumPy": repr(np.random.get_state()),
        "the global random state of Python": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "the root logger": (root.level, list(root.handlers), logging.root.manager.disable),
        "the filters of warnings": list(warnings.filters),
        "the working directory": os.getcwd(),  # noqa: PTH109
        "the module search path": list(sys.path),
        "the hook for uncaught exceptions": sys.excepthook,
    }


def changed(before: dict[str, Any]) -> list[str]:
    """Name what is not as it was."""
    return [name for name, value in process_state().items() if value != before[name]]


@contextmanager
def unpickling() -> Iterator[list[str]]:
    """Collect the names that unpickling looks up meanwhile, however it is called.

    Python's audit event `pickle.find_class` is raised by its own unpickler alone; torch's `weights_only` has another.
    """
    global _unpickled, _listening  # noqa: PLW0603  (an audit hook cannot be taken away, so there is one)
    if not _listening:
        sys.addaudithook(_hear)
        _listening = True
    before, _unpickled = _unpickled, []
    try:
        yield _unpickled
    finally:
        _unpickled = before


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class" and _unpickled is not None:
        _unpickled.append(".".join(map(str, arguments)))


class CountingToken(CancelToken):
    """A token that knows how often it was looked at.

    Args:
        after: Be cancelled when it was looked at this often; None never.
    """

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.after, self.looks = after, 0

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked."""
        self.looks += 1
        if self.after is not None and self.looks > self.after:
            self.cancel()
        return super().cancelled


@attrs.frozen(kw_only=True, eq=False)
class WatchedContext(RunContext):
    """A context that keeps what it is told before it is made to fit.

    Args:
        raw: Every fraction as the backend gave it, on the scale of the part that it was given.
        told: Every fraction of the whole, and its message.
    """

    raw: list[float] = attrs.field(factory=list)
    told: list[tuple[float, str]] = attrs.field(factory=list)

    @classmethod
    def make(cls, token: CancelToken | None = None, device: str = "cpu") -> WatchedContext:
        """Return one that listens."""
        told: list[tuple[float, str]] = []
        progress: Callable[[float, str], None] = lambda fraction, message: told.append((fraction, message))  # noqa: E731
        return cls(device=device, progress=progress, cancel=token or CancelToken(), told=told)

    def report(self, fraction: float, message: str = "") -> None:
        """Note the fraction, and go on as any context does."""
        self.raw.append(fraction)
        super().report(fraction, message)
