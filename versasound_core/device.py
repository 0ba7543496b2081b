"""Which device to compute on, and its memory."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict

from .errors import DeviceError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

MIB = 2**20
_OUT_OF_MEMORY = ("out of memory", "not enough memory")  # CUDA and MPS; the CPU's allocator


class DeviceInfo(TypedDict):
    """What a device is.

    Attributes:
        device: Its PyTorch name, such as `cuda:0`.
        name: What its maker calls it.
        memory: All of its memory in MiB; 0 where the system does not tell.
    """

    device: str
    name: str
    memory: int


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """Return the PyTorch device of this name.

    Args:
        name: `auto` (CUDA, else MPS, else the CPU), `cuda`, `cuda:N`, `mps` or `cpu`.

    Raises:
        InvalidInputError: If there is no such kind of device.
        DeviceError: If this machine does not have it.
    """
    import torch

    kind, _, index = str(name).partition(":")
    if kind not in {"auto", "cuda", "mps", "cpu"} or (index and not index.isdecimal()):
        raise InvalidInputError(f"there is no device {str(name)!r}.", "Choose auto, cuda, cuda:N, mps or cpu.")
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if kind == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    count = {"cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps), "cpu": 1}[kind]
    if int(index or 0) >= count:
        why = {
            "cuda": f"PyTorch {torch.__version__} sees {count or 'no'} CUDA device{'s' * (count != 1)} here",
            "mps": "MPS needs a Mac with Apple silicon and macOS 14 or newer",
            "cpu": "there is one CPU device",
        }[kind]
        raise DeviceError(f"device {name} is not available: {why}.", "Set the device to auto or cpu.")
    return torch.device(kind, int(index)) if index else torch.device(kind)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or beside it, and this error or one that it came from says so."""
    import torch

    cause: BaseException | None = error
    while cause is not None:
        said = isinstance(cause, RuntimeError) and any(words in str(cause) for words in _OUT_OF_MEMORY)
        if said or isinstance(cause, MemoryError | torch.OutOfMemoryError):
            return True
        cause = cause.__cause__
    return False


class DeviceFallbackWarning(UserWarning):
    """What was to go onto a device that this machine does not have stays on the CPU."""


def place_for(device: str | torch.device) -> torch.device:
    """Return where data that somebody wants on `device` can go: there, or with a warning the CPU.

    Data is the same wherever it lies, so that a program written for a GPU runs, slowly, without one. Who computes asks
    `resolve_device`, which refuses.
    """
    import torch

    wanted = torch.device(device)
    manager = DeviceManager()
    if (wanted.type == "cuda" and not manager.has_cuda()) or (wanted.type == "mps" and not manager.has_mps()):
        warnings.warn(f"There is no {wanted.type} device here; the CPU is used.", DeviceFallbackWarning, stacklevel=3)
        return torch.device("cpu")
    return wanted


class DeviceManager:
    """The devices of this machine. There is one: `DeviceManager() is DeviceManager()`."""

    _instance: Self | None = None

    def __new__(cls) -> Self:
        """Return the one instance."""
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def get_device(self) -> torch.device:
        """Return the fastest device there is: CUDA, else MPS, else the CPU."""
        return resolve_device("auto")

    def has_cuda(self) -> bool:
        """Whether PyTorch can compute on an NVIDIA or AMD GPU."""
        import torch

        return torch.cuda.is_available()

    def has_mps(self) -> bool:
        """Whether PyTorch can compute on an Apple GPU."""
        import torch

        return torch.backends.mps.is_available()

    def get_device_info(self) -> DeviceInfo:
        """Return `device`, `name` and `memory` (in MiB) of `get_device()`."""
        import torch

        device = self.get_device()
        if device.type == "cuda":
            properties = torch.cuda.get_device_properties(device)
            name, memory = properties.name, properties.total_memory
        elif device.type == "mps":
            name, memory = f"Apple GPU ({platform.machine()})", torch.mps.recommended_max_memory()
        else:
            name, memory = _processor(), _ram()
        return {"device": str(device), "name": name, "memory": memory // MIB}

    def clear_cache(self) -> None:
        """Give the memory that PyTorch keeps for reuse on the GPU back to the system; nothing to do on a CPU."""
        import torch

        if self.has_cuda():
            torch.cuda.empty_cache()
        elif self.has_mps():
            torch.mps.empty_cache()

    def optimize_memory(self) -> None:
        """Free all that is unused: collect garbage, empty the GPU's cache, return the C library's free pages.

        Results stay the same bit for bit; no PyTorch setting and no random state changes.
        """
        gc.collect()
        self.clear_cache()
        if sys.platform == "linux":
            with suppress(OSError, AttributeError):  # a C library other than glibc
                ctypes.CDLL("libc.so.6").malloc_trim(0)


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _ram() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread meanwhile: work on small tensors beside a decoder is far slower on several."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
