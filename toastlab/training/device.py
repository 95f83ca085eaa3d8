"""The device, chosen once; what it is; and the settings under which equal runs are bit-equal."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch
from torch.utils import deterministic

from toastlab.core.errors import DeviceError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def choose(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes cuda, then mps, then cpu.

    Raises:
        DeviceError: it is not there, or no device has that name.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, yes in available.items() if yes))
    usable = ", ".join(kind for kind, yes in available.items() if yes)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not available.get(device.type, False):
        raise DeviceError(f"there is no device {name!r} here. Use 'auto' or one of: {usable}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"there is no device {name!r}: this machine has {torch.cuda.device_count()} CUDA "
            "devices, numbered from 0."
        )
    return device


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether "auto", "float32" or "bf16" means bf16 autocast there.

    On a CPU "auto" does not: without special instructions bf16 is several times slower.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bf16"


@contextmanager
def reproducible(seed: int, threads: int, device: torch.device) -> Iterator[None]:
    """Runs a block with deterministic algorithms, `threads` CPU threads and the global seed.

    The seed serves what draws from the global generator (dropout). All is put back afterwards. On
    CUDA the block should hold the process's first matrix product: cuBLAS is deterministic only with
    a fixed workspace, which it takes when it starts, and PyTorch warns where it came too late.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    threads_before, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    gpus = [device] if device.type == "cuda" else []
    workspace = os.environ.get(WORKSPACE)
    fills = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # or every tensor made empty would be filled with NaN first: 44 fills in a step of the MLP
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.set_num_threads(threads)
        if gpus and workspace is None:  # a user's own choice stays
            os.environ[WORKSPACE] = ":4096:8"
        try:
            yield
        finally:
            if gpus and workspace is None:
                os.environ.pop(WORKSPACE, None)
            torch.use_deterministic_algorithms(before, warn_only=warn_only)
            deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = benchmark
            torch.set_num_threads(threads_before)


def facts(device: torch.device) -> dict[str, str]:
    """Where a result comes from: software and hardware, as stored with every run."""
    machine = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "device": device.type,
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
    }
    if device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
    packages = ("toastlab", "torch", "torchvision", "numpy")
    return machine | {name: _version(name) for name in packages}


def wait(device: torch.device) -> None:
    """Until the device has done all it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@cache  # it reads a file each time, and a study's process asks for every run
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that nobody installed, on a machine lent for a while
        return "not installed"


@cache
def _processor() -> str:
    """The processor's trade name where the system tells, else what Python knows."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
