"""Hyperparameters chosen on the validation split, with the same number of trials for every method.

Each method gets its source's defaults and `TRIALS` points of a Sobol sequence over its space: the
learning rate and the weight decay, which all share, and at most two settings of its own. Plain
cross-entropy is tuned like the rest, since a weak baseline makes every method look good. The test
split takes no part in the choice.
"""

from dataclasses import replace

import pandas as pd

from toastlab.studies.arms import ARMS
from toastlab.studies.space import Axis, drawn, with_point
from toastlab.training.config import TrainConfig

TRIALS = 16  # a power of two, as Sobol sequences want it


def _axis(name: str, low: float, high: float, log: bool = False) -> Axis:
    return Axis(name, low=low, high=high, log=log)


SHARED = (_axis("learning-rate", 0.01, 0.2, log=True), _axis("weight-decay", 1e-4, 5e-3, log=True))
TEMPERATURE, WEIGHT = _axis("temperature", 1, 8), _axis("weight", 0.2, 4, log=True)
SPACES: dict[str, tuple[Axis, ...]] = {
    "cross-entropy": (),
    "label smoothing": (_axis("smoothing", 0.02, 0.4),),
    "TOAST": (_axis("medoid-weight", 0.05, 0.7), _axis("past-weight", 0.5, 8, log=True)),
    "OLS": (_axis("weight", 0.2, 0.9),),
    "Tf-KD": (_axis("weight", 0.05, 0.9), _axis("temperature", 5, 40)),
    # the range of m in its public code; a, which with the learning rate would do the same, stays
    "Tf-KD self": (_axis("multiplier", 1, 100, log=True), TEMPERATURE),
    "CS-KD": (WEIGHT, TEMPERATURE),
    "PS-KD": (_axis("final-weight", 0.2, 1),),
    "DLB": (WEIGHT, TEMPERATURE),
    "BAKE": (WEIGHT, _axis("ensemble", 0.1, 0.9)),
    "BYOT": (_axis("weight", 0.05, 0.9), TEMPERATURE),
    "SELC": (_axis("start", 0.1, 0.6), _axis("keep", 0.7, 0.98)),
    "ELR": (_axis("weight", 0.5, 10, log=True), _axis("keep", 0.5, 0.95)),
    "Zipf": (_axis("weight", 0.02, 2, log=True),),
    "GCE": (_axis("exponent", 0.2, 1),),
    "SCE": (_axis("weight", 0.05, 6, log=True), _axis("reverse-weight", 0.05, 2, log=True)),
}


def trials(arm: str, base: TrainConfig) -> list[TrainConfig]:
    """The defaults, then the points of the Sobol sequence; always the same for the same arm.

    Args:
        arm: a name of `SPACES`; base: everything else, the data included.
    """
    plain = replace(base, method=ARMS[arm])
    points = drawn((*SHARED, *SPACES[arm]), "sobol", TRIALS, seed=0)
    return [plain, *(with_point(plain, point) for point in points)]


def settings_of(config: TrainConfig, arm: str) -> dict[str, float]:
    """What of a run was searched for, by the names of the axes."""
    mine = {axis.name: config.method for axis in SPACES[arm]}
    owners = {axis.name: config for axis in SHARED} | mine
    return {name: float(getattr(owner, name.replace("-", "_"))) for name, owner in owners.items()}


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Of each network, setting and method the trial with the best top-1 on validation; ties: the
    first.

    Args:
        table: model, setting, method, trial, val_top1.
    """
    best = table.groupby(["model", "setting", "method"], sort=False).val_top1.idxmax()
    return table.loc[best].reset_index(drop=True)
