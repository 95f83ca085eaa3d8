"""The stored comparison: every method on `fashion-mini`, clean and noisy, under both budgets.

`toastlab peers` trains what is missing and condenses the runs to three tables, small enough to keep
beside the code; the notebook and the page of claims read those tables only:

    data/peers/rows.csv    one row per run, last epoch
    data/peers/trials.csv  the trials that chose the tuned settings, on validation
    data/peers/curves.csv  a few measures per epoch, means over the seeds
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from toastlab.analysis.statistics import BASELINE
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.methods.plan import BUDGETS, Budget
from toastlab.store.runs import Run
from toastlab.studies.compare import ARMS, Job, plan, run_all, tidy, warn_diverged
from toastlab.studies.tuning import SPACES, chosen, settings_of, trials
from toastlab.training.config import TrainConfig

NOISE = {"clean labels": 0.0, "20 % noise": 0.2, "40 % noise": 0.4}
PAIRWISE = "20 % pairwise noise"  # every flipped label goes to the next class
TUNED = ("clean labels", "20 % noise")  # where the hyperparameters are searched for
# Augmentations that the source says TOAST combines with, under those same settings
AUGMENTED = {
    "Cutout": AugmentConfig(cutout=8),
    "Mixup": AugmentConfig(mix="mixup"),
    "CutMix": AugmentConfig(mix="cutmix"),
}
SEEDS = 5
MORE_SEEDS = 10  # of the methods on which most hangs
HEADLINE = (BASELINE, "label smoothing", "DLB", "TOAST", "TOAST random carry")
AUGMENTED_ARMS = (BASELINE, "label smoothing", "TOAST")
# The networks, and what differs for them: the residual one is slow on a CPU, so it gets a sixth of
# the images in batches of half the size, and two thirds of the epochs.
NETWORKS: dict[str, TrainConfig] = {
    "mlp": TrainConfig(model="mlp", record="none"),
    "resnet-small": TrainConfig(
        model="resnet-small",
        record="none",
        data=DataConfig(per_class=100),
        batch_size=64,
        epochs=20,
        evaluate_every=4,
    ),
}
PARTS = ("defaults", "pairwise", "augmented", "tuned")
KEPT = ("part", "model", "budget", "setting", "method", "seed", "run")
CURVES = ("test_top1", "test_nll", "test_ece", "under_trained", "carried_share")
TABLES = ("rows", "trials", "curves")
# To be said wherever stored rows are shown, until they are made again.
MADE_BEFORE = (
    "The stored rows were made before some methods were put right, and are made again with the "
    "next reading of the method: Tf-KD self ran with multiplier 1 over the data's own 10 classes, "
    "and was tuned in its weight and temperature (now 50 over 100 classes, tuned in multiplier and "
    "temperature); BAKE's companions could be the anchor itself, or one of them twice; TOAST's "
    "carry was ordered by 1 - p, which in float32 is 1 for every logit gap above 17; an AURC "
    "depended on the order of samples of equal confidence."
)


@dataclass(frozen=True)
class Entry:
    """A row to be had: the part of the table and the budget that it stands under, and its run."""

    part: str
    budget: str
    job: Job


def data_of(model: str, setting: str) -> DataConfig:
    """The data of a network's runs under one rate of noise."""
    return replace(NETWORKS[model].data, noise_rate=NOISE[setting])


def entries(
    model: str, seeds: int = SEEDS, more: int = MORE_SEEDS, budgets: Sequence[Budget] = BUDGETS
) -> list[Entry]:
    """Every row but the tuned ones; a run that serves both budgets stands under both."""
    base, found = NETWORKS[model], []
    noise = {name: data_of(model, name) for name in NOISE}
    for budget in budgets:
        at = replace(base, budget=budget)
        jobs = plan(list(ARMS), seeds, at, noise)
        if more > seeds:
            jobs += plan(list(HEADLINE), more - seeds, replace(at, seed=seeds), noise)
        found += [Entry("defaults", budget, job) for job in jobs]
    pairwise = {PAIRWISE: replace(base.data, noise="pairwise", noise_rate=0.2)}
    found += [Entry("pairwise", "images", job) for job in plan(list(ARMS), seeds, base, pairwise)]
    for name, augment in AUGMENTED.items():
        settings = {f"{setting}, {name}": noise[setting] for setting in TUNED}
        jobs = plan(list(AUGMENTED_ARMS), seeds, replace(base, augment=augment), settings)
        found += [Entry("augmented", "images", job) for job in jobs]
    return found


def trial_jobs(model: str) -> list[tuple[Job, int]]:
    """Every trial of every method, with its number; one seed, which the tuned runs do not use."""
    found = []
    for setting in TUNED:
        base = replace(NETWORKS[model], data=data_of(model, setting), seed=1000)
        for arm in SPACES:
            for number, config in enumerate(trials(arm, base)):
                found.append((Job(setting, arm, config), number))
    return found


def tuned_entries(model: str, table: pd.DataFrame, seeds: int = SEEDS) -> list[Entry]:
    """The rows of the settings that a table of trials chose."""
    found = []
    for row in chosen(table[table.model == model]).itertuples():
        base = replace(NETWORKS[model], data=data_of(model, str(row.setting)))
        for seed in range(seeds):
            config = trials(str(row.method), replace(base, seed=seed))[int(str(row.trial))]
            found.append(Entry("tuned", "images", Job(str(row.setting), str(row.method), config)))
    return found


