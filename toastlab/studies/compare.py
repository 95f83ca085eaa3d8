"""Several methods, the same seeds, equal budgets: runs, paired differences, what they allow to say.

All methods of a seed start from the same weights and see the same order of samples as far as they
draw the same number of new ones. What is compared is the last epoch on the test split.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import numpy as np
import pandas as pd
import torch

from toastlab.analysis.metrics import evaluate, fit_temperature
from toastlab.analysis.statistics import BASELINE
from toastlab.core.errors import StoreError, TrainingDiverged, in_range
from toastlab.core.settings import Range
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.methods import (
    BakeConfig,
    ByotConfig,
    CrossEntropyConfig,
    CsKdConfig,
    DlbConfig,
    LabelSmoothingConfig,
    MethodConfig,
    OlsConfig,
    PsKdConfig,
    TfKdConfig,
    TfKdSelfConfig,
    ToastConfig,
)
from toastlab.store.runs import Run, RunStore
from toastlab.studies.pool import run_tasks
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig

log = logging.getLogger(__name__)

# Our own defaults, found on the regime map and not the source's: nothing is softened before the
# network fits four fifths of its data; every sample is held to its last prediction, where it comes
# up anyway, so that what is drawn stays as in plain training; medoids as confident as they are.
CAREFUL = "TOAST careful"
SEED_COUNTS = (1, 1000)  # each is a run of its own
Seeds = Annotated[int, Range(*SEED_COUNTS)]
COSTS = ("passes", "gradients", "steps")
ARMS: dict[str, MethodConfig] = {
    BASELINE: CrossEntropyConfig(),
    "label smoothing": LabelSmoothingConfig(),
    "TOAST stage 1": ToastConfig(past_weight=0),
    "TOAST stage 2": ToastConfig(medoid_weight=0),
    "TOAST": ToastConfig(),
    "TOAST random carry": ToastConfig(criterion="random"),
    "TOAST carry all": ToastConfig(criterion="all"),
    "TOAST class mean": ToastConfig(prototype="mean"),
    CAREFUL: ToastConfig(
        ramp="fit", fit_from=0.8, source="memory", criterion="all", medoid_temperature=1.0
    ),
    "OLS": OlsConfig(),
    "Tf-KD": TfKdConfig(),
    "Tf-KD self": TfKdSelfConfig(),
    "CS-KD": CsKdConfig(),
    "PS-KD": PsKdConfig(),
    "DLB": DlbConfig(),
    "BAKE": BakeConfig(),
    "BYOT": ByotConfig(),
}
ARM_OF = {name.lower().replace(" ", "-"): name for name in ARMS}  # as one types it -> as shown


@dataclass(frozen=True)
class Job:
    """One run to be had: which arm, under which conditions, with which seed."""

    setting: str
    arm: str
    config: TrainConfig


def plan(
    arms: Sequence[str],
    seeds: int,
    base: TrainConfig,
    settings: Mapping[str, DataConfig] | None = None,
) -> list[Job]:
    """All settings x arms x seeds, the seeds outermost so that an early stop leaves whole sets.

    Args:
        arms: names of `ARMS`; seeds: how many, from `base.seed` on.
        base: everything but data, method and seed.
        settings: name -> data; None takes `base.data`.
    """
    in_range("seeds", seeds, *SEED_COUNTS)
    settings = settings or {base.data.name: base.data}
    return [
        Job(setting, arm, _config(base, data, ARMS[arm], seed))
        for seed in range(base.seed, base.seed + seeds)
        for setting, data in settings.items()
        for arm in arms
    ]


def _config(base: TrainConfig, data: DataConfig, method: MethodConfig, seed: int) -> TrainConfig:
    """The run; where both budgets are the same steps it is one run for both."""
    probe = method.build(torch.arange(2), 2, base.batch_size)
    same = probe.passes == probe.new_per_batch and not probe.spent_before
    budget = "images" if same else base.budget
    return replace(base, data=data, method=method, seed=seed, budget=budget)


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
    if not workers:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = max((job.config.threads for job in jobs), default=1)
        workers = max(1, (cores or 1) // threads) if kind == "cpu" else 1
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


def warn_diverged(job: Job, why: str) -> None:
    """For `on_diverged`: says which run will be missing."""
    log.warning("left out: %s, %s, seed %d: %s", job.setting, job.arm, job.config.seed, why)


def _one(
    number: int, config: TrainConfig, store: str, device: str, call: str
) -> tuple[int, str, str]:
    """In a worker: train or find, and say where it lies, or why it diverged."""
    try:
        run = RunStore(store).get(config, dataset=_read(config.data, call), device=device)
    except TrainingDiverged as error:
        return number, "", str(error)
    return number, run.key, ""


# Many runs of a worker are on the same few data sets, and reading one takes as long as a short run.
@lru_cache(maxsize=2)
def _read(config: DataConfig, call: str) -> Dataset:
    """The data, once for each call of `run_all`: until the next one, files may have changed."""
    return load(config)


def tidy(done: Sequence[tuple[Job, Run]]) -> pd.DataFrame:
    """One row per run: setting, method, seed, the last epoch's metrics, and of the whole run

    - `seconds`, `total_passes`, `total_gradients`, `total_steps`, `images_per_second` (passed), a
      teacher's included, and on a CUDA device `peak_memory` in MiB,
    - `temperature`, fitted on the validation split, with `test_nll_scaled`, `test_ece_scaled`,
    - `early_top1`: test top-1 of the epoch that is best on validation, early stopping's answer,
    - `best_minus_last`: what choosing the best test epoch would add to top-1, a common mistake.
    """
    return pd.DataFrame([_row(job, run) for job, run in done])


def _row(job: Job, run: Run) -> dict[str, object]:
    metrics, said = run.metrics, run.group("predictions")
    logits = {k: torch.from_numpy(v) for k, v in said.items()}
    heat = fit_temperature(logits["val_logits"], logits["val_labels"])
    scaled = evaluate(logits["test_logits"] / heat, logits["test_labels"])
    totals = {f"total_{k}": float(metrics[k].sum()) for k in COSTS}
    return {
        "setting": job.setting,
        "method": job.arm,
        "seed": job.config.seed,
        "run": run.key,
        **run.last,
        "seconds": float(metrics.train_seconds.sum()),
        **totals,
        "images_per_second": totals["total_passes"] / float(metrics.train_seconds.sum()),
        "temperature": heat,
        "test_nll_scaled": scaled["nll"],
        "test_ece_scaled": scaled["ece"],
        "early_top1": float(metrics.test_top1.iloc[int(np.nanargmax(metrics.val_top1))]),
        "best_minus_last": float(metrics.test_top1.max() - metrics.test_top1.iloc[-1]),
    }
