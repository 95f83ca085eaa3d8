"""The stored ablation: every combination of a few weights, temperatures and criteria, real runs.

A grid is data; `toastlab ablation` trains what is missing of it and condenses the runs to one
table, small enough to keep beside the code. Panels look rows up in that table; nothing is
interpolated.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd

from toastlab.analysis.statistics import interval
from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.methods import MethodConfig, ToastConfig
from toastlab.store.names import run_key
from toastlab.store.runs import RunStore
from toastlab.studies.compare import Job as Job
from toastlab.studies.compare import run_all
from toastlab.training.config import TrainConfig

AXES: dict[str, tuple[float | str, ...]] = {
    "noise_rate": (0.0, 0.2),
    "medoid_weight": (0.0, 0.3, 0.6),
    "past_weight": (0.0, 1.0, 2.0),
    "medoid_temperature": (1.0, 2.0, 4.0),
    "past_temperature": (1.0, 3.0),
    "criterion": ("misclassified", "random"),
}
SEEDS = (0, 1, 2)
MEASURES = ("test_top1", "test_nll", "test_ece", "val_top1", "carried_share", "target_entropy")


def canonical(point: dict[str, float | str]) -> dict[str, float | str]:
    """The same point with what has no effect there set to the first value of its axis."""
    point = dict(point)
    if point["medoid_weight"] == 0:
        point["medoid_temperature"] = AXES["medoid_temperature"][0]
    if point["past_weight"] == 0:
        point["past_temperature"] = AXES["past_temperature"][0]
        point["criterion"] = AXES["criterion"][0]
    return point


def points() -> list[dict[str, float | str]]:
    """Every point of the grid that differs from the others in what it trains."""
    whole = (dict(zip(AXES, values, strict=True)) for values in product(*AXES.values()))
    distinct = {tuple(canonical(p).values()): canonical(p) for p in whole}
    return list(distinct.values())


def config_of(point: dict[str, float | str], seed: int) -> TrainConfig:
    """The run of a point: the teaching MLP on 2,000 images, 30 epochs, dynamics not kept."""
    settings = {k: v for k, v in point.items() if k != "noise_rate"}
    data = DataConfig(noise_rate=float(point["noise_rate"]), per_class=200)
    method: MethodConfig = replace(ToastConfig(), **settings)  # type: ignore[arg-type]
    return TrainConfig(data=data, method=method, epochs=30, seed=seed, record="none")


def grid_data() -> dict[float, Dataset]:
    """Noise rate -> the data set of the grid with it."""
    return {
        float(rate): load(DataConfig(noise_rate=float(rate), per_class=200))
        for rate in AXES["noise_rate"]
    }


def grid_fingerprints() -> dict[float, str]:
    """Noise rate -> fingerprint of the data set of the grid with it."""
    return {rate: data.fingerprint for rate, data in grid_data().items()}


def run_grid(store: Path | str, *, workers: int = 0) -> Iterator[tuple[int, int]]:
    """Trains what is missing; yields how many of how many runs are there."""
    jobs = [Job("", "", config_of(point, seed)) for seed in SEEDS for point in points()]
    for done, _ in enumerate(run_all(jobs, store, device="cpu", workers=workers), 1):
        yield done, len(jobs)


def condense(store: Path | str, fingerprints: dict[float, str]) -> pd.DataFrame:
    """One row per run of the grid: the point, the seed, the run's key, the last epoch's measures.

    Args:
        fingerprints: noise rate -> fingerprint of the data with it.
    """
    runs = RunStore(store)
    rows = []
    for point, seed in product(points(), SEEDS):
        config = config_of(point, seed)
        run = runs.find(config, fingerprints[float(point["noise_rate"])])
        if run is None:
            raise DataError(f"the run of {point}, seed {seed}, is not in {runs.root}.")
        measures = {m: round(run.last[m], 5) for m in MEASURES if m in run.last}
        rows.append({**point, "seed": seed, "run": run.key, **measures})
    return pd.DataFrame(rows)


def table_path() -> Path:
    """Where the stored table lies."""
    return embedded("ablation.csv")


def load_table(fingerprints: dict[float, str]) -> pd.DataFrame:
    """The stored table, after making sure that it is of this code's runs on these data.

    Raises:
        DataError: it is missing or damaged, or holds a run that this code would give another name.
    """
    path = table_path()
    columns = (*AXES, "seed", "run", *MEASURES[:4])
    table = read_table(path, "the stored ablation", columns, "toastlab ablation")
    rows = table[[*AXES, "seed", "run"]].to_dict("records")
    for row in rows:
        point = {str(k): row[k] for k in AXES}
        key = ""
        with suppress(KeyError, ValueError, TypeError, OverflowError):  # it stands for no run
            config = config_of(point, int(row["seed"]))
            key = run_key(config, fingerprints[float(row["noise_rate"])])
        if key != row["run"]:
            raise DataError(
                f"{path} holds a run of {point}, seed {row['seed']}, that settings or data no "
                "longer match; make the table again with `toastlab ablation`."
            )
    return table


def look_up(
    table: pd.DataFrame, point: dict[str, float | str], measure: str
) -> tuple[float, float, float, Sequence[float]]:
    """Mean, 95 % t interval and the single values of a point's runs.

    Raises:
        DataError: the point is not on the grid.
    """
    rows = table
    for name, value in canonical(point).items():
        rows = rows[rows[name] == value]
    if rows.empty:
        raise DataError(f"no stored run has {point}; train it, nothing is interpolated.")
    values = [float(v) for v in rows.sort_values("seed")[measure]]
    return *interval(values), values
