"""Plans, paired differences and their intervals, verdicts; runs side by side."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from toastlab.compare import (
    ARMS,
    BASELINE,
    Job,
    differences,
    interval,
    plan,
    run_all,
    tidy,
    verdict,
)
from toastlab.config import TrainConfig
from toastlab.data import DataConfig
from toastlab.errors import DataError

BASE = TrainConfig(data=DataConfig(name="digits"), epochs=1, batch_size=64)


def table(values: dict[str, list[float]], setting: str = "s") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"setting": setting, "method": name, "seed": seed, "top1": value}
            for name, column in values.items()
            for seed, value in enumerate(column)
        ]
    )


def test_plan_has_whole_sets_and_equal_compute() -> None:
    settings = {"a": DataConfig(), "b": DataConfig(noise_rate=0.2)}
    jobs = plan(["TOAST", BASELINE], 2, replace(BASE, seed=5), settings)
    assert [j.config.seed for j in jobs] == [5] * 4 + [6] * 4
    assert [(j.setting, j.arm) for j in jobs[:4]] == [
        ("a", "TOAST"),
        ("a", BASELINE),
        ("b", "TOAST"),
        ("b", BASELINE),
    ]
    assert len({(j.config.epochs, j.config.batch_size, j.config.model) for j in jobs}) == 1
    assert jobs[0].config.method == ARMS["TOAST"]
    with pytest.raises(ValueError, match="seeds is 0"):
        plan(["TOAST"], 0, BASE)


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


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_side_by_side_equal_runs_in_a_row(workers: int, tmp_path: Path) -> None:
    jobs = plan([BASELINE, "TOAST"], 2, BASE)
    done = list(run_all(jobs, tmp_path / f"{workers}", device="cpu", workers=workers))
    assert {job for job, _ in done} == set(jobs)
    once = {job: run for job, run in run_all(jobs, tmp_path / f"{workers}", device="cpu")}
    for job, run in done:
        assert run.config == job.config
        assert once[job].folder.stat().st_mtime == run.folder.stat().st_mtime, "found, not trained"
    rows = tidy(done)
    assert list(rows.columns[:4]) == ["setting", "method", "seed", "run"]
    assert len(rows) == 4
    assert rows.test_top1.between(0, 1).all()
    alone = next(run_all([jobs[0]], tmp_path / "alone", device="cpu", workers=1))[1]
    assert alone.last["test_nll"] == once[jobs[0]].last["test_nll"]


def test_jobs_can_be_told_apart() -> None:
    jobs = plan(list(ARMS), 2, BASE)
    assert len({(j.arm, j.config.seed) for j in jobs}) == len(jobs) == len(set(jobs))
    assert isinstance(jobs[0], Job)
