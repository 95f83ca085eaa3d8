"""Intervals, paired differences, p values and verdicts; the names of measures."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from toastlab.analysis.measures import MEASURES, measure, measure_of
from toastlab.analysis.metrics import METRICS
from toastlab.analysis.statistics import (
    BASELINE,
    bootstrap_interval,
    differences,
    holm,
    interval,
    paired_p,
    verdict,
)
from toastlab.core.errors import DataError


def table(values: dict[str, list[float]], setting: str = "s") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"setting": setting, "method": name, "seed": seed, "top1": value}
            for name, column in values.items()
            for seed, value in enumerate(column)
        ]
    )


def test_interval_against_scipy() -> None:
    values = [0.3, 0.1, 0.4, 0.15]
    mean, low, high = interval(values)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean == pytest.approx(np.mean(values))
    assert (low, high) == pytest.approx((wanted.low, wanted.high))
    assert np.isnan(interval([1.0])[1])
    assert interval([2.0, 2.0]) == (2.0, 2.0, 2.0)


def test_differences_are_paired_over_seeds() -> None:
    rows = table({BASELINE: [0.1, 0.5, 0.9], "TOAST": [0.2, 0.61, 1.0]})
    row = differences(rows.sample(frac=1, random_state=0), "top1").iloc[0]
    paired = stats.ttest_rel([0.2, 0.61, 1.0], [0.1, 0.5, 0.9]).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((paired.low, paired.high))
    assert row["seeds"] == 3


def test_differences_need_the_baseline_with_the_same_seeds() -> None:
    rows = table({BASELINE: [0.1, 0.5], "TOAST": [0.2, 0.6, 1.0]})
    with pytest.raises(DataError, match=r"'cross-entropy' has not run with the seeds of 'TOAST'"):
        differences(rows, "top1")
    with pytest.raises(DataError, match="has not run"):
        differences(table({"TOAST": [0.1, 0.2]}), "top1")


@pytest.mark.parametrize(
    ("numbers", "larger", "said"),
    [
        ((0.2, 0.1, 0.3), True, "better"),
        ((0.2, 0.1, 0.3), False, "worse"),
        ((-0.2, -0.3, -0.1), True, "worse"),
        ((-0.2, -0.3, -0.1), False, "better"),
        ((0.2, -0.1, 0.3), True, "within seed noise"),
        ((0.2, 0.0, 0.3), True, "within seed noise"),
        ((0.2, float("nan"), float("nan")), True, "one seed: nothing to say"),
    ],
)
def test_verdict(numbers: tuple[float, float, float], larger: bool, said: str) -> None:
    assert verdict(*numbers, larger) == said


def test_holm_by_hand_and_against_bonferroni() -> None:
    p = pd.Series([0.01, 0.04, 0.03, float("nan")])
    assert holm(p).tolist()[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(holm(p)[3])
    many = pd.Series(np.random.default_rng(0).random(20))
    assert (holm(many) >= many).all()
    assert (holm(many) <= np.minimum(1, 20 * many)).all()


def test_paired_p_against_scipy() -> None:
    x = [0.3, 0.1, 0.4, 0.15]
    assert paired_p(x) == pytest.approx(stats.ttest_1samp(x, 0).pvalue)
    assert paired_p([0.0, 0.0]) == 1
    assert paired_p([0.5, 0.5]) == 0
    assert np.isnan(paired_p([0.5]))


def test_bootstrap_interval_against_scipy() -> None:
    x = np.random.default_rng(1).normal(0.3, 1, 12)
    wanted = stats.bootstrap((x,), np.mean, method="percentile", rng=0).confidence_interval
    assert bootstrap_interval(x.tolist()) == pytest.approx(tuple(wanted), abs=0.03)
    assert np.isnan(bootstrap_interval([1.0])[0])


def test_measures_are_named_once_and_for_all() -> None:
    assert set(METRICS) <= set(MEASURES)
    assert [m for m in METRICS if MEASURES[m].larger_is_better] == ["top1", "top5"]
    assert measure("test_top1") == ("test top-1 accuracy (%)", 100.0)
    assert measure("val_nll") == ("val NLL (nats)", 1.0)
    assert measure("loss") == ("training loss", 1.0)
    assert measure("passes") == ("passes", 1.0)
    assert measure_of("test_ece").heading == "ECE %"
    assert measure_of("test_ece").show(0.0123) == "1.2"
    assert measure_of("test_nll").show(-0.5, "+") == "-0.500"


def test_what_is_measured_loads_no_figures() -> None:
    code = (
        "import sys, toastlab.analysis.metrics\n"
        "print([m for m in ('matplotlib', 'torchmetrics') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
