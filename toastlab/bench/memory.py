"""What each method keeps, and the peak memory of a process that trains with it."""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from toastlab.bench.config import BenchConfig, Row, at_work, split_of
from toastlab.bench.timing import Loop, one_thread
from toastlab.methods import CrossEntropyConfig, MethodConfig


def memory(config: BenchConfig, device: torch.device) -> Iterator[list[Row]]:
    """Rows so far, after each method: `kept` bytes beyond cross-entropy's for CIFAR-100's 50,000
    samples in 100 classes; `peak_mib` of a new process that trains one epoch, or on a CUDA device
    of what it allocates there; `peak_over_base_mib`, less cross-entropy's."""
    rows: list[Row] = []
    for name in config.names:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            peak = pool.submit(peak_of, name, config, str(device)).result() / 2**20
        base = rows[0]["peak_mib"] if rows else peak
        kept = extra_bytes(at_work(name), 50_000, 100, config.batch_size)
        row = {"kept_bytes": kept, "peak_mib": peak, "peak_over_base_mib": peak - base}
        rows.append({"method": name, **row})
        yield list(rows)


def peak_of(name: str, config: BenchConfig, device: str) -> float:
    """In a process of its own: bytes at the peak of an epoch."""
    on = torch.device(device)
    with one_thread():
        loop = Loop(at_work(name), split_of(config, on), 10, config.model, config.batch_size)
        for _ in loop.epoch():
            pass
    if on.type == "cuda":
        return float(torch.cuda.max_memory_allocated(on))
    return peak_rss()


def peak_rss() -> float:
    """Most bytes of memory this process has held at a time; NaN where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's figure would include what the parent held at the start
        lines = status.read_text(encoding="utf-8").splitlines()
        return 1024.0 * int(next(x for x in lines if x.startswith("VmHWM")).split()[1])
    if sys.platform == "win32":
        return float("nan")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most) * (1 if sys.platform == "darwin" else 1024)


def extra_bytes(config: MethodConfig, num_samples: int, num_classes: int, batch_size: int) -> int:
    """Bytes that a method keeps on the device from step to step, beyond cross-entropy's: banks,
    carries, tables. Networks of its own (teacher, copy, exits) come on top."""
    labels = torch.arange(num_samples) % num_classes
    own, plain = (c.build(labels, num_classes, batch_size) for c in (config, CrossEntropyConfig()))
    return own.state_bytes - plain.state_bytes
