"""Hyperparameters chosen on the validation split, with the same number of trials for every method.

Each method gets its source's defaults and `TRIALS` points of a Sobol sequence over its space: the
learning rate and the weight decay, which all share, and at most two settings of its own. Plain
cross-entropy is tuned like the rest, since a weak baseline makes every method look good. The test
split takes no part in the choice.
"""

import math
from dataclasses import dataclass, replace

import pandas as pd
from scipy.stats import qmc

from toastlab.compare import ARMS
from toastlab.config import TrainConfig

TRIALS = 4  # a power of two, as Sobol sequences want it


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, evenly spread in themselves or in their logarithm."""

    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """The number at that share of the way, to three digits."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + share * (high - low)
        return float(f"{math.exp(value) if self.log else value:.3g}")


SHARED = {"learning_rate": Range(0.01, 0.2, log=True), "weight_decay": Range(1e-4, 5e-3, log=True)}
HEAT, SCALE = Range(1, 8), Range(0.2, 4, log=True)  # temperatures; weights of a term
SPACES: dict[str, dict[str, Range]] = {
    "cross-entropy": {},
    "label smoothing": {"smoothing": Range(0.02, 0.4)},
    "TOAST": {"medoid_weight": Range(0.05, 0.7), "past_weight": SCALE},
    "OLS": {"weight": Range(0.2, 0.9)},
    "Tf-KD": {"weight": Range(0.05, 0.9), "temperature": Range(5, 40)},
    "Tf-KD self": {"weight": Range(0.1, 0.95), "temperature": HEAT},
    "CS-KD": {"weight": SCALE, "temperature": HEAT},
    "PS-KD": {"final_weight": Range(0.2, 1)},
    "DLB": {"weight": SCALE, "temperature": HEAT},
    "BAKE": {"weight": SCALE, "ensemble": Range(0.1, 0.9)},
    "BYOT": {"weight": Range(0.05, 0.9), "temperature": HEAT},
}


def trials(arm: str, base: TrainConfig) -> list[TrainConfig]:
    """The defaults, then the points of the Sobol sequence; always the same for the same arm.

    Args:
        arm: a name of `SPACES`; base: everything else, the data included.
    """
    space, method = {**SHARED, **SPACES[arm]}, ARMS[arm]
    points = qmc.Sobol(len(space), seed=0).random_base2(int(math.log2(TRIALS)))
    found = [replace(base, method=method)]
    for point in points:
        pairs = zip(space.items(), point, strict=True)
        values = {name: axis.at(share) for (name, axis), share in pairs}
        shared = {name: values.pop(name) for name in SHARED}
        found.append(replace(base, method=replace(method, **values), **shared))  # type: ignore[arg-type]
    return found


def settings_of(config: TrainConfig, arm: str) -> dict[str, float]:
    """What of a run was searched for."""
    mine = {name: float(getattr(config.method, name)) for name in SPACES[arm]}
    return {name: float(getattr(config, name)) for name in SHARED} | mine


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Of each network, setting and method the trial with the best top-1 on validation; ties: the
    first.

    Args:
        table: model, setting, method, trial, val_top1.
    """
    best = table.groupby(["model", "setting", "method"], sort=False).val_top1.idxmax()
    return table.loc[best].reset_index(drop=True)
