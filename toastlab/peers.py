"""The stored comparison: every method on `fashion-mini`, three rates of label noise, both budgets.

`toastlab peers` trains what is missing and condenses the runs to one table, small enough to keep
beside the code; the notebook and the pages of claims read that table only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from toastlab.compare import ARMS, Job, plan, run_all, tidy
from toastlab.config import TrainConfig
from toastlab.data import DataConfig
from toastlab.errors import DataError
from toastlab.methods.base import BUDGETS
from toastlab.runs import Run
from toastlab.sources import embedded

NOISE = {"clean labels": 0.0, "20 % noise": 0.2, "40 % noise": 0.4}
SEEDS = 5
MORE_SEEDS = 10  # of the methods on which most hangs
HEADLINE = ("cross-entropy", "label smoothing", "DLB", "TOAST", "TOAST random carry")
KEPT = ("setting", "model", "budget", "method", "seed", "run")


def jobs(model: str, seeds: int = SEEDS, more: int = MORE_SEEDS) -> list[tuple[str, Job]]:
    """Budget and job of every run; one that serves both budgets stands under both."""
    settings = {name: DataConfig(noise_rate=rate) for name, rate in NOISE.items()}
    found = []
    for budget in BUDGETS:
        base = TrainConfig(model=model, budget=budget, record="none")
        every = plan(list(ARMS), seeds, base, settings)
        if more > seeds:
            later = replace(base, seed=seeds)
            every += plan(list(HEADLINE), more - seeds, later, settings)
        found += [(budget, job) for job in every]
    return found


def run_peers(
    model: str, store: Path | str, *, seeds: int = SEEDS, more: int = MORE_SEEDS, workers: int = 0
) -> Iterator[tuple[int, int, pd.DataFrame]]:
    """Trains what is missing; yields how many of how many runs are there, and at last the table."""
    wanted = jobs(model, seeds, more)
    single = list(dict.fromkeys(job for _, job in wanted))
    done: dict[Job, Run] = {}
    for job, run in run_all(single, store, device="cpu", workers=workers):
        done[job] = run
        yield len(done), len(single), pd.DataFrame()
    rows = tidy([(job, done[job]) for job in single]).round(6)
    at = {job: i for i, job in enumerate(single)}
    table = rows.iloc[[at[job] for _, job in wanted]].reset_index(drop=True)
    table.insert(1, "model", model)
    table.insert(2, "budget", [budget for budget, _ in wanted])
    yield len(single), len(single), table


def table_path() -> Path:
    """Where the stored table lies."""
    return embedded("peers.csv")


def load_peers() -> pd.DataFrame:
    """The stored comparison: one row per model, budget, setting, method and seed.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        table = pd.read_csv(table_path())
    except (OSError, ValueError) as error:
        raise DataError(f"the stored comparison cannot be read: {error}.") from error
    missing = [name for name in KEPT if name not in table]
    if missing:
        raise DataError(f"{table_path()} lacks {missing[0]!r}; make it again: toastlab peers.")
    return table


def part(table: pd.DataFrame, methods: Sequence[str] = (), **at: str) -> pd.DataFrame:
    """The rows with these values, e.g. `model="mlp", budget="images"`, and these methods."""
    for name, value in at.items():
        table = table[table[name] == value]
    return table[table.method.isin(methods)] if methods else table
