"""What a backend is run with: device, precision, progress, cancellation, cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import attrs

from .errors import Cancelled

if TYPE_CHECKING:
    from pathlib import Path

    import torch

Precision = Literal["fp16", "bf16", "fp32"]
Progress = Callable[[float, str], None]


def torch_dtype(precision: Precision) -> torch.dtype:
    """A precision as PyTorch's own object."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


class CancelToken:
    """A flag that any thread may set and that every backend looks at between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the run to stop at its next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()


@attrs.frozen(kw_only=True, eq=False)
class RunContext:
    """Where and how a backend runs.

    Args:
        device: A PyTorch device, such as `"cpu"` or `"cuda:0"`.
        precision: The number format that models compute in.
        progress: Called with a fraction in [0, 1] and a few words.
        cancel: Set it to stop the run.
        cache_dir: Where results may be kept between runs; None keeps nothing.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    progress: Progress | None = None
    cancel: CancelToken = attrs.field(factory=CancelToken)
    cache_dir: Path | None = None

    @property
    def torch_device(self) -> torch.device:
        """`device` as PyTorch's own object."""
        import torch

        return torch.device(self.device)

    def check(self) -> None:
        """Raise `Cancelled` if the user asked to stop."""
        if self.cancel.cancelled:
            raise Cancelled("Cancelled.")

    def report(self, fraction: float, message: str = "") -> None:
        """Tell how far the work has come (0 to 1), and stop here if the user asked to.

        Raises:
            Cancelled: If the cancel token is set.
        """
        self.check()
        if self.progress is not None:
            self.progress(min(max(fraction, 0.0), 1.0), message)

    def part(self, start: float, end: float) -> RunContext:
        """Return a context whose progress 0..1 is `start`..`end` of this one's."""
        if self.progress is None:
            return self
        whole = self.progress
        return attrs.evolve(self, progress=lambda f, message: whole(start + f * (end - start), message))
