"""How good is each score at finding wrong labels?

Labels are flipped on purpose, so that the wrong ones are known: at random, to the next class, or
where a small network is unsure, as people err. A network is trained on them with several methods.
Then each score of `toastlab.analyse` is asked for them: of the training itself (in-sample), and of
networks that did not see the sample (out-of-sample, k folds). Two tables:

    rows    a score x noise x method x in- or out-of-sample x seed: AUROC, average precision, miss
            rate at the true budget; and AUROC against the rare samples alone
    plane   wrong, rare and other samples: means of what could tell them apart

Rare are, of the right labels, the tenth that networks trained on clean labels are least sure of,
without having seen them. `toastlab study run scores` trains what is missing.
"""

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from toastlab.analysis.analyse import analyse
from toastlab.analysis.detection import DETECTION, detection
from toastlab.analysis.scores import SCORES
from toastlab.analysis.statistics import BASELINE
from toastlab.core.errors import DataError, TrainingDiverged
from toastlab.data.dataset import DataConfig, Dataset
from toastlab.data.dataset import load as load_data
from toastlab.data.splits import Split
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.store.names import run_key
from toastlab.store.runs import Run, RunStore
from toastlab.studies.arms import ARM_OF, ARMS, Job
from toastlab.studies.catalogue import NoiseName, ScoresOptions
from toastlab.studies.pool import run_tasks
from toastlab.studies.rows import hold_to_names
from toastlab.studies.runner import processes, warn_diverged
from toastlab.studies.second_split import parts, second_split
from toastlab.studies.study import Progress, Work
from toastlab.training.config import TrainConfig
from toastlab.training.device import choose
from toastlab.training.recorder import Record

AGAIN = "toastlab study run scores"
IN, OUT = "in-sample", "out-of-sample"
SECOND = "second_split"  # small where a label is wrong
RARE_SHARE = 0.1  # of the right labels
# What one epoch of a network that did not see the sample can say
OF_ONE_EPOCH = ("confidence", "el2n", "margin", "entropy", "p1p")
BASE = TrainConfig(epochs=30, batch_size=128, budget="samples", record="none", evaluate_every=30)
AT = ("noise", "rate", "method", "sample", "score", "seed", "run")
ROWS = (*AT, *DETECTION, "auroc_rare")
Outside = tuple[np.ndarray, str]  # logits [N, K] of the folds, and the key of the first one's run
PLANE = ("noise", "rate", "seed", "group", "samples", "confidence", "forgetting", SECOND)


@dataclass(frozen=True)
class Setting:
    """A way to get wrong labels, with a seed of flips and of training."""

    noise: NoiseName
    rate: float
    seed: int

    def config(self, method: str, folds: bool = False) -> TrainConfig:
        """A method's run with these labels; with `folds` of a part of the data."""
        data = replace(BASE.data, noise=self.noise, noise_rate=self.rate, noise_seed=self.seed)
        record: Record = "none" if folds else "logits"
        return replace(BASE, data=data, method=ARMS[method], seed=self.seed, record=record)


def settings(options: ScoresOptions) -> list[Setting]:
    """All of them, the seeds outermost so that an early stop leaves whole sets."""
    return [
        Setting(noise, rate, seed)
        for seed in range(options.seeds)
        for noise, rate in product(options.noises, options.rates)
    ]


def fold_of(data: Dataset, fold: int, folds: int, seed: int) -> Dataset:
    """The data set with one of `folds` parts of the training split in place of the test split, and
    the other parts to train on."""
    split = data.train
    if not isinstance(split, Split):
        raise DataError("folds need images in memory; load them with stream=False.")
    held = parts(split.labels.cpu().numpy(), folds, seed) == fold
    name = f"{data.fingerprint} fold {fold} of {folds}, seed {seed}"
    return replace(
        data,
        train=_rows(split, ~held),
        test=_rows(split, held),
        fingerprint=hashlib.sha256(name.encode()).hexdigest(),
    )


def _rows(split: Split, chosen: np.ndarray) -> Split:
    index = torch.from_numpy(np.flatnonzero(chosen))
    here = index.to(split.labels.device)
    return Split(
        split.images[here], split.labels[here], split.clean_labels[here], ids=split.ids[chosen]
    )


# --- what is trained ------------------------------------------------------------------------------


