"""Tables of runs: one row per run, and stored tables whose rows are put in and picked out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from toastlab.analysis.metrics import evaluate, fit_temperature
from toastlab.analysis.statistics import BASELINE
from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig
from toastlab.data.dataset import load as load_data
from toastlab.disk.tables import read_table
from toastlab.store.names import run_key
from toastlab.store.runs import Run
from toastlab.studies.arms import Job
from toastlab.training.config import TrainConfig

COSTS = ("passes", "gradients", "steps")
NAMES = ("part", "model", "budget", "setting", "method", "seed", "run")  # what tells rows apart


@dataclass(frozen=True)
class Entry:
    """A row to be had: the part of the table and the budget that it stands under, and its run."""

    part: str
    budget: str
    job: Job


def key_of(config: TrainConfig) -> str:
    """The name of a run of the data that its settings load."""
    return run_key(config, _fingerprint(config.data))


def hold_to_names(
    table: pd.DataFrame, path: Path, again: str, name_of: Callable[[dict[str, Any]], str]
) -> None:
    """Makes sure that the runs of a stored table have the names that code and data give them now.

    Args:
        table: one row per run, its name in the column `run`.
        path, again: the table's file and the command that makes it, for the error.
        name_of: the name today of a row's run; what it cannot make out (a KeyError, ValueError,
            TypeError or OverflowError) stands for no run.

    Raises:
        DataError: a run has another name now.
    """
    for row in table.to_dict("records"):
        name = ""
        with suppress(KeyError, ValueError, TypeError, OverflowError):
            name = name_of({str(k): v for k, v in row.items()})
        if name != row["run"]:
            what = ", ".join(f"{k} {v}" for k, v in row.items() if k != "run")
            raise DataError(
                f"{path} holds a run that settings or data no longer match; make the table again "
                f"with `{again}`. It is: {what}."
            )


@lru_cache(maxsize=64)
def _fingerprint(data: DataConfig) -> str:
    return load_data(data).fingerprint


def run_table(done: Sequence[tuple[Job, Run]]) -> pd.DataFrame:
    """One row per run: setting, method, seed, the last epoch's metrics, and of the whole run

    - `seconds`, `total_passes`, `total_gradients`, `total_steps`, `images_per_second` (passed), a
      teacher's included, and on a CUDA device `peak_memory` in MiB,
    - `temperature`, fitted on the validation split, with `test_nll_scaled`, `test_ece_scaled`,
    - `early_epoch`: the epoch with the best top-1 on validation, early stopping's answer; and of it
      `early_top1`, `early_nll`, `early_ece` on the test split,
    - `best_minus_last`: what choosing the best test epoch would add to top-1, a common mistake.
    """
    return pd.DataFrame([_row(job, run) for job, run in done])


def _row(job: Job, run: Run) -> dict[str, object]:
    metrics, predictions = run.metrics, run.group("predictions")
    logits = {k: torch.from_numpy(v) for k, v in predictions.items()}
    temperature = fit_temperature(logits["val_logits"], logits["val_labels"])
    scaled = evaluate(logits["test_logits"] / temperature, logits["test_labels"])
    totals = {f"total_{k}": float(metrics[k].sum()) for k in COSTS}
    seconds = float(metrics.train_seconds.sum())
    early = metrics.iloc[int(np.nanargmax(metrics.val_top1))]
    return {
        "setting": job.setting,
        "method": job.arm,
        "seed": job.config.seed,
        "run": run.key,
        **run.last,
        "seconds": seconds,
        **totals,
        "images_per_second": totals["total_passes"] / seconds,
        "temperature": temperature,
        "test_nll_scaled": scaled["nll"],
        "test_ece_scaled": scaled["ece"],
        "early_epoch": int(early.epoch),
        **{f"early_{name}": float(early[f"test_{name}"]) for name in ("top1", "nll", "ece")},
        "best_minus_last": float(metrics.test_top1.max() - metrics.test_top1.iloc[-1]),
    }


def rows_of(model: str, wanted: Sequence[Entry], runs: Mapping[Job, Run]) -> pd.DataFrame:
    """One row per entry: `run_table`, and what it took to be as good as cross-entropy."""
    facts = {job: _row(job, run) for job, run in runs.items()}  # a run may stand in several rows
    table = pd.DataFrame(
        [{"part": e.part, "model": model, "budget": e.budget, **facts[e.job]} for e in wanted]
    )
    goals = {
        (e.part, e.job.setting, e.job.config.seed): runs[e.job].last["val_top1"]
        for e in wanted
        if e.job.arm == BASELINE
    }
    costs = [_until(runs[e.job], goals[e.part, e.job.setting, e.job.config.seed]) for e in wanted]
    for name in ("train_seconds", "passes"):
        table[f"{name}_to_baseline"] = [cost[name] for cost in costs]
    return table.round(6)


def _until(run: Run, goal: float) -> dict[str, float]:
    """Seconds and passes up to the first epoch with that top-1 on validation; NaN without one."""
    reached = (run.metrics.val_top1 >= goal).to_numpy()
    epochs = int(reached.argmax()) + 1
    costs = {k: float(run.metrics[k][:epochs].sum()) for k in ("train_seconds", "passes")}
    return costs if reached.any() else dict.fromkeys(costs, float("nan"))


def write_rows(path: Path, rows: pd.DataFrame) -> None:
    """Puts rows into a stored table, in place of those of the same network, part and budget."""
    if path.exists():
        old = read_table(path, f"the table {path}", ["model"], "in another place")
        same = old.model.isin(rows.model)
        for name in ("part", "budget"):
            if name in rows:
                same &= old[name].isin(rows[name])
        rows = pd.concat([old[~same], rows], ignore_index=True)
    rows.to_csv(path, index=False)


def select(table: pd.DataFrame, methods: Sequence[str] = (), **at: str) -> pd.DataFrame:
    """The rows with these values, e.g. `model="mlp", budget="images"`, and these methods."""
    for name, value in at.items():
        table = table[table[name] == value]
    return table[table.method.isin(methods)] if methods else table
