from __future__ import annotations

import platform
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from versasound_core.device import DeviceFallbackWarning, DeviceManager, place_for, resolve_device
from versasound_core.errors import DeviceError, InvalidInputError

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
needs_no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
needs_no_mps = pytest.mark.skipif(torch.backends.mps.is_available(), reason="an Apple GPU is present")
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_there_is_one_manager():
    assert DeviceManager() is DeviceManager()


def test_it_agrees_with_pytorch():
    manager = DeviceManager()
    assert manager.has_cuda() is torch.cuda.is_available()
    assert manager.has_mps() is torch.backends.mps.is_available()
    assert manager.get_device() == resolve_device()
    assert torch.zeros(2, device=manager.get_device()).sum().item() == 0


@needs_no_cuda
@needs_no_mps
def test_without_a_gpu_auto_is_the_cpu():
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cpu", "cpu:0", torch.device("cpu")])
def test_the_cpu_is_always_there(name):
    assert resolve_device(name).type == "cpu"


@needs_no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_an_absent_gpu_is_named_with_a_way_out(name):
    with pytest.raises(
        DeviceError, match=rf"device {name} is not available: .*no CUDA devices.*Set the device to auto"
    ):
        resolve_device(name)


@needs_no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:1", torch.device("cuda")])
def test_data_for_an_absent_gpu_stays_with_a_warning(name):
    with pytest.warns(DeviceFallbackWarning, match="no cuda device here; the CPU is used"):
        assert place_for(name) == torch.device("cpu")


def test_data_goes_to_a_device_that_is_there():
    assert place_for(resolve_device("auto")) == resolve_device("auto")
    assert place_for("cpu") == torch.device("cpu")


@needs_no_mps
def test_an_absent_apple_gpu_too():
    with pytest.raises(DeviceError, match="Apple silicon"):
        resolve_device("mps")


def test_an_index_beyond_the_last():
    with pytest.raises(DeviceError, match="cuda:9999"):
        resolve_device("cuda:9999")


@pytest.mark.parametrize("name", ["tpu", "", "cuda:x", "cuda:-1", "CUDA"])
def test_no_such_kind_of_device(name):
    with pytest.raises(InvalidInputError, match="Choose auto, cuda"):
        resolve_device(name)


def test_info_has_the_published_keys():
    info = DeviceManager().get_device_info()
    assert list(info) == ["device", "name", "memory"]
    assert info["device"] == str(DeviceManager().get_device())
    assert info["name"]


@needs_linux
@needs_no_cuda
def test_memory_is_in_mib():
    kib = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1])
    assert DeviceManager().get_device_info()["memory"] == pytest.approx(kib / 1024, rel=0.01)


@needs_cuda
def test_cuda_as_pytorch_sees_it():
    properties = torch.cuda.get_device_properties(0)
    info = DeviceManager().get_device_info()
    assert info == {"device": "cuda", "name": properties.name, "memory": properties.total_memory // 2**20}
    assert resolve_device("cuda:0") == torch.device("cuda", 0)


@needs_cuda
@pytest.mark.parametrize("method", ["clear_cache", "optimize_memory"])
def test_cuda_memory_goes_back(method):
    DeviceManager().clear_cache()
    before = torch.cuda.memory_reserved()
    tensor = torch.zeros(64 * 2**20, device="cuda")
    del tensor
    assert torch.cuda.memory_reserved() >= before + 64 * 2**20
    getattr(DeviceManager(), method)()
    assert torch.cuda.memory_reserved() == before


def test_no_global_state_changes():
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    settings = (torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype())
    DeviceManager().optimize_memory()
    DeviceManager().clear_cache()
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert (torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype()) == settings


@needs_glibc
def test_freed_pages_go_back_to_the_system():
    # Small blocks live in the C library's heap; the last one pins its top, so that free() alone returns nothing.
    code = """
import ctypes, gc
from versasound_core.device import DeviceManager
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
DeviceManager().optimize_memory()
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024
blocks = [libc.malloc(4096) for _ in range(20000)]
for block in blocks:
    ctypes.memset(block, 1, 4096)
for block in blocks[:-1]:
    libc.free(block)
full = resident()
DeviceManager().optimize_memory()
print(full - resident())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 60  # of the 78 MiB
