"""The regime map: where does self-distillation help, and where does it hurt?

Every cell is one way to train the teaching MLP: how many images, how many wrong labels, how long,
with or without augmentation. In every cell every method runs with the same seeds, at equal new
samples. `toastlab study run regime` trains what is missing and condenses the runs to two tables;
what stands in them already is not trained again.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from toastlab.analysis.measures import measure_of
from toastlab.analysis.statistics import BASELINE, holm
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.studies.arms import PEERS, Job, plan
from toastlab.studies.rows import key_of
from toastlab.studies.study import Options, Progress, Work
from toastlab.training.config import TrainConfig

AXES: dict[str, tuple[float, ...]] = {
    "per_class": (25, 50, 100, 200),  # training images per class
    "noise_rate": (0.0, 0.2, 0.4),
    "epochs": (5, 20, 60),
    "augmented": (0, 1),
}
AUGMENT = AugmentConfig(crop=2, flip=True, cutout=8)
SEEDS = (0, 1, 2)
EVALUATIONS = 5  # of a run on its way
METHODS = (BASELINE, *PEERS, "TOAST", "TOAST literal", "TOAST confidence")
MEASURES = ("test_top1", "test_nll", "test_ece")
AGAIN = "toastlab study run regime"


@dataclass(frozen=True)
class Cell:
    """One way to train: training images per class, noise rate, epochs, augmented or not (0, 1)."""

    per_class: int
    noise_rate: float
    epochs: int
    augmented: int

    @property
    def name(self) -> str:
        """In words."""
        noise = f"{100 * self.noise_rate:g} % noise" if self.noise_rate else "clean labels"
        augment = "augmented" if self.augmented else "not augmented"
        return f"{10 * self.per_class} images, {noise}, {self.epochs} epochs, {augment}"


def cells() -> list[Cell]:
    """Every cell of the map."""
    return [Cell(int(n), e, int(t), int(a)) for n, e, t, a in product(*AXES.values())]


def config_of(cell: Cell, method: str, seed: int) -> TrainConfig:
    """The run of a method in a cell."""
    base = TrainConfig(
        budget="samples",
        augment=AUGMENT if cell.augmented else AugmentConfig(),
        epochs=cell.epochs,
        batch_size=64,
        seed=seed,
        record="none",
        evaluate_every=max(1, cell.epochs // EVALUATIONS),
    )
    data = DataConfig(noise_rate=cell.noise_rate, per_class=cell.per_class)
    return plan([method], 1, base, {cell.name: data})[0].config


def steps(options: Options, work: Work) -> Iterator[Progress]:
    """Trains the map: rows of the last epoch, and curves, means over the seeds."""
    groups = {
        (cell, method): [Job(cell.name, method, config_of(cell, method, seed)) for seed in SEEDS]
        for cell in cells()
        for method in METHODS
    }
    rows, curves = _made_before(groups, work)
    missing = {at: jobs for at, jobs in groups.items() if at not in rows}
    runs = yield from work.train([job for jobs in missing.values() for job in jobs], "the map")
    for (cell, method), jobs in missing.items():
        done = [runs[job] for job in jobs if job in runs]  # the others diverged
        if not done:
            continue
        at = {**vars(cell), "method": method}
        each = [
            {**at, "seed": run.config.seed, "run": run.key, **{m: run.last[m] for m in MEASURES}}
            for run in done
        ]
        seen = pd.concat([run.metrics.dropna(subset=["test_top1"]) for run in done])
        means = seen.groupby("epoch")[list(MEASURES)].mean().reset_index()
        rows[cell, method] = pd.DataFrame(each).round(5)
        curves[cell, method] = means.assign(**at)[[*AXES, "method", "epoch", *MEASURES]]
    order = [at for at in groups if at in rows]
    work.write("rows", pd.concat([rows[at] for at in order]))
    whole = pd.concat([curves[at] for at in order])
    work.write("curves", whole.astype({"epoch": int}).round(5))


Tables = dict[tuple[Cell, str], pd.DataFrame]


def _made_before(groups: dict[tuple[Cell, str], list[Job]], work: Work) -> tuple[Tables, Tables]:
    """Rows and curves of the cells and methods whose every run stands in the tables already."""
    if not all(work.path(name).exists() for name in ("rows", "curves")):
        return {}, {}
    by = [*AXES, "method"]
    parts = []
    for name, column in (("rows", "run"), ("curves", "epoch")):
        path = work.path(name)
        table = read_table(path, f"the table {path}", (*by, column, *MEASURES), AGAIN)
        parts.append({at: rows for at, rows in table.groupby(by, sort=False)})
    rows, curves = {}, {}
    for (cell, method), jobs in groups.items():
        at = (*vars(cell).values(), method)
        keys = {key_of(job.config) for job in jobs}
        if all(at in part for part in parts) and set(parts[0][at].run) == keys:
            rows[cell, method], curves[cell, method] = parts[0][at], parts[1][at]
    return rows, curves


def load(which: str = "rows") -> pd.DataFrame:
    """A stored table: "rows", one per cell, method and seed, or "curves", means over the seeds.

    Raises:
        DataError: it is missing, cannot be read or lacks a column.
    """
    columns = (*AXES, "method", "seed" if which == "rows" else "epoch", *MEASURES)
    path = embedded("regime") / f"{which}.csv"
    return read_table(path, "the stored regime map", columns, AGAIN)


def gains(table: pd.DataFrame, method: str, measure: str) -> pd.DataFrame:
    """What a method changes against cross-entropy, in every cell.

    Args:
        table: the rows, as of `load`; measure: one of `MEASURES`.

    Returns:
        The columns of `AXES`; gain, low, high (positive is better, whatever the measure; 95 % t
        interval, paired over the seeds); p and p_holm (Holm's correction over all cells).
    """
    sign = 1 if measure_of(measure).larger_is_better else -1
    value = table.set_index([*AXES, "seed"])[measure]
    own, base = (value[(table.method == name).to_numpy()] for name in (method, BASELINE))
    pairs = sign * (own - base).dropna()
    rows = pairs.index.to_frame(index=False)[list(AXES)].drop_duplicates()
    wide = pairs.unstack("seed").reindex(pd.MultiIndex.from_frame(rows))
    gain, low, high, p = _intervals(wide.to_numpy())
    table = wide.index.to_frame(index=False).assign(gain=gain, low=low, high=high, p=p)
    return table.assign(p_holm=holm(table.p))


def clearly(table: pd.DataFrame) -> tuple[int, int]:
    """In how many cells of a table of `gains` the method is clearly better, and worse: those whose
    interval does not contain zero."""
    return int((table.low > 0).sum()), int((table.high < 0).sum())


def _intervals(pairs: np.ndarray) -> np.ndarray:
    """Mean, low, high and p [4, cells] of differences [cells, seeds], as `statistics.interval` and
    `paired_p` have them of each row: all at once, which takes a hundredth of the time.

    NaN is a seed that is missing.
    """
    count = (~np.isnan(pairs)).sum(1)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a single seed has no interval
        mean, error = np.nanmean(pairs, 1), np.nanstd(pairs, 1, ddof=1) / np.sqrt(count)
        half = error * stats.t.ppf(0.975, count - 1)
        p = 2 * stats.t.sf(np.abs(mean / error), count - 1)
    p = np.where((mean == 0) & (error == 0), 1.0, p)  # nothing differs
    return np.stack([mean, mean - half, mean + half, p])


def lost(curves: pd.DataFrame, measure: str, method: str = BASELINE) -> pd.DataFrame:
    """What a method has lost at the end since its best evaluation, in every cell.

    Args:
        curves: as of `load("curves")`; measure: one of `MEASURES`.

    Returns:
        The columns of `AXES`, and lost: 0 or more, whatever the measure. The best evaluation is one
        of `EVALUATIONS` or so, and of the test split: a bound on what stopping early can give.
    """
    sign = 1 if measure_of(measure).larger_is_better else -1
    own = curves[curves.method == method].sort_values("epoch")
    groups = (sign * own[measure]).groupby([own[name] for name in AXES], sort=False)
    return (groups.max() - groups.last()).rename("lost").reset_index()


def gain_where_chosen(
    table: pd.DataFrame, chooser: str, method: str, measure: str, most: int
) -> float:
    """What a method gains where another one looks best, without the luck of the choice.

    Args:
        table: rows, as of `load`; measure: one of `MEASURES`.
        chooser: the first seed chooses the `most` cells in which this method gains most.

    Returns:
        Mean gain of `method` in them by the other seeds; positive is better.
    """
    first = table.seed == min(SEEDS)
    looks = gains(table[first], chooser, measure).set_index(list(AXES)).gain
    fresh = gains(table[~first], method, measure).set_index(list(AXES)).gain
    return float(fresh[looks.nlargest(most).index].mean())


def summary(table: pd.DataFrame, methods: Sequence[str] = METHODS[1:]) -> pd.DataFrame:
    """Per method and measure: mean gain over the cells, in how many it is clearly better or worse,
    and in how many still after Holm's correction over the cells."""
    rows = []
    for measure, method in product(MEASURES, methods):
        cells = gains(table, method, measure)
        better, worse = clearly(cells)
        rows.append(
            {
                "measure": measure,
                "method": method,
                "mean": cells.gain.mean(),
                "better": better,
                "worse": worse,
                "worse_holm": int(((cells.p_holm < 0.05) & (cells.gain < 0)).sum()),
                "worst": cells.gain.min(),
            }
        )
    return pd.DataFrame(rows)
