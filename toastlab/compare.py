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
from uuid import uuid4

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student

from toastlab import device as devices
from toastlab.config import TrainConfig
from toastlab.data import DataConfig, Dataset, load
from toastlab.errors import DataError, StoreError, TrainingDiverged, in_range, one_of
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
from toastlab.metrics import evaluate, fit_temperature
from toastlab.pool import spread
from toastlab.runs import Run, RunStore

log = logging.getLogger(__name__)

BASELINE = "cross-entropy"
# Our own defaults, found on the regime map and not the source's: nothing is softened before the
# network fits four fifths of its data; every sample is held to its last prediction, where it comes
# up anyway, so that what is drawn stays as in plain training; medoids as confident as they are.
CAREFUL = "TOAST careful"
SEED_COUNTS = (1, 1000)  # each is a run of its own
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
    same = probe.passes == probe.fresh and not probe.spent_before
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
        for i, key, why in spread(_one, tasks, min(workers, len(jobs) or 1), backend, scheduler):
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
    assert run is not None
    return number, run.key, ""


# Many runs of a worker are on the same few data sets, and reading one takes as long as a short run.
@lru_cache(maxsize=2)
def _read(config: DataConfig, call: str) -> Dataset:
    """The data, once for each call of `run_all`: until the next one, files may have changed."""
    return load(config)


def extra_bytes(config: MethodConfig, num_samples: int, num_classes: int, batch_size: int) -> int:
    """Bytes that a method keeps on the device from step to step, beyond cross-entropy's: banks,
    carries, tables. Networks of its own (teacher, copy, exits) come on top."""

    labels = torch.arange(num_samples) % num_classes

    def size(config: MethodConfig) -> int:
        method = config.build(labels, num_classes, batch_size)
        kept = {id(t): t for t in _tensors(method) if t is not labels}
        if "[N, K]" not in method.memory:  # all have a bank, but for analysis only
            kept = {k: t for k, t in kept.items() if k not in map(id, _tensors(method.bank))}
        return sum(t.numel() * t.element_size() for t in kept.values())

    return size(config) - size(CrossEntropyConfig())


def _tensors(thing: object) -> list[torch.Tensor]:
    """The tensors among an object's attributes, and among those of its own parts."""
    found = []
    for value in vars(thing).values():
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif type(value).__module__.startswith("toastlab.") and hasattr(value, "__dict__"):
            found += _tensors(value)
    return found


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


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student's t interval of a few values; NaN bounds for a single one, and where some
    value is NaN or infinite."""
    x = _values(values, level)
    mean = float(x.mean())
    if len(x) < 2 or not np.isfinite(x).all():
        return mean, float("nan"), float("nan")
    half = float(student.ppf(0.5 + level / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return mean, mean - half, mean + half


def differences(table: pd.DataFrame, metric: str, baseline: str = BASELINE) -> pd.DataFrame:
    """Paired over seeds: each method minus the baseline, per setting.

    Args:
        table: as of `tidy`; metric: a column of it.

    Returns:
        setting, method, mean, low, high (95 % t interval: with few seeds it is the honest one),
        boot_low, boot_high (95 % bootstrap interval, too narrow below some ten seeds), p (paired t
        test), p_holm (Holm's correction over the methods of a setting), seeds.

    Raises:
        DataError: the baseline has not run with the same seeds, a seed stands twice, or there is no
            such metric.
    """
    one_of("metric", metric, table.columns)
    if table.duplicated(["setting", "method", "seed"]).any():
        raise DataError("a method has run twice with the same seed; keep one row of each.")
    rows = []
    for (setting, method), group in table.groupby(["setting", "method"], sort=False):
        base = table[(table.setting == setting) & (table.method == baseline)]
        if method == baseline:
            continue
        own = group.set_index("seed")[metric]
        pair = own - base.set_index("seed")[metric].reindex(own.index)
        if base.empty or pair.isna().any():
            raise DataError(
                f"{baseline!r} has not run with the seeds of {method!r} on {setting!r}."
            )
        around = (*interval(pair.tolist()), *bootstrap_interval(pair.tolist()))
        rows.append((setting, method, *around, paired_p(pair.tolist()), len(pair)))
    names = ["setting", "method", "mean", "low", "high", "boot_low", "boot_high", "p", "seeds"]
    found = pd.DataFrame(rows, columns=names)
    found["p_holm"] = found.groupby("setting", sort=False)["p"].transform(holm)
    return found


def _values(values: Sequence[float], level: float = 0.95) -> np.ndarray:
    """Raises: ValueError: there are none, or the level is none."""
    in_range("level", level, 0, 1, open_low=True, open_high=True)
    if not len(values):
        raise ValueError("there is nothing to take the mean of; give at least one value.")
    return np.asarray(values, dtype=np.float64)


def bootstrap_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, 10,000 resamples, always the same lots; NaN as
    in `interval`."""
    x = _values(values, level)
    if len(x) < 2 or not np.isfinite(x).all():
        return float("nan"), float("nan")
    lots = np.random.default_rng(0).integers(0, len(x), (10_000, len(x)))
    low, high = np.quantile(x[lots].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of Student's paired t test; NaN for one pair, 1 where all differences are 0."""
    x = _values(differences)
    if len(x) < 2 or not np.isfinite(x).all():
        return float("nan")
    if not x.any():
        return 1.0
    spread = x.std(ddof=1) / np.sqrt(len(x))
    if spread == 0:
        return 0.0
    return float(2 * student.sf(abs(x.mean()) / spread, len(x) - 1))


def holm(p: pd.Series) -> pd.Series:
    """Holm's step-down correction (1979) of several p values; NaN stays NaN and does not count."""
    for value in p.dropna():
        in_range("p", value, 0, 1)
    known = p.dropna().sort_values(kind="stable")
    factor = np.arange(len(known), 0, -1)
    corrected = np.minimum(1.0, np.maximum.accumulate(known.to_numpy() * factor))
    return pd.Series(corrected, index=known.index).reindex(p.index)


def verdict(mean: float, low: float, high: float, larger_is_better: bool = True) -> str:
    """What a difference and its interval allow one to say."""
    if np.isnan(low):
        return "one seed: nothing to say"
    if low <= 0 <= high:
        return "within seed noise"
    return "better" if (mean > 0) == larger_is_better else "worse"
