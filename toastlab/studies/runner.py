"""Runs side by side, on one machine or on a cluster; what is in the store is not trained again."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from toastlab.core.errors import StoreError, TrainingDiverged, in_range
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.store.runs import Run, RunStore
from toastlab.studies.arms import Job
from toastlab.studies.pool import run_tasks
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig

log = logging.getLogger(__name__)


def run_all(
    jobs: Sequence[Job],
    store: Path | str,
    *,
    device: str = "auto",
    workers: int = 0,
    backend: str = "loky",
    scheduler: str = "",
    on_diverged: Callable[[Job, str], None] | None = None,
) -> Iterator[tuple[Job, Run]]:
    """Runs what is not in the store yet, several at a time, and yields each as it is ready.

    Runs in a row on the same data read them once.

    Args:
        workers: processes; 0: as many as there are cores for the threads of a run, but one only on
            a GPU, which a single run can fill.
        backend: loky, processes on this machine; or dask, the cluster of a `scheduler`, whose
            workers must see the store under the same path.
        on_diverged: told of a run whose loss turned NaN, and of why; the others go on. None: such
            a run is an error.

    Raises:
        TrainingDiverged: see `on_diverged`.
        WorkerError: processes keep being killed. Finished runs are in the store.
        StoreError: the store of the cluster's workers is not the one here.
        DeviceError: the cluster is not there.
    """
    in_range("workers", workers, 0, 1024)
    away = backend == "dask"
    kind = "cpu" if away else devices.choose(device).type
    if away:
        store = Path(store).resolve()  # workers start in folders of their own
    workers = processes(workers, kind, max((job.config.threads for job in jobs), default=1))
    call = str(uuid4())
    tasks = [(i, job.config, str(store), device, call) for i, job in enumerate(jobs)]
    here = RunStore(store)
    try:
        for i, key, why in run_tasks(_one, tasks, min(workers, len(jobs) or 1), backend, scheduler):
            if why and on_diverged is None:
                raise TrainingDiverged(f"{jobs[i].arm}, seed {jobs[i].config.seed}: {why}")
            if why and on_diverged is not None:
                on_diverged(jobs[i], why)
                continue
            if away and not (here.root / key).exists():
                raise StoreError(
                    f"a worker keeps its runs elsewhere: {here.root} must be one folder."
                )
            yield jobs[i], here.open(key)
    finally:
        _read.cache_clear()  # where the runs were in this process


def processes(workers: int, kind: str, threads: int) -> int:
    """How many processes to work with.

    Args:
        workers: as asked for; 0: as many as there are cores for the threads of a run, but one only
            on a GPU.
        kind: type of the device; threads: of a run.
    """
    if workers:
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // threads) if kind == "cpu" else 1


def warn_diverged(job: Job, why: str) -> None:
    """For `on_diverged`: says which run will be missing."""
    log.warning("left out: %s, %s, seed %d: %s", job.setting, job.arm, job.config.seed, why)


def _one(
    number: int, config: TrainConfig, store: str, device: str, call: str
) -> tuple[int, str, str]:
    """In a worker: train or find, and say where it lies, or why it diverged."""
    data = _read(config.data, call)
    try:
        return number, RunStore(store).get(config, dataset=data, device=device).key, ""
    except TrainingDiverged as error:
        return number, "", str(error)


# Many runs of a worker are on the same few data sets, and reading one takes as long as a short run.
@lru_cache(maxsize=2)
def _read(config: DataConfig, call: str) -> Dataset:
    """The data, once for each call of `run_all`: until the next one, files may have changed."""
    return load(config)
