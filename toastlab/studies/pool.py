"""Where several runs are worked on at a time: loky's processes here, or a dask cluster.

A worker that dies loses what it had in hand, which is then done again; nothing else. There is no
scheduler of ours: loky and dask have their own.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from threading import Thread
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from toastlab.core.errors import BadValue, DeviceError, WorkerError, one_of

BACKENDS = ("loky", "dask")
KEPT = "What was finished is kept, the same command goes on from there."


def run_tasks(
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    workers: int = 1,
    backend: str = "loky",
    scheduler: str = "",
) -> Iterator[Any]:
    """Yields `function(*task)` of every task, each as it is ready.

    Args:
        workers: processes of loky; one works in this process. A dask cluster has its own number.
        scheduler: address of a dask scheduler, e.g. tcp://10.0.0.1:8786.

    Raises:
        WorkerError: processes keep dying over the same tasks.
        DeviceError: no such cluster, or its workers are of no use.
    """
    one_of("backend", backend, BACKENDS)
    if not tasks:
        return  # no cluster is needed, then
    if backend == "dask":
        yield from _on_dask(function, tasks, scheduler)
        return
    if scheduler:
        raise BadValue(f"scheduler {scheduler!r} is for a cluster: add --backend dask.")
    left, deaths = dict(enumerate(tasks)), 0
    while left:
        pool = Parallel(n_jobs=workers, return_as="generator_unordered")
        calls = [delayed(_numbered)(function, i, task, os.getpid()) for i, task in left.items()]
        try:
            for i, result in pool(calls):
                left.pop(i)
                deaths = 0
                yield result
        except BrokenProcessPool as error:  # loky ends its other workers too: once more, all of it
            deaths += 1
            if deaths == 2:
                raise WorkerError(
                    f"worker processes were killed twice in a row with {len(left)} tasks to do, "
                    f"perhaps for want of memory: fewer --workers need less. {KEPT}"
                ) from error


def _numbered(
    function: Callable[..., Any], i: int, task: tuple[Any, ...], caller: int
) -> tuple[int, Any]:
    if os.getppid() == caller:  # a process of its making, not the caller itself
        _end_with(caller)
    return i, function(*task)


@lru_cache(maxsize=1)
def _end_with(caller: int) -> None:
    """Once in a worker: it ends when its caller is gone, however that went: nobody waits for it.

    What it has in hand is left as by any killed process; a run's last checkpoint is kept.
    """

    def watch() -> None:
        while os.getppid() == caller:
            time.sleep(0.5)
        os._exit(1)  # there is nobody to tell

    Thread(target=watch, daemon=True).start()


def _on_dask(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], scheduler: str
) -> Iterator[Any]:
    # Not joblib's dask backend: it waits for ever for a task that dask has given up, and with one
    # worker it works in this process instead of on the cluster.
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise BadValue(
            'backend dask needs dask: pip install "toastlab[cluster]", here and on the workers.'
        ) from None
    if not scheduler:
        raise BadValue(
            "backend dask needs the address of its scheduler: --scheduler tcp://HOST:8786."
        )
    try:
        client = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceError(f"no dask scheduler answers at {scheduler!r}: {error}.") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError:
            raise DeviceError(
                f"the cluster at {scheduler} has no worker: dask worker {scheduler} --nthreads 1."
            ) from None
        # Two runs in one process would share PyTorch's random generator and number of threads.
        wide = [address for address, threads in client.nthreads().items() if threads > 1]
        if wide:
            raise DeviceError(
                f"the dask worker {wide[0]} runs several tasks in one process, which makes runs "
                f"irreproducible; start it so: dask worker {scheduler} --nthreads 1 --nworkers 4."
            )
        # pure=False: a task is not its arguments, for what it finds in the store can change
        futures = [client.submit(function, *task, pure=False) for task in tasks]
        try:
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
        except KilledWorker as error:
            raise WorkerError(
                "dask gave a run up because several workers died over it, perhaps for want of "
                f"memory. {KEPT}"
            ) from error
