"""Several runs of a store at a time, trained as one where they are missing."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from toastlab.core.errors import Stopped, TrainingDiverged
from toastlab.data.dataset import Dataset
from toastlab.store.names import run_key
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig
from toastlab.training.ranks import ALONE
from toastlab.training.together import Wanted, train_together


def get_together(
    store: RunStore,
    wanted: Sequence[tuple[TrainConfig, Dataset]],
    *,
    device: str = "auto",
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, Run | TrainingDiverged]]:
    """The runs, from the store or trained as one; yields position and run, or why it diverged.

    They stand under the names that they have when trained one by one: a name says what was asked
    for, and neither on which device nor beside which others it was trained, which decides about the
    last bits; `facts.json` says both. An interrupted run goes on from its checkpoint, together with
    others or alone. A run that another process trains is waited for at the end.

    Args:
        wanted: settings of equal shape, see `training.together`, each with its data.

    Raises:
        Stopped: `should_stop` ended the training. And errors of `train_together` and `RunStore`.
    """
    store.check_writable()
    missing: list[int] = []
    waiting: list[int] = []
    partial = [store.root / f".partial-{run_key(c, data.fingerprint)}" for c, data in wanted]
    with ExitStack() as leases:
        for i, (config, data) in enumerate(wanted):
            run = store.find(config, data.fingerprint)
            if run is None and not _leased(store, partial[i], leases):
                waiting.append(i)
                continue
            run = run or store.find(config, data.fingerprint)  # another process may have made it
            if run is not None:
                yield i, run
            else:
                missing.append(i)
        runs = [Wanted(*wanted[i], partial[i] / "checkpoint.pt") for i in missing]
        ended = 0
        for k, result in train_together(runs, device=device, should_stop=should_stop):
            i, ended = missing[k], ended + 1
            if isinstance(result, TrainingDiverged):
                yield i, result
                continue
            run = store._put(result, partial[i])
            shutil.rmtree(partial[i], ignore_errors=True)
            yield i, run
        if ended < len(missing):
            raise Stopped(f"stopped; {store.root} has the last checkpoints")
    for i in waiting:
        config, data = wanted[i]
        try:
            yield i, store.get(config, dataset=data, device=device, should_stop=should_stop)
        except TrainingDiverged as error:
            yield i, error


def _leased(store: RunStore, partial: Path, leases: ExitStack) -> bool:
    """Takes the right to write there until the leases end; whether it was free."""
    try:
        lease = store._lease(partial, ALONE, lambda: True)
    except Stopped:
        return False
    leases.callback(lease.free)
    return True
