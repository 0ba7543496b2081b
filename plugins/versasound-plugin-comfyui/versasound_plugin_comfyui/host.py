"""ComfyUI as the place where backends run: its device, its memory, its progress bar, its stop button."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as memory
import comfy.utils
import folder_paths
import torch

from versasound_core.context import CancelToken, RunContext
from versasound_core.device import is_out_of_memory
from versasound_core.errors import BrokenPluginError, Cancelled, DeviceError, VersaSoundError, in_words
from versasound_core.hooks import PLUGIN_FAILURES

from . import registry, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from versasound_core.cards import Role
    from versasound_core.context import Precision, Progress

_STEPS = 1000


class _StopButton(CancelToken):
    """Set when somebody pressed ComfyUI's stop button."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody did."""
        return bool(memory.processing_interrupted())


@contextmanager
def running(*backends: tuple[Role, str | None]) -> Iterator[RunContext]:
    """Lend a context to run these backends with; the stop button ends the node as ComfyUI expects.

    ComfyUI is first asked for the memory that they need. What they loaded stays for the next run, until ComfyUI wants
    that memory back; see `resident`.

    Args:
        *backends: Role and name of each; None is none.

    Raises:
        DeviceError: Memory ran out; nothing is kept loaded then.
    """
    device = memory.get_torch_device()
    is_gpu = device.type in {"cuda", "mps"}
    bar = comfy.utils.ProgressBar(_STEPS)

    def show(fraction: float, _: str) -> None:
        bar.update_absolute(round(_STEPS * fraction))

    if is_gpu:
        resident.make_room(backends, device)
    precision: Precision = "fp16" if is_gpu and memory.should_use_fp16(device) else "fp32"
    try:
        yield RunContext(
            device=str(device) if is_gpu else "cpu",
            precision=precision,
            progress=show,
            cancel=_StopButton(),
            cache_dir=Path(folder_paths.get_temp_directory(), "versasound"),
        )
    except Cancelled:
        memory.throw_exception_if_processing_interrupted()
        raise
    except Exception as error:
        ran_out = is_out_of_memory(error)
        if ran_out or isinstance(error, DeviceError):
            registry.kept.clear()
            memory.unload_all_models()
        if not ran_out:
            raise
        hint = "All models were unloaded. Make fewer variations, choose a smaller variant, or close other programs."
        raise DeviceError(f"{device} ran out of memory.", hint) from error
    finally:
        resident.enlist(device if is_gpu else torch.device("cpu"))
        memory.soft_empty_cache()


def named(role: Role, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Do a piece of work, and name the backend in whatever its code raises.

    Raises:
        VersaSoundError: As the backend says.
        BrokenPluginError: Anything else that its code raised.
    """
    try:
        return work()
    except VersaSoundError:
        raise
    except PLUGIN_FAILURES as error:
        raise BrokenPluginError(f"{registry.find(role, name)} failed: {in_words(error)}") from error


class Turns:
    """Progress of work that is done several times over: each turn has its share.

    Args:
        report: Told the whole progress.
        count: How many turns there are.

    Attributes:
        number: The turn that is being done, from 0 on.
    """

    def __init__(self, report: Progress, count: int) -> None:
        self._report, self._count, self.number = report, count, 0

    def __call__(self, fraction: float, message: str) -> None:
        """Tell how far this turn is."""
        self._report((self.number + fraction) / self._count, message)
