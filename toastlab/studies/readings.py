"""Which reading of the abstract does what the abstract says?

The abstract leaves open what the [R] options of `ToastConfig` name. `toastlab study run readings`
races many combinations of them and then holds the best against every claim that it makes:

    race    on the validation split of the cells `RACE`: all readings with one seed, the better half
            with another, and so on (successive halving: Jamieson and Talwalkar, AISTATS 2016)
    final   the best of them, and two for reference, with ten seeds on the cells `HELD_OUT`, which
            the race did not see, on the test split; each with its controls, and beside the peers

Every epoch counts N new samples, whatever a method passes twice. What is in the stored tables is
not trained again, so that the study can be made in several sittings.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from toastlab.analysis.measures import measure_of
from toastlab.analysis.statistics import BASELINE
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.methods import MethodConfig, ToastConfig
from toastlab.studies.arms import ARMS, PEERS, Job
from toastlab.studies.catalogue import ReadingsOptions
from toastlab.studies.reading_pool import REFERENCES, canonical, label_of, pool, reading_of
from toastlab.studies.regime import AUGMENT
from toastlab.studies.rows import hold_to_names, key_of
from toastlab.studies.study import Progress, Work
from toastlab.training.config import TrainConfig

AGAIN = "toastlab study run readings"
Noise = Literal["symmetric", "pairwise"]


@dataclass(frozen=True)
class ReadingCell:
    """One way to train: network, training images, wrong labels, epochs, augmented or not."""

    model: str
    images: int
    noise_rate: float
    epochs: int
    augmented: bool = False
    noise: Noise = "symmetric"

    @property
    def name(self) -> str:
        """In words."""
        kind = " pairwise" if self.noise == "pairwise" else ""
        noise = f"{100 * self.noise_rate:g} %{kind} noise" if self.noise_rate else "clean labels"
        more = ", augmented" if self.augmented else ""
        return f"{self.model}, {self.images} images, {noise}, {self.epochs} epochs{more}"

    def config(self, method: MethodConfig, seed: int) -> TrainConfig:
        """The run of a method in this cell, at equal new samples."""
        return TrainConfig(
            data=DataConfig(
                noise=self.noise, noise_rate=self.noise_rate, per_class=self.images // 10
            ),
            method=method,
            augment=AUGMENT if self.augmented else AugmentConfig(),
            model=self.model,
            epochs=self.epochs,
            batch_size=128 if self.images > 1000 else 64,
            budget="samples",
            seed=seed,
            record="none",
            evaluate_every=self.epochs,
        )


# Under- and over-fitted, clean, symmetric and pairwise noise, both networks
RACE = (
    ReadingCell("mlp", 1000, 0.0, 5, augmented=True),
    ReadingCell("mlp", 1000, 0.0, 20),
    ReadingCell("mlp", 1000, 0.0, 60),
    ReadingCell("mlp", 1000, 0.2, 20, augmented=True),
    ReadingCell("mlp", 500, 0.2, 60),
    ReadingCell("mlp", 2000, 0.2, 30),
    ReadingCell("mlp", 1000, 0.4, 30),
    ReadingCell("mlp", 2000, 0.2, 30, noise="pairwise"),
    ReadingCell("resnet-small", 500, 0.0, 15),
    ReadingCell("resnet-small", 500, 0.2, 15),
)
HEADLINE = ReadingCell("mlp", 6000, 0.2, 30)
HELD_OUT = (
    ReadingCell("mlp", 500, 0.0, 10, augmented=True),
    ReadingCell("mlp", 3000, 0.0, 30),
    HEADLINE,
    ReadingCell("mlp", 3000, 0.4, 30),
    ReadingCell("mlp", 1000, 0.3, 40, noise="pairwise"),
    ReadingCell("resnet-small", 600, 0.2, 20),
)

FIRST_SEED = 2  # of the final: seeds 0 and 1 were looked at while readings were still added
# Of a reading: what it is compared with for the claims about its parts
ROLES: dict[str, dict[str, Any]] = {
    "whole": {},
    "stage 1 alone": {"past_weight": 0.0},
    "stage 2 alone": {"medoid_weight": 0.0},
    "random carry": {"random_carry": True},
    "class mean": {"prototype": "mean"},
    "uniform": {"prototype": "uniform"},
}
# Gains count up to these; a loss counts three times. Top-1 counts twice.
SCALES = {"val_top1": 0.05, "val_nll": 0.1, "val_ece": 0.03}
WEIGHTS = {"val_top1": 2.0, "val_nll": 1.0, "val_ece": 1.0}
MEASURES = ("test_top1", "test_nll", "test_ece", "val_top1", "carried_share")
RACE_NAMES = ("reading", "round", "cell", "seed", "run", *SCALES)
FINAL_NAMES = ("reading", "role", "cell", "seed", "run", *MEASURES)


def score(rows: pd.DataFrame) -> pd.Series:
    """How good each reading of a race is, best first.

    The mean over cells and measures of its gain against cross-entropy in units of `SCALES`, at
    most 1: no triumph in one cell makes up for harm in another, where a loss counts three times.
    A reading that diverged somewhere has minus infinity.

    Args:
        rows: reading, cell, seed and the columns of `SCALES`, cross-entropy among the readings.
    """
    means = rows.groupby(["reading", "cell"], sort=False)[list(SCALES)].mean()
    base = means.loc[BASELINE]
    parts = []
    for name, scale in SCALES.items():
        table = means[name].unstack("cell")
        sign = 1 if measure_of(name).larger_is_better else -1
        gain = (sign * (table - base[name]) / scale).clip(-1, 1)
        parts.append(WEIGHTS[name] * gain.where(gain > 0, 3 * gain))
    scores = (reduce(add, parts) / sum(WEIGHTS.values())).mean(axis=1, skipna=False)
    return scores.drop(BASELINE).fillna(-np.inf).sort_values(ascending=False, kind="stable")


def steps(options: ReadingsOptions, work: Work) -> Iterator[Progress]:
    """The race, then the final; a table after each round and each seed."""
    standing = [label_of(reading) for reading in pool(options.readings)]
    stored, rounds = _stored(work.path("race"), RACE_NAMES), []
    for number, seed in enumerate(range(options.rounds)):
        methods = {BASELINE: ARMS[BASELINE], **{label: reading_of(label) for label in standing}}
        jobs = {
            Job(cell.name, label, cell.config(method, seed)): {"reading": label, "round": number}
            for cell in RACE
            for label, method in methods.items()
        }
        rows = yield from _measured(jobs, stored, tuple(SCALES), work, f"race, round {number + 1}")
        rounds.append(rows)
        work.write("race", pd.concat(rounds))
        seen = pd.concat(rounds)
        ranked = score(seen[seen.reading.isin(methods)])
        standing = list(ranked.index[: max(options.finalists, len(standing) // 2)])
    yield from _final(_finalists(standing[: options.finalists]), options, work)


def _finalists(best: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*map(label_of, REFERENCES), *best]))


def _final(finalists: Sequence[str], options: ReadingsOptions, work: Work) -> Iterator[Progress]:
    path = work.path("final")
    stored = _stored(path, FINAL_NAMES)
    methods: dict[tuple[str, str], MethodConfig] = {(BASELINE, "whole"): ARMS[BASELINE]}
    for label in finalists:
        for role, change in ROLES.items():
            methods[label, role] = canonical(replace(reading_of(label), **change))
    methods |= {(name, "peer"): ARMS[name] for name in PEERS}
    done: list[pd.DataFrame] = []
    for number in range(options.seeds):
        seed = FIRST_SEED + number
        jobs = {
            Job(cell.name, f"{label}: {role}", cell.config(method, seed)): {
                "reading": label,
                "role": role,
            }
            for cell in HELD_OUT
            for (label, role), method in methods.items()
        }
        text = f"final, seed {number + 1} of {options.seeds}"
        done.append((yield from _measured(jobs, stored, MEASURES, work, text)))
        work.write("final", pd.concat(done))


def _measured(
    jobs: dict[Job, dict[str, Any]],
    stored: dict[str, dict[str, float]],
    measures: Sequence[str],
    work: Work,
    text: str,
) -> Generator[Progress, None, pd.DataFrame]:
    """One row per job that did not diverge; trains what is not `stored` by its run's key."""
    keys = {job: key_of(job.config) for job in jobs}
    single = {keys[job]: job for job in jobs}  # a run may serve several rows
    missing = [job for key, job in single.items() if key not in stored]
    runs = yield from work.train(missing, text)
    stored |= {
        run.key: {name: run.last[name] for name in measures if name in run.last}
        for run in runs.values()
    }
    rows = [
        {**at, "cell": job.setting, "seed": job.config.seed, "run": keys[job], **stored[keys[job]]}
        for job, at in jobs.items()
        if keys[job] in stored
    ]
    return pd.DataFrame(rows).round(5)


