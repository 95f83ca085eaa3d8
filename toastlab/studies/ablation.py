"""The stored ablation: every combination of weights, at two temperatures, and with a control.

A grid is data; `toastlab study run ablation` trains what is missing of it and condenses the runs to
one table, small enough to keep beside the code. Panels look rows up in that table; nothing is
interpolated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from toastlab.analysis.statistics import interval
from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig, Dataset
from toastlab.data.dataset import load as load_data
from toastlab.disk.files import embedded
from toastlab.disk.tables import read_table
from toastlab.methods import MethodConfig, ToastConfig
from toastlab.store.names import run_key
from toastlab.studies.arms import Job
from toastlab.studies.rows import hold_to_names
from toastlab.studies.study import Options, Progress, Work
from toastlab.training.config import TrainConfig

Point = dict[str, float | bool]
AXES: dict[str, tuple[float | bool, ...]] = {
    "noise_rate": (0.0, 0.2),
    "medoid_weight": (0.0, 0.1, 0.2, 0.3, 0.5, 0.7),
    "past_weight": (0.0, 0.5, 1.0, 2.0, 3.0, 5.0),
    "medoid_temperature": (1.0, 2.0),
    "random_carry": (False, True),
}
SEEDS = (0, 1, 2)
# of the plane of weights at the default temperatures: it is flat, and means of three say little
MORE_SEEDS = tuple(range(10))
AGAIN = "toastlab study run ablation"
MEASURES = ("test_top1", "test_nll", "test_ece", "val_top1", "carried_share", "target_entropy")


def canonical(point: Point) -> Point:
    """The same point with what has no effect there set to the first value of its axis."""
    point = dict(point)
    if point["medoid_weight"] == 0:
        point["medoid_temperature"] = AXES["medoid_temperature"][0]
    if point["past_weight"] == 0:
        point["random_carry"] = False
    return point


def points() -> list[Point]:
    """Every point of the grid that differs from the others in what it trains."""
    whole = (dict(zip(AXES, values, strict=True)) for values in product(*AXES.values()))
    distinct = {tuple(canonical(p).values()): canonical(p) for p in whole}
    return list(distinct.values())


def seeds_of(point: Point) -> tuple[int, ...]:
    """The seeds of a point's stored runs."""
    default = ToastConfig()
    names = ("medoid_temperature", "random_carry")
    plane = canonical(point | {name: getattr(default, name) for name in names})
    return MORE_SEEDS if canonical(point) == plane else SEEDS


def config_of(point: Point, seed: int) -> TrainConfig:
    """The run of a point: the teaching MLP on 2,000 images, 30 epochs, dynamics not kept."""
    return replace(_first_run(tuple(point.items())), seed=seed)


@lru_cache(maxsize=1024)
def _first_run(point: tuple[tuple[str, float | bool], ...]) -> TrainConfig:
    settings = dict(point)
    data = DataConfig(noise_rate=float(settings.pop("noise_rate")), per_class=200)
    method: MethodConfig = replace(ToastConfig(), **settings)  # type: ignore[arg-type]
    return TrainConfig(data=data, method=method, epochs=30, record="none")


def grid_data() -> dict[float, Dataset]:
    """Noise rate -> the data set of the grid with it."""
    return {
        float(rate): load_data(DataConfig(noise_rate=float(rate), per_class=200))
        for rate in AXES["noise_rate"]
    }


def steps(options: Options, work: Work) -> Iterator[Progress]:
    """Trains the grid; one row per run: the point, seed, key, and the last epoch's measures."""
    wanted = [(point, seed) for point in points() for seed in seeds_of(point)]
    jobs = [Job("", "", config_of(point, seed)) for point, seed in wanted]
    runs = yield from work.train(jobs, "the grid", leave_out_diverged=False)
    rows = []
    for point, seed in wanted:
        run = runs[Job("", "", config_of(point, seed))]
        measures = {m: round(run.last[m], 5) for m in MEASURES if m in run.last}
        rows.append({**point, "seed": seed, "run": run.key, **measures})
    work.write("rows", pd.DataFrame(rows))


def load(which: str = "rows", fingerprints: Mapping[float, str] | None = None) -> pd.DataFrame:
    """The stored table, after making sure that it is of this code's runs on these data.

    Args:
        fingerprints: noise rate -> fingerprint of the data with it; None reads the data.

    Raises:
        DataError: it is missing or damaged, or holds a run that this code would give another name.
    """
    if fingerprints is None:
        fingerprints = {rate: data.fingerprint for rate, data in grid_data().items()}
    path = embedded("ablation.csv")
    columns = (*AXES, "seed", "run", *MEASURES[:4])
    table = read_table(path, "the stored ablation", columns, AGAIN)

    def name_of(row: dict[str, Any]) -> str:
        config = config_of({name: row[name] for name in AXES}, int(row["seed"]))
        return run_key(config, fingerprints[float(row["noise_rate"])])

    hold_to_names(table[[*AXES, "seed", "run"]], path, AGAIN, name_of)
    return table


def look_up(
    table: pd.DataFrame, point: Point, measure: str
) -> tuple[float, float, float, Sequence[float]]:
    """Mean, 95 % t interval and the single values of a point's runs.

    Raises:
        DataError: the point is not on the grid.
    """
    return look_up_each(table, [point], measure)[0]


def look_up_each(
    table: pd.DataFrame, points: Sequence[Point], measure: str
) -> list[tuple[float, float, float, Sequence[float]]]:
    """The same of several points, for which the table is sorted once; raises as `look_up`."""
    return [(*interval(values), values) for values in _values(table, points, measure)]


def plane(table: pd.DataFrame, point: Point, measure: str) -> pd.DataFrame:
    """Means over the stored runs in the plane of both weights, all else as in the point.

    Returns:
        Rows medoid weight, columns past weight.

    Raises:
        DataError: a cell is not on the grid.
    """
    cells = list(product(AXES["medoid_weight"], AXES["past_weight"]))
    at = [point | {"medoid_weight": a, "past_weight": b} for a, b in cells]
    means = [float(np.mean(values)) for values in _values(table, at, measure)]
    return pd.Series(means, index=pd.MultiIndex.from_tuples(cells)).unstack()


def _values(table: pd.DataFrame, points: Sequence[Point], measure: str) -> list[list[float]]:
    """Of each point the values of its runs, by seed. Rows are sorted by point once, not searched
    for each: a panel asks for forty points whenever a control moves."""
    table = table.sort_values("seed")
    rows, column = table.groupby(list(AXES)).indices, table[measure].to_numpy(dtype=float)
    found = []
    for point in points:
        at = canonical(point)
        key = tuple(at[name] for name in AXES)
        if key not in rows:
            raise DataError(f"no stored run has {point}; train it, nothing is interpolated.")
        found.append(column[rows[key]].tolist())
    return found
