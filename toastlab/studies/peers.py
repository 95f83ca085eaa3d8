"""The stored comparison: every method on `fashion-mini`, clean and noisy, under both budgets.

The headline is at equal new samples: at equal images a method of two passes trains half as long,
which under label noise is early stopping in disguise.

`toastlab study run peers` trains what is missing and condenses the runs to three tables, small
enough to keep beside the code; the notebook and the page of claims read those tables only:

    data/peers/rows.csv    one row per run, last epoch
    data/peers/trials.csv  the trials that chose the tuned settings, on validation
    data/peers/curves.csv  a few measures per epoch, means over the seeds
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from toastlab.analysis.statistics import BASELINE
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.store.runs import Run
from toastlab.studies.arms import ARMS, Job, plan
from toastlab.studies.catalogue import PeersOptions
from toastlab.studies.rows import NAMES, Entry, rows_of, write_rows
from toastlab.studies.study import Progress, Work
from toastlab.studies.tuning import SPACES, chosen, settings_of, trials
from toastlab.training.config import TrainConfig

NOISE = {"clean labels": 0.0, "20 % noise": 0.2, "40 % noise": 0.4}
PAIRWISE = "20 % pairwise noise"  # every flipped label goes to the next class
MAIN = "20 % noise"  # the headline
# Augmentations that the source says TOAST combines with, under those same settings
AUGMENTED = {
    "Cutout": AugmentConfig(cutout=8),
    "Mixup": AugmentConfig(mix="mixup"),
    "CutMix": AugmentConfig(mix="cutmix"),
}
MIXED = ("clean labels", MAIN)  # where they are tried
DEFAULTS = PeersOptions()
# The methods on which most hangs, which get more seeds everywhere
HEADLINE = (BASELINE, "label smoothing", *(name for name in ARMS if name.startswith("TOAST")))
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
CURVES = ("test_top1", "test_nll", "test_ece", "under_trained", "carried_share")


def data_of(model: str, setting: str) -> DataConfig:
    """The data of a network's runs under one rate of noise."""
    return replace(NETWORKS[model].data, noise_rate=NOISE[setting])


def entries(model: str, options: PeersOptions = DEFAULTS) -> list[Entry]:
    """Every row but the tuned ones; a run that serves both budgets stands under both."""
    base, seeds, more = NETWORKS[model], options.seeds, options.more_seeds - options.seeds
    noise = {name: data_of(model, name) for name in NOISE}
    rows = []
    for budget in options.budgets:
        at = replace(base, budget=budget)
        jobs = plan(list(ARMS), seeds, at, noise)
        if more > 0:
            later = replace(at, seed=seeds)
            jobs += plan(list(HEADLINE), more, later, noise)
            if budget == "samples":
                others = [name for name in ARMS if name not in HEADLINE]
                jobs += plan(others, more, later, {MAIN: noise[MAIN]})
        rows += [Entry("defaults", budget, job) for job in jobs]
    same = replace(base, budget="samples")
    pairwise = {PAIRWISE: replace(base.data, noise="pairwise", noise_rate=0.2)}
    rows += [Entry("pairwise", "samples", job) for job in plan(list(ARMS), seeds, same, pairwise)]
    for name, augment in AUGMENTED.items():
        settings = {f"{setting}, {name}": noise[setting] for setting in MIXED}
        jobs = plan(list(AUGMENTED_ARMS), seeds, replace(same, augment=augment), settings)
        rows += [Entry("augmented", "samples", job) for job in jobs]
    return rows


def trial_jobs(model: str) -> list[tuple[Job, int]]:
    """Every trial of every method, with its number; one seed, which the tuned runs do not use."""
    jobs = []
    for setting in NOISE:
        base = _tuned_base(model, setting, seed=1000)
        base = replace(base, evaluate_every=base.epochs)  # the last epoch is all that counts
        for arm in SPACES:
            for number, config in enumerate(trials(arm, base)):
                jobs.append((Job(setting, arm, config), number))
    return jobs


def _tuned_base(model: str, setting: str, seed: int) -> TrainConfig:
    data = data_of(model, setting)
    return replace(NETWORKS[model], data=data, seed=seed, budget="samples")


def tuned_entries(model: str, table: pd.DataFrame, options: PeersOptions = DEFAULTS) -> list[Entry]:
    """The rows of the settings that a table of trials chose."""
    rows = []
    for row in chosen(table[table.model == model]).itertuples():
        setting, arm = str(row.setting), str(row.method)
        for seed in range(options.more_seeds if setting == MAIN else options.seeds):
            config = trials(arm, _tuned_base(model, setting, seed))[int(str(row.trial))]
            rows.append(Entry("tuned", "samples", Job(setting, arm, config)))
    return rows


def steps(options: PeersOptions, work: Work) -> Iterator[Progress]:
    """Part by part: its runs, and its rows in place of those of the same network and part."""
    for model in options.models:
        for part in options.parts:
            if part == "tuned":
                searched = trial_jobs(model)
                runs = yield from work.train([job for job, _ in searched], f"{model}, trials")
                trial_rows = _trial_rows(model, searched, runs)
                write_rows(work.path("trials"), trial_rows)
                wanted = tuned_entries(model, trial_rows, options)
            else:
                wanted = [entry for entry in entries(model, options) if entry.part == part]
            runs = yield from work.train([entry.job for entry in wanted], f"{model}, {part}")
            wanted = [entry for entry in wanted if entry.job in runs]
            write_rows(work.path("rows"), rows_of(model, wanted, runs))
            if part == "defaults" and "samples" in options.budgets:
                write_rows(work.path("curves"), _curves(model, wanted, runs))


def _trial_rows(
    model: str, searched: Sequence[tuple[Job, int]], runs: Mapping[Job, Run]
) -> pd.DataFrame:
    """One row per trial: where in its space it lies, and what it reached on validation."""
    rows = []
    for job, number in searched:
        if job not in runs:
            continue  # it diverged: not a choice
        run = runs[job]
        row = {"model": model, "setting": job.setting, "method": job.arm, "trial": number}
        row |= {"run": run.key, "val_top1": run.last["val_top1"], "val_nll": run.last["val_nll"]}
        rows.append(row | settings_of(job.config, job.arm))
    return pd.DataFrame(rows).round(6)


def _curves(model: str, wanted: Sequence[Entry], runs: Mapping[Job, Run]) -> pd.DataFrame:
    """Means over the seeds of a few measures per epoch, at equal samples."""
    frames = []
    for entry in wanted:
        if entry.budget == "samples":
            metrics = runs[entry.job].metrics
            columns = ["epoch", *(c for c in CURVES if c in metrics)]
            frames.append(metrics[columns].assign(setting=entry.job.setting, method=entry.job.arm))
    by = ["setting", "method", "epoch"]
    curves = pd.concat(frames).groupby(by, sort=False).mean().reset_index()
    curves.insert(0, "model", model)
    return curves.astype({"epoch": int}).round(5)


def load(which: str = "rows") -> pd.DataFrame:
    """A stored table; of "rows", one row per part, model, budget, setting, method and seed.

    Raises:
        DataError: it is missing or cannot be read.
    """
    columns = NAMES if which == "rows" else ("model", "setting", "method")
    path = embedded("peers") / f"{which}.csv"
    return read_table(path, "the stored comparison", columns, "toastlab study run peers")