def _stored(path: Path, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Key of a run -> its measures, of a table that is there already; else none."""
    if not path.exists():
        return {}
    table = read_table(path, f"the table {path}", names, AGAIN)
    measures = [name for name in names if name in (*SCALES, *MEASURES)]
    rows = table.drop_duplicates("run").set_index("run")[measures]
    return {str(key): {str(k): float(v) for k, v in row.items()} for key, row in rows.iterrows()}


def load(which: str = "final") -> pd.DataFrame:
    """A stored table, after making sure that its runs are those of this code and these data.

    Raises:
        DataError: it is missing, lacks a column, or holds a run that would have another name now.
    """
    names, cells = (FINAL_NAMES, HELD_OUT) if which == "final" else (RACE_NAMES, RACE)
    path = embedded("readings") / f"{which}.csv"
    table = read_table(path, "the stored study of readings", names, AGAIN)
    at = {cell.name: cell for cell in cells}

    def name_of(row: dict[str, Any]) -> str:
        method = ARMS.get(str(row["reading"])) or reading_of(str(row["reading"]))
        if isinstance(method, ToastConfig) and which == "final":
            method = canonical(replace(method, **ROLES[str(row["role"])]))
        return key_of(at[str(row["cell"])].config(method, int(row["seed"])))

    told = ["reading", *(["role"] if which == "final" else []), "cell", "seed", "run"]
    hold_to_names(table[told], path, AGAIN, name_of)
    return table