def steps(options: ScoresOptions, work: Work) -> Iterator[Progress]:
    """Trains what is missing, and writes both tables."""
    arms = tuple(dict.fromkeys(ARM_OF[name] for name in options.methods))
    wanted = settings(options)
    jobs = {(at, arm): Job(_name(at), arm, at.config(arm)) for at in wanted for arm in arms}
    runs = yield from work.train(list(jobs.values()), IN)
    clean = [Setting("symmetric", 0.0, seed) for seed in range(options.seeds)]
    folded = [(at, arm) for at in wanted for arm in arms] + [(at, BASELINE) for at in clean]
    outside = yield from _folds(folded, options.folds, work)
    halves = yield from _halves(wanted, work)
    rows: list[dict[str, Any]] = []
    plane: list[dict[str, Any]] = []
    for at in wanted:
        data = _data(at.config(BASELINE).data)
        wrong = (data.train.labels != data.train.clean_labels).numpy()
        seen = outside.get((Setting("symmetric", 0.0, at.seed), BASELINE))
        rare = _rare(seen, data.train.clean_labels.numpy(), wrong)
        for arm in arms:
            if run := runs.get(jobs[at, arm]):
                table = analyse(run).table
                where = {**_at(at), "method": arm, "sample": IN, "run": run.key}
                rows += _judged(_columns(table, SCORES), wrong, rare, where)
            if (at, arm) in outside:
                logits, key = outside[at, arm]
                table = analyse(logits, data.train.labels, probabilities=False).table
                where = {**_at(at), "method": arm, "sample": OUT, "run": key}
                rows += _judged(_columns(table, OF_ONE_EPOCH), wrong, rare, where)
        where = {**_at(at), "method": BASELINE, "sample": IN, "run": ""}
        rows += _judged({SECOND: -halves[at]}, wrong, rare, where)
        plain = jobs.get((at, BASELINE))
        if plain is not None and plain in runs:
            plane += _groups(at, analyse(runs[plain]).table, halves[at], wrong, rare)
    work.write("rows", pd.DataFrame(rows, columns=list(ROWS)).round(5))
    work.write("plane", pd.DataFrame(plane, columns=list(PLANE)).round(5))


def _name(at: Setting) -> str:
    return f"{100 * at.rate:g} % {at.noise} noise" if at.rate else "clean labels"


def _at(at: Setting) -> dict[str, Any]:
    return {"noise": at.noise, "rate": at.rate, "seed": at.seed}


def _folds(
    wanted: Sequence[tuple[Setting, str]], folds: int, work: Work
) -> Generator[Progress, None, dict[tuple[Setting, str], Outside]]:
    """Trains every fold of every setting and method; yields how far it is and returns, by both,
    logits [N, K] of networks that did not see the sample, and the key of the first fold's run. What
    diverged in a fold is missing."""
    tasks = [
        (at, arm, fold, folds, str(work.store), work.device)
        for at, arm in wanted
        for fold in range(folds)
    ]
    found: dict[tuple[Setting, str], dict[int, str]] = {}
    count = processes(work.workers, choose(work.device).type, BASE.threads)
    answers = run_tasks(_fold, tasks, min(count, len(tasks) or 1))
    for done, (at, arm, fold, key, why) in enumerate(answers, 1):
        if why:
            warn_diverged(Job(_name(at), arm, at.config(arm)), why)
        found.setdefault((at, arm), {})[fold] = key
        yield Progress(done, len(tasks), f"{OUT}: {done} of {len(tasks)} runs")
    outside: dict[tuple[Setting, str], Outside] = {}
    for (at, arm), keys in found.items():
        if all(keys.values()):
            data, store = _data(at.config(arm).data), RunStore(work.store)
            runs = {fold: store.open(key) for fold, key in keys.items()}
            outside[at, arm] = (_joined(data, runs, folds, at.seed), keys[0])
    return outside


def _fold(
    at: Setting, arm: str, fold: int, folds: int, store: str, device: str
) -> tuple[Setting, str, int, str, str]:
    """In a worker: train or find one fold; says under which key, or why it diverged."""
    config = at.config(arm, folds=True)
    data = fold_of(_data(config.data), fold, folds, at.seed)
    try:
        run = RunStore(store).get(config, dataset=data, device=device)
    except TrainingDiverged as error:
        return at, arm, fold, "", str(error)
    return at, arm, fold, run.key, ""


def _joined(data: Dataset, runs: Mapping[int, Run], folds: int, seed: int) -> np.ndarray:
    """Logits [N, K] of all samples, each of the network that did not see it."""
    part = parts(data.train.labels.numpy(), folds, seed)
    logits = np.empty((len(part), data.num_classes), dtype=np.float32)
    for fold, run in runs.items():
        logits[part == fold] = run.group("predictions")["test_logits"]
    return logits


