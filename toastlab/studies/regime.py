"""The regime map: where does self-distillation help, and where does it hurt?

Every cell is one way to train the teaching MLP: how many images, how many wrong labels, how long,
with or without augmentation. In every cell every method runs with the same seeds, at equal images
through the network. `toastlab regime` trains what is missing and condenses the runs to two tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from toastlab.analysis.statistics import BASELINE, holm, interval, paired_p
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.store.runs import Run
from toastlab.studies.compare import ARMS, CAREFUL, Job, run_all, warn_diverged
from toastlab.training.config import TrainConfig

AXES: dict[str, tuple[float, ...]] = {
    "per_class": (25, 50, 100, 200),  # training images per class
    "noise_rate": (0.0, 0.2, 0.4),
    "epochs": (5, 20, 60),
    "augmented": (0, 1),
}
AUGMENT = AugmentConfig(crop=2, flip=True, cutout=8)
SEEDS = (0, 1, 2)
LOOKS = 5  # how often a run is evaluated on its way
METHODS = (
    BASELINE,
    "label smoothing",
    "OLS",
    "Tf-KD",
    "Tf-KD self",
    "CS-KD",
    "PS-KD",
    "DLB",
    "BAKE",
    "BYOT",
    "TOAST",
    CAREFUL,
)
MEASURES = ("test_top1", "test_nll", "test_ece")
LARGER_IS_BETTER = {"test_top1": True, "test_nll": False, "test_ece": False}
TABLES = ("rows", "curves")


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
    return TrainConfig(
        data=DataConfig(noise_rate=cell.noise_rate, per_class=cell.per_class),
        method=ARMS[method],
        augment=AUGMENT if cell.augmented else AugmentConfig(),
        epochs=cell.epochs,
        batch_size=64,
        seed=seed,
        record="none",
        evaluate_every=max(1, cell.epochs // LOOKS),
    )


def run_map(
    store: Path | str, methods: Sequence[str] = METHODS, *, workers: int = 0
) -> Iterator[tuple[int, int, dict[str, pd.DataFrame]]]:
    """Trains what is missing; yields how many of how many runs are there, and at last the tables by
    the names of `TABLES`."""
    places = {
        Job(cell.name, method, config_of(cell, method, seed)): cell
        for seed in SEEDS
        for cell in cells()
        for method in methods
    }
    done: dict[Job, Run] = {}
    for job, run in run_all(
        list(places), store, device="cpu", workers=workers, on_diverged=warn_diverged
    ):
        done[job] = run
        yield len(done), len(places), {}
    rows, curves = [], []
    for job, cell in places.items():
        if job not in done:
            continue  # it diverged
        run = done[job]
        at = {**vars(cell), "method": job.arm}
        seed = {"seed": job.config.seed, "run": run.key}
        rows.append(at | seed | {name: run.last[name] for name in MEASURES})
        looked = run.metrics.dropna(subset=["test_top1"])[["epoch", *MEASURES]]
        curves.append(looked.assign(**at))
    by = [*AXES, "method", "epoch"]
    means = pd.concat(curves).groupby(by, sort=False)[list(MEASURES)].mean().reset_index()
    tables = {"rows": pd.DataFrame(rows).round(5), "curves": means.astype({"epoch": int}).round(5)}
    yield len(done), len(places), tables


def load_regime(which: str = "rows") -> pd.DataFrame:
    """A stored table: "rows", one per cell, method and seed, or "curves", means over the seeds.

    Raises:
        DataError: it is missing, cannot be read or lacks a column.
    """
    columns = (*AXES, "method", "seed" if which == "rows" else "epoch", *MEASURES)
    path = embedded("regime") / f"{which}.csv"
    return read_table(path, "the stored regime map", columns, "toastlab regime")


def gains(table: pd.DataFrame, method: str, measure: str) -> pd.DataFrame:
    """What a method changes against cross-entropy, in every cell.

    Args:
        table: as of `load_regime`; measure: one of `MEASURES`.

    Returns:
        The columns of `AXES`; gain, low, high (positive is better, whatever the measure; 95 % t
        interval, paired over the seeds); p and p_holm (Holm's correction over all cells).
    """
    sign = 1 if LARGER_IS_BETTER[measure] else -1
    value = table.set_index([*AXES, "seed"])[measure]
    own, base = (value[(table.method == name).to_numpy()] for name in (method, BASELINE))
    pairs = sign * (own - base).dropna()
    rows = []
    for cell, pair in pairs.groupby(list(AXES), sort=False):
        rows.append((*cell, *interval(pair.tolist()), paired_p(pair.tolist())))
    found = pd.DataFrame(rows, columns=[*AXES, "gain", "low", "high", "p"])
    return found.assign(p_holm=holm(found.p))


def summary(table: pd.DataFrame, methods: Sequence[str] = METHODS[1:]) -> pd.DataFrame:
    """Per method and measure: mean gain over the cells, in how many it is clearly better or worse,
    and in how many still after Holm's correction over the cells."""
    rows = []
    for measure, method in product(MEASURES, methods):
        found = gains(table, method, measure)
        lost, kept = found[found.high < 0], found[found.p_holm < 0.05]
        row = {"measure": measure, "method": method, "mean": found.gain.mean()}
        row |= {"better": int((found.low > 0).sum()), "worse": len(lost)}
        row |= {"worse_holm": int((kept.gain < 0).sum()), "worst": found.gain.min()}
        rows.append(row)
    return pd.DataFrame(rows)
