"""Several methods, the same seeds, equal images through the network: runs, paired differences.

All methods of a seed start from the same weights and see the same order of samples as far as they
draw the same number of new ones. What is compared is the last epoch on the test split.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import t as student

from toastlab import device as devices
from toastlab.config import TrainConfig
from toastlab.data import DataConfig
from toastlab.errors import DataError, in_range
from toastlab.methods import CrossEntropyConfig, LabelSmoothingConfig, MethodConfig, ToastConfig
from toastlab.runs import Run, RunStore

BASELINE = "cross-entropy"
ARMS: dict[str, MethodConfig] = {
    BASELINE: CrossEntropyConfig(),
    "label smoothing": LabelSmoothingConfig(),
    "TOAST stage 1": ToastConfig(past_weight=0),
    "TOAST stage 2": ToastConfig(medoid_weight=0),
    "TOAST": ToastConfig(),
    "TOAST random carry": ToastConfig(criterion="random"),
    "TOAST class mean": ToastConfig(prototype="mean"),
}


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
    in_range("seeds", seeds, 1)
    settings = settings or {base.data.name: base.data}
    return [
        Job(setting, arm, replace(base, data=data, method=ARMS[arm], seed=seed))
        for seed in range(base.seed, base.seed + seeds)
        for setting, data in settings.items()
        for arm in arms
    ]


def run_all(
    jobs: Sequence[Job], store: Path | str, *, device: str = "auto", workers: int = 0
) -> Iterator[tuple[Job, Run]]:
    """Runs what is not in the store yet, several at a time, and yields each as it is ready.

    Args:
        workers: processes; 0: as many as there are cores for the threads of a run, but one only on
            a GPU, which a single run can fill.
    """
    kind = devices.choose(device).type
    if not workers:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = max((job.config.threads for job in jobs), default=1)
        workers = max(1, (cores or 1) // threads) if kind == "cpu" else 1
    tasks = (delayed(_one)(i, job.config, str(store), device) for i, job in enumerate(jobs))
    pool = Parallel(n_jobs=min(workers, len(jobs) or 1), return_as="generator_unordered")
    here = RunStore(store)
    for i, key in pool(tasks):
        yield jobs[i], here.open(key)


def _one(number: int, config: TrainConfig, store: str, device: str) -> tuple[int, str]:
    """In a worker: train or find, and say where it lies."""
    run = RunStore(store).get(config, device=device)
    assert run is not None
    return number, run.key


def tidy(done: Sequence[tuple[Job, Run]]) -> pd.DataFrame:
    """One row per run: setting, method, seed, and the last epoch's metrics."""
    rows = [
        {"setting": job.setting, "method": job.arm, "seed": job.config.seed, "run": run.key}
        | run.last
        | {"seconds": float(run.metrics.train_seconds.sum())}
        for job, run in done
    ]
    return pd.DataFrame(rows)


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student's t interval of a few values; NaN bounds for a single one."""
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, float("nan"), float("nan")
    half = float(student.ppf(0.5 + level / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return mean, mean - half, mean + half


def differences(table: pd.DataFrame, metric: str, baseline: str = BASELINE) -> pd.DataFrame:
    """Paired over seeds: each method minus the baseline, per setting.

    Args:
        table: as of `tidy`; metric: a column of it.

    Returns:
        setting, method, mean, low, high (95 % t interval), seeds.

    Raises:
        DataError: the baseline has not run with the same seeds.
    """
    rows = []
    for (setting, method), group in table.groupby(["setting", "method"], sort=False):
        base = table[(table.setting == setting) & (table.method == baseline)]
        if method == baseline:
            continue
        pair = group.set_index("seed")[metric] - base.set_index("seed")[metric]
        if base.empty or pair.isna().any():
            raise DataError(
                f"{baseline!r} has not run with the seeds of {method!r} on {setting!r}."
            )
        mean, low, high = interval(pair.tolist())
        rows.append((setting, method, mean, low, high, len(pair)))
    return pd.DataFrame(rows, columns=["setting", "method", "mean", "low", "high", "seeds"])


def verdict(mean: float, low: float, high: float, larger_is_better: bool = True) -> str:
    """What a difference and its interval allow one to say."""
    if np.isnan(low):
        return "one seed: nothing to say"
    if low <= 0 <= high:
        return "within seed noise"
    return "better" if (mean > 0) == larger_is_better else "worse"