def _halves(
    wanted: Sequence[Setting], work: Work
) -> Generator[Progress, None, dict[Setting, np.ndarray]]:
    """Second-split forgetting [N] of every setting."""
    tasks = [(at, work.device) for at in wanted]
    count = processes(work.workers, choose(work.device).type, BASE.threads)
    found: dict[Setting, np.ndarray] = {}
    for at, forgotten in run_tasks(_half, tasks, min(count, len(tasks) or 1)):
        found[at] = forgotten
        yield Progress(len(found), len(tasks), f"two halves: {len(found)} of {len(tasks)}")
    return found


def _half(at: Setting, device: str) -> tuple[Setting, np.ndarray]:
    config = at.config(BASELINE)
    return at, second_split(_data(config.data), config, device)


@lru_cache(maxsize=64)
def _data(config: DataConfig) -> Dataset:
    return load_data(config)


# --- what is judged -------------------------------------------------------------------------------


def _rare(seen: Outside | None, clean: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """[N] bool: of the right labels the tenth that networks trained on clean labels, which did not
    see the sample, are least sure of."""
    rare = np.zeros(len(clean), dtype=bool)
    if seen is None:
        return rare
    sure = analyse(seen[0], clean, probabilities=False).table["confidence"].to_numpy()
    right = np.flatnonzero(~wrong)
    order = right[np.argsort(sure[right], kind="stable")]
    rare[order[: round(RARE_SHARE * len(right))]] = True
    return rare


def _columns(table: pd.DataFrame, names: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """The scores that are there and not all alike, each large where a label is doubtful."""
    found = {}
    for name in names:
        values = table[name].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        known = values[~np.isnan(values)]
        if len(known) and np.ptp(known) > 0:
            found[name] = SCORES[name].sign * values
    return found


def _judged(
    columns: Mapping[str, np.ndarray], wrong: np.ndarray, rare: np.ndarray, at: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row for each score."""
    both = wrong | rare
    return [
        {
            **at,
            "score": name,
            **detection(score, wrong),
            "auroc_rare": detection(score[both], wrong[both])["auroc"],
        }
        for name, score in columns.items()
    ]


def _groups(
    at: Setting, table: pd.DataFrame, forgotten: np.ndarray, wrong: np.ndarray, rare: np.ndarray
) -> list[dict[str, Any]]:
    """A row for the wrong, the rare and the other samples: means of what could tell them apart."""
    members = {"wrong": wrong, "rare": rare, "other": ~(wrong | rare)}
    values = {name: table[name].to_numpy() for name in ("confidence", "forgetting")}
    values[SECOND] = forgotten
    return [
        {
            **_at(at),
            "group": group,
            "samples": int(mask.sum()),
            **{name: float(v[mask].mean()) for name, v in values.items()},
        }
        for group, mask in members.items()
        if mask.any()
    ]


# --- what is stored -------------------------------------------------------------------------------


def table_file(which: str) -> Path:
    """Where a stored table lies, whether it is there or not."""
    return embedded("scores") / f"{which}.csv"


def load(which: str = "rows") -> pd.DataFrame:
    """A stored table, after making sure that its runs are those of this code and these data.

    Raises:
        DataError: it is missing, lacks a column, or holds a run that would have another name now.
    """
    names, path = (ROWS if which == "rows" else PLANE), table_file(which)
    table = read_table(path, "the stored study of scores", names, AGAIN)
    if which != "rows":
        return table

    def name_of(row: dict[str, Any]) -> str:
        at = Setting(row["noise"], float(row["rate"]), int(row["seed"]))
        outside = row["sample"] == OUT
        config = at.config(str(row["method"]), folds=outside)
        data = _data(config.data)
        if outside:
            data = fold_of(data, 0, ScoresOptions().folds, at.seed)
        return run_key(config, data.fingerprint)

    told = ["noise", "rate", "method", "sample", "seed", "run"]
    hold_to_names(table[told].drop_duplicates("run").dropna(), path, AGAIN, name_of)
    return table


def results(options: ScoresOptions, out: Path) -> "list[str | tuple[str, pd.DataFrame]]":
    """The scores by AUROC, of what was just written."""
    rows = pd.read_csv(out / "rows.csv")
    by = ["noise", "rate", "method", "sample", "score"]
    means = rows.groupby(by, sort=False)[list(DETECTION)].mean().reset_index()
    shown = means.sort_values("auroc", ascending=False, kind="stable").head(20).round(3)
    return [("Scores by AUROC, the best 20", shown.astype(str)), f"Tables: {out}"]
