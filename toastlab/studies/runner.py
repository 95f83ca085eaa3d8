"""Runs side by side, on one machine or on a cluster; what is in the store is not trained again."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from uuid import uuid4

from toastlab.core.errors import StoreError, TrainingDiverged, in_range
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.store.runs import Run, RunStore
from toastlab.store.together import get_together
from toastlab.studies.arms import Job
from toastlab.studies.pool import run_tasks
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig
from toastlab.training.together import groups, why_alone

log = logging.getLogger(__name__)


def run_all(
    jobs: Sequence[Job],
    store: Path | str,
    *,
    device: str = "auto",
    workers: int = 0,
    backend: str = "loky",
    scheduler: str = "",
    together: bool = False,
    on_diverged: Callable[[Job, str], None] | None = None,
) -> Iterator[tuple[Job, Run]]:
    """Runs what is not in the store yet, several at a time, and yields each as it is ready.

    Runs in a row on the same data read them once.

    Args:
        workers: processes; 0: as many as there are cores for the threads of a run, but one only on
            a GPU, which a single run can fill.
        backend: loky, processes on this machine; or dask, the cluster of a `scheduler`, whose
            workers must see the store under the same path.
        together: train runs of equal shape as one, see `training.together`; those that cannot be
            trained so are trained one by one, and the log says why.
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
    configs = [job.config for job in jobs]
    sets = groups(configs) if together else [[i] for i in range(len(jobs))]
    if together:
        _say_who_is_alone(configs)
    tasks = [(some, [configs[i] for i in some], str(store), device, call) for some in sets]
    here = RunStore(store)
    try:
        done = run_tasks(_some, tasks, min(workers, len(tasks) or 1), backend, scheduler)
        for i, key, why in chain.from_iterable(done):
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


def _say_who_is_alone(configs: Sequence[TrainConfig]) -> None:
    for why, count in Counter(why_alone(config) for config in configs).items():
        if why:
            log.warning("%d runs are trained one by one: %s", count, why)


def _some(
    numbers: list[int], configs: list[TrainConfig], store: str, device: str, call: str
) -> list[tuple[int, str, str]]:
    """In a worker: train or find, and say of each where it lies, or why it diverged. Several are
    trained as one."""
    pairs = [(config, _read(config.data, call)) for config in configs]
    try:
        if len(pairs) > 1:
            found = get_together(RunStore(store), pairs, device=device)
            return [(numbers[i], *_told(run)) for i, run in found]
        config, data = pairs[0]
        run = RunStore(store).get(config, dataset=data, device=device)
    except TrainingDiverged as error:
        return [(numbers[0], *_told(error))]
    return [(numbers[0], *_told(run))]


def _told(run: Run | TrainingDiverged) -> tuple[str, str]:
    """The key of a run, or why there is none."""
    return ("", str(run)) if isinstance(run, TrainingDiverged) else (run.key, "")


# Many runs of a worker are on the same few data sets, and reading one takes as long as a short run.
# Runs that are trained as one may have some levels of noise, each a data set.
@lru_cache(maxsize=4)
def _read(config: DataConfig, call: str) -> Dataset:
    """The data, once for each call of `run_all`: until the next one, files may have changed."""
    return load(config)
