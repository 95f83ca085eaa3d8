"""What a few numbers allow to say: intervals, paired differences, p values, verdicts."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from toastlab.core.errors import BadValue, DataError, in_range, one_of

BASELINE = "cross-entropy"


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student's t interval of a few values; NaN bounds for a single one, and where some
    value is NaN or infinite."""
    x = _values(values, level)
    if len(x) < 2 or not np.isfinite(x).all():
        return float(x.mean()), float("nan"), float("nan")
    low, high = _t_test(x).confidence_interval(level)
    return float(x.mean()), float(low), float(high)


def differences(table: pd.DataFrame, metric: str, baseline: str = BASELINE) -> pd.DataFrame:
    """Paired over seeds: each method minus the baseline, per setting.

    Args:
        table: rows of setting, method and seed; metric: another column of it.

    Returns:
        setting, method, mean, low, high (95 % t interval: with few seeds it is the honest one),
        boot_low, boot_high (95 % bootstrap interval, too narrow below some ten seeds), p (paired t
        test), p_holm (Holm's correction over the methods of a setting), seeds.

    Raises:
        DataError: the baseline has not run with the same seeds, a seed stands twice, or there is no
            such metric.
    """
    one_of("metric", metric, table.columns)
    if table.duplicated(["setting", "method", "seed"]).any():
        raise DataError("a method has run twice with the same seed; keep one row of each.")
    rows = []
    for (setting, method), group in table.groupby(["setting", "method"], sort=False):
        base = table[(table.setting == setting) & (table.method == baseline)]
        if method == baseline:
            continue
        own = group.set_index("seed")[metric]
        pair = own - base.set_index("seed")[metric].reindex(own.index)
        if base.empty or pair.isna().any():
            raise DataError(
                f"{baseline!r} has not run with the seeds of {method!r} on {setting!r}."
            )
        around = (*interval(pair.tolist()), *bootstrap_interval(pair.tolist()))
        rows.append((setting, method, *around, paired_p(pair.tolist()), len(pair)))
    names = ["setting", "method", "mean", "low", "high", "boot_low", "boot_high", "p", "seeds"]
    gaps = pd.DataFrame(rows, columns=names)
    gaps["p_holm"] = gaps.groupby("setting", sort=False)["p"].transform(holm)
    return gaps


def _values(values: Sequence[float], level: float = 0.95) -> np.ndarray:
    """Raises: ValueError: there are none, or the level is none."""
    in_range("level", level, 0, 1, open_low=True, open_high=True)
    if not len(values):
        raise BadValue("there is nothing to take the mean of; give at least one value.")
    return np.asarray(values, dtype=np.float64)


def bootstrap_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, 10,000 resamples, always the same random draws;
    NaN as in `interval`."""
    x = _values(values, level)
    if len(x) < 2 or not np.isfinite(x).all():
        return float("nan"), float("nan")
    from scipy import stats  # half a second to import, which a run does without

    draws = np.random.default_rng(0)
    found = stats.bootstrap(
        (x,), np.mean, n_resamples=10_000, confidence_level=level, method="percentile", rng=draws
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of Student's paired t test; NaN for one pair, 1 where all differences are 0."""
    x = _values(differences)
    if len(x) < 2 or not np.isfinite(x).all():
        return float("nan")
    p = float(_t_test(x).pvalue)
    return 1.0 if np.isnan(p) else p  # 0 / 0: nothing differs


def _t_test(x: np.ndarray) -> Any:
    """Student's t test of the mean against 0."""
    from scipy import stats  # as above

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # equal values are nothing to warn of
        return stats.ttest_1samp(x, 0)


def holm(p: pd.Series) -> pd.Series:
    """Holm's step-down correction (1979) of several p values; NaN stays NaN and does not count."""
    for value in p.dropna():
        in_range("p", value, 0, 1)
    ordered = p.dropna().sort_values(kind="stable")
    factor = np.arange(len(ordered), 0, -1)
    corrected = np.minimum(1.0, np.maximum.accumulate(ordered.to_numpy() * factor))
    return pd.Series(corrected, index=ordered.index).reindex(p.index)


def verdict(mean: float, low: float, high: float, larger_is_better: bool = True) -> str:
    """What a difference and its interval allow one to say."""
    if np.isnan(low):
        return "one seed: nothing to say"
    if low <= 0 <= high:
        return "within seed noise"
    return "better" if (mean > 0) == larger_is_better else "worse"