def run_peers(
    model: str,
    store: Path | str,
    *,
    parts: Sequence[str] = PARTS,
    seeds: int = SEEDS,
    more: int = MORE_SEEDS,
    budgets: Sequence[Budget] = BUDGETS,
    workers: int = 0,
) -> Iterator[tuple[str, int, int, dict[str, pd.DataFrame]]]:
    """Trains what is missing; yields the part, how many of how many runs are there, and at the end
    of each part its tables by the names of `TABLES`."""
    wanted = entries(model, seeds, more, budgets)
    for name in parts:
        if name == "tuned":
            searched = trial_jobs(model)
            done: dict[Job, Run] = {}
            yield from _train("trials", [job for job, _ in searched], store, workers, done)
            trial_rows = _trial_rows(model, searched, done)
            yield name, len(done), len(done), {"trials": trial_rows}
            rows = tuned_entries(model, trial_rows, seeds)
        else:
            rows = [entry for entry in wanted if entry.part == name]
        runs: dict[Job, Run] = {}
        yield from _train(name, [entry.job for entry in rows], store, workers, runs)
        rows = [entry for entry in rows if entry.job in runs]
        tables = {"rows": rows_of(model, rows, runs)}
        if name == "defaults" and "images" in budgets:
            tables["curves"] = _curves(model, rows, runs)
        yield name, len(runs), len(runs), tables


def _train(
    part: str, jobs: Sequence[Job], store: Path | str, workers: int, done: dict[Job, Run]
) -> Iterator[tuple[str, int, int, dict[str, pd.DataFrame]]]:
    """Trains each run once and puts it into `done`."""
    single = list(dict.fromkeys(jobs))
    for job, run in run_all(
        single, store, device="cpu", workers=workers, on_diverged=warn_diverged
    ):
        done[job] = run
        yield part, len(done), len(single), {}


def rows_of(model: str, wanted: Sequence[Entry], runs: dict[Job, Run]) -> pd.DataFrame:
    """One row per entry: `compare.tidy`, and what it took to be as good as cross-entropy."""
    single = list(runs)
    at = {job: i for i, job in enumerate(single)}
    table = tidy([(job, runs[job]) for job in single])
    table = table.iloc[[at[entry.job] for entry in wanted]].reset_index(drop=True)
    table.insert(0, "part", [entry.part for entry in wanted])
    table.insert(1, "model", model)
    table.insert(2, "budget", [entry.budget for entry in wanted])
    goals = {
        (entry.part, entry.job.setting, entry.job.config.seed): runs[entry.job].last["val_top1"]
        for entry in wanted
        if entry.job.arm == BASELINE
    }
    reached = []
    for entry in wanted:
        metrics = runs[entry.job].metrics
        goal = goals[entry.part, entry.job.setting, entry.job.config.seed]
        there = (metrics.val_top1 >= goal).to_numpy()
        upto = int(there.argmax()) + 1 if there.any() else 0
        parts = {name: float(metrics[name][:upto].sum()) for name in ("train_seconds", "passes")}
        reached.append(parts if upto else dict.fromkeys(parts, float("nan")))
    for name in ("train_seconds", "passes"):
        table[f"{name}_to_baseline"] = [each[name] for each in reached]
    return table.round(6)


def _trial_rows(
    model: str, searched: Sequence[tuple[Job, int]], done: dict[Job, Run]
) -> pd.DataFrame:
    """One row per trial: where in its space it lies, and what it reached on validation."""
    rows = []
    for job, number in searched:
        if job not in done:
            continue  # it diverged: not a choice
        run = done[job]
        row = {"model": model, "setting": job.setting, "method": job.arm, "trial": number}
        row |= {"run": run.key, "val_top1": run.last["val_top1"], "val_nll": run.last["val_nll"]}
        rows.append(row | settings_of(job.config, job.arm))
    return pd.DataFrame(rows).round(6)


def _curves(model: str, wanted: Sequence[Entry], runs: dict[Job, Run]) -> pd.DataFrame:
    """Means over the seeds of a few measures per epoch, at equal images."""
    frames = []
    for entry in wanted:
        if entry.budget == "images":
            metrics = runs[entry.job].metrics
            kept = metrics[["epoch", *(c for c in CURVES if c in metrics)]]
            frames.append(kept.assign(setting=entry.job.setting, method=entry.job.arm))
    by = ["setting", "method", "epoch"]
    curves = pd.concat(frames).groupby(by, sort=False).mean().reset_index()
    curves.insert(0, "model", model)
    return curves.astype({"epoch": int}).round(5)


def table_path(which: str = "rows") -> Path:
    """Where a stored table lies; one of `TABLES`."""
    return embedded("peers") / f"{which}.csv"


def load_peers(which: str = "rows") -> pd.DataFrame:
    """A stored table; of "rows", one row per part, model, budget, setting, method and seed.

    Raises:
        DataError: it is missing or cannot be read.
    """
    columns = KEPT if which == "rows" else ("model", "setting", "method")
    return read_table(table_path(which), "the stored comparison", columns, "toastlab peers")


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
