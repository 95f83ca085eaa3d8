"""Sweeps: points of a search space x seeds, run wherever there is room, as one table.

Nothing is noted about a sweep but its runs: the same sweep asks for the same runs, finds those that
are there, and trains the rest. Settings are ranked by the validation split; choosing by the test
split would make its numbers too good.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from toastlab.analysis.statistics import interval
from toastlab.core.errors import BadValue, one_of
from toastlab.core.settings import Count, Seed, Settings
from toastlab.data.dataset import DataConfig, load
from toastlab.store.runs import Run, RunStore
from toastlab.studies.arms import Job
from toastlab.studies.options import Seeds
from toastlab.studies.runner import run_all
from toastlab.studies.space import Axis, Point, drawn, grid, with_point
from toastlab.training.config import TrainConfig
from toastlab.training.names import MODELS

Search = Literal["grid", "random", "sobol", "optuna"]
AIM = "val_top1"
PROBES = 64  # points looked at before a guided search, so that a wrong range fails at once


@dataclass(frozen=True)
class Sweep(Settings):
    """What is tried. Built, it is valid: every point makes a config.

    Attributes:
        base: all that is no axis; its seed is the first one.
        axes: what is varied.
        seeds: runs of each point.
        search: grid (all combinations), random, sobol, or optuna (guided by the runs before).
        trials: points, for all but grid.
        search_seed: of what is drawn.
    """

    base: TrainConfig
    axes: tuple[Axis, ...]
    seeds: Seeds = 3
    search: Search = "grid"
    trials: Count = 16
    search_seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [axis.name for axis in self.axes]
        if not names:
            raise BadValue("a sweep needs an axis, e.g. --axis medoid-weight 0,0.3,0.6.")
        if len(set(names)) < len(names):
            raise BadValue(f"an axis is given twice: {', '.join(names)}.")
        probes = self.points() or drawn(self.axes, "sobol", PROBES, self.search_seed)
        for point in probes:
            one_of("model", with_point(self.base, point).model, MODELS)

    def points(self) -> list[Point]:
        """All points in order; none for optuna, which chooses each by the results before."""
        if self.search == "optuna":
            return []
        if self.search == "grid":
            return grid(self.axes)
        return drawn(self.axes, self.search, self.trials, self.search_seed)

    def jobs(self, points: Sequence[Point]) -> list[Job]:
        """Their runs, the seeds outermost so that an early stop leaves whole sets."""
        first = self.base.seed
        return [
            Job(label(p), "", replace(with_point(self.base, p), seed=seed))
            for seed in range(first, first + self.seeds)
            for p in points
        ]

    @property
    def size(self) -> int:
        """How many runs there will be; a guided search may repeat some of them."""
        points = self.trials if self.search == "optuna" else len(self.points())
        return points * self.seeds


@dataclass(frozen=True)
class Done:
    """One run of a sweep, or why there is none.

    Attributes:
        number: of the point in the sweep; point: what was varied.
        run: None where training diverged; stored: it was in the store before.
    """

    number: int
    point: Point
    seed: int
    run: Run | None
    stored: bool = False

    @property
    def aim(self) -> float:
        """What is maximised; a diverged run is as bad as can be."""
        return 0.0 if self.run is None else self.run.last[AIM]


def label(point: Point) -> str:
    """The point in words."""
    return ", ".join(f"{name} {value}" for name, value in point.items())


def run(sweep: Sweep, store: Path | str, **how: Any) -> Iterator[Done]:
    """Trains what is missing and yields every run as it is ready, the finished ones first.

    Args:
        how: device, workers, together, backend, scheduler of `runner.run_all`, and its errors.
    """
    batches = _guided if sweep.search == "optuna" else _whole
    yield from batches(sweep, _Runs(RunStore(store), how))


@dataclass(frozen=True)
class _Runs:
    """Where runs come from, and the fingerprints of the data that were looked at so far."""

    store: RunStore
    how: dict[str, Any]
    fingerprints: dict[DataConfig, str] = field(default_factory=dict)

    def get(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Run | None, bool]]:
        """Job, its run (None: it diverged), whether it was there before."""
        missing, lost = [], []
        for job in jobs:
            data = job.config.data
            if data not in self.fingerprints:
                self.fingerprints[data] = load(data).fingerprint
            stored = self.store.find(job.config, self.fingerprints[data])
            if stored is None:
                missing.append(job)
            else:
                yield job, stored, True
        options = {**self.how, "on_diverged": lambda job, why: lost.append(job)}
        for job, run in run_all(missing, self.store.root, **options):
            yield job, run, False
        for job in lost:
            yield job, None, False


def _whole(sweep: Sweep, runs: _Runs) -> Iterator[Done]:
    points = sweep.points()
    jobs = sweep.jobs(points)
    number = {job: i % len(points) for i, job in enumerate(jobs)}
    for job, run, stored in runs.get(jobs):
        yield Done(number[job], points[number[job]], job.config.seed, run, stored)


def _guided(sweep: Sweep, runs: _Runs) -> Iterator[Done]:
    """Optuna's TPE, one point after the other, its seeds side by side.

    The sampler's seed and the results decide what it asks, so that the same search asks again for
    the runs that are in the store.
    """
    study = _study(sweep.search_seed)
    for number in range(sweep.trials):
        trial = study.ask()
        point = {axis.name: suggest(trial, axis) for axis in sweep.axes}
        done = []
        for job, run, stored in runs.get(sweep.jobs([point])):
            done.append(Done(number, point, job.config.seed, run, stored))
            yield done[-1]
        # by seed: the mean must not depend on which run was ready first, to the last bit
        values = [one.aim for one in sorted(done, key=lambda one: one.seed)]
        study.tell(trial, sum(values) / len(values))


def _study(seed: int) -> Any:
    try:
        import optuna
    except ImportError:
        raise BadValue(
            'search optuna needs optuna: pip install "toastlab[search]", or use --search sobol.'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def suggest(trial: Any, axis: Axis) -> Any:
    """What an Optuna trial takes from the axis."""
    if axis.values:
        return trial.suggest_categorical(axis.name, list(axis.values))
    if axis.whole:
        return trial.suggest_int(axis.name, int(axis.low), int(axis.high), log=axis.log)
    return axis.rounded(trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log))


def sweep_table(done: Sequence[Done]) -> pd.DataFrame:
    """One row per run, in the sweep's order: axes, seed, run, the last epoch's measures, seconds.

    A diverged run has neither a name nor measures; one that a guided search asked for twice stands
    once.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in sorted(done, key=lambda one: (one.number, one.seed)):
        row: dict[str, Any] = {**one.point, "seed": one.seed, "run": ""}
        if one.run is not None:
            last = {k: v for k, v in one.run.last.items() if k.startswith(("val_", "test_"))}
            seconds = float(one.run.metrics.train_seconds.sum())
            row |= {"run": one.run.key, **last, "seconds": seconds}
        rows.setdefault((*one.point.values(), one.seed), row)
    return pd.DataFrame(list(rows.values()))


def ranking(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """The settings, best first by mean validation top-1.

    Args:
        table: as of `sweep_table`; axes: names of the columns that were varied.

    Returns:
        the axes, mean, low, high (95 % t interval over the seeds), seeds; NaN and last where a run
        diverged.
    """
    rows = []
    for values, group in table.groupby(list(axes), sort=False):
        around = interval(group[AIM].tolist()) if AIM in group else (float("nan"),) * 3
        rows.append((*values, *around, len(group)))
    ranked = pd.DataFrame(rows, columns=[*axes, "mean", "low", "high", "seeds"])
    return ranked.sort_values("mean", ascending=False, kind="stable", ignore_index=True)
