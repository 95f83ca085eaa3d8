"""What the stored study of readings says, in tables that a page or a notebook shows."""

import numpy as np
import pandas as pd

from toastlab.analysis.measures import measure_of
from toastlab.analysis.statistics import BASELINE, interval
from toastlab.methods import ToastConfig
from toastlab.studies.reading_claims import CLAIMS
from toastlab.studies.reading_pool import (
    BEFORE,
    CONFIDENT,
    LITERAL,
    canonical,
    label_of,
    reading_of,
)
from toastlab.studies.readings import HEADLINE

# Roles of `readings.ROLES` in the words of a figure
PARTS = {
    "both stages": "whole",
    "stage 1 alone": "stage 1 alone",
    "stage 2 alone": "stage 2 alone",
    "both, carried at random": "random carry",
}


def known() -> dict[str, str]:
    """The readings of the kit: label -> what it is called."""
    return {
        label_of(canonical(ToastConfig())): "the default",
        label_of(CONFIDENT): "TOAST confidence",
        label_of(LITERAL): "literal",
        label_of(BEFORE): "the first",
    }


def gain(
    rows: pd.DataFrame,
    reading: str,
    role: str = "whole",
    cell: str = HEADLINE.name,
    than: tuple[str, str] = (BASELINE, "whole"),
    measure: str = "test_top1",
) -> tuple[float, float, float]:
    """Mean over the paired seeds of what a reading gains over another run, 95 % t interval.

    Args:
        rows: the table "final" of the study; reading, role: whose gain.
        cell: one way to train; than: reading and role of the rival.
        measure: a column; above 0 is better, whichever way the measure goes.

    Returns:
        Mean, low, high, in what the measure is shown in: points of top-1 and of ECE.
    """
    here = rows[rows["cell"] == cell]
    own, other = (
        here[(here["reading"] == name) & (here["role"] == part)].set_index("seed")[measure]
        for name, part in ((reading, role), than)
    )
    what = measure_of(measure)
    sign = what.factor if what.larger_is_better else -what.factor
    return interval((sign * (own - other)).dropna().tolist())


def abstract_only(found: pd.DataFrame) -> pd.DataFrame:
    """Of `reading_claims.pairs` the claims that the abstract makes [S], not those that are ours."""
    return found[found["claim"].isin([claim.short for claim in CLAIMS if claim.source])]


def parts_of(rows: pd.DataFrame, reading: str) -> pd.DataFrame:
    """A reading's gain in the headline cell, whole and in parts, as `plots.gains_view` takes it."""
    found = [("", name, *gain(rows, reading, role)) for name, role in PARTS.items()]
    return pd.DataFrame(found, columns=["group", "name", "mean", "low", "high"])


def by_taught(race: pd.DataFrame) -> pd.DataFrame:
    """Of the first round of the race, by what a carried sample is taught: how many readings, and
    the median of their mean gains in validation top-1 over cross-entropy, in points.

    Args:
        race: the table "race" of the study.

    Returns:
        Index `carried_loss`; readings, "wrong labels", "right labels".
    """
    once = race[race["round"] == 0]
    plain = once[once["reading"] == BASELINE].set_index("cell")["val_top1"]
    once = once[once["reading"] != BASELINE]
    clean = once["cell"].str.contains("clean")
    once = once.assign(
        gain=100 * (once["val_top1"] - once["cell"].map(plain)),
        labels=np.where(clean, "right labels", "wrong labels"),
        taught=[reading_of(name).carried_loss for name in once["reading"]],
    )
    means = once.groupby(["taught", "labels", "reading"])["gain"].mean()
    middle = means.groupby(["taught", "labels"]).median().unstack()
    middle.insert(0, "readings", once.groupby("taught")["reading"].nunique())
    return middle[["readings", "wrong labels", "right labels"]]
