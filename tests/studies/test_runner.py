"""Plans, paired differences and their intervals, verdicts; runs side by side."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from torch import Tensor

from toastlab.analysis.statistics import (
    BASELINE,
)
from toastlab.bench.memory import extra_bytes
from toastlab.core.losses import Loss
from toastlab.core.stream import Batch
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.methods import CONFIGS, Method, MethodConfig
from toastlab.store.names import from_json, to_json
from toastlab.studies.arms import ARMS, Job, plan
from toastlab.studies.rows import run_table
from toastlab.studies.runner import run_all
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train

BASE = TrainConfig(data=DataConfig(name="digits"), epochs=1, batch_size=64)


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


def test_runs_in_a_row_read_their_data_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def watched(config: DataConfig) -> Dataset:
        read.append(config)
        return load(config)

    monkeypatch.setattr("toastlab.studies.runner.load", watched)
    jobs = plan([BASELINE, "TOAST"], 2, BASE)
    for calls in (1, 2):  # another call reads anew: the files may have changed
        list(run_all(jobs, tmp_path, device="cpu", workers=1))
        assert len(read) == calls


@pytest.mark.parametrize("workers", [1, 2])
def test_runs_side_by_side_equal_runs_in_a_row(workers: int, tmp_path: Path) -> None:
    jobs = plan([BASELINE, "TOAST"], 2, BASE)
    done = list(run_all(jobs, tmp_path / f"{workers}", device="cpu", workers=workers))
    assert {job for job, _ in done} == set(jobs)
    once = {job: run for job, run in run_all(jobs, tmp_path / f"{workers}", device="cpu")}
    for job, run in done:
        assert run.config == job.config
        assert once[job].folder.stat().st_mtime == run.folder.stat().st_mtime, "found, not trained"
    rows = run_table(done)
    assert list(rows.columns[:4]) == ["setting", "method", "seed", "run"]
    assert len(rows) == 4
    assert rows.test_top1.between(0, 1).all()
    alone = next(run_all([jobs[0]], tmp_path / "alone", device="cpu", workers=1))[1]
    assert alone.last["test_nll"] == once[jobs[0]].last["test_nll"]


def test_jobs_can_be_told_apart() -> None:
    jobs = plan(list(ARMS), 2, BASE)
    assert len({(j.arm, j.config.seed) for j in jobs}) == len(jobs) == len(set(jobs))
    assert isinstance(jobs[0], Job)


def test_one_run_serves_both_budgets_where_they_are_the_same_steps() -> None:
    both = {
        budget: plan(list(ARMS), 1, replace(BASE, budget=budget))
        for budget in ("images", "samples")
    }
    other = [
        a.arm for a, b in zip(both["images"], both["samples"], strict=True) if a.config != b.config
    ]
    assert other == ["Tf-KD self", "CS-KD", "DLB", "BAKE"]


def test_the_table_has_costs_and_the_control_for_calibration(tmp_path: Path) -> None:
    jobs = plan([BASELINE, "CS-KD"], 1, BASE)
    rows = run_table(list(run_all(jobs, tmp_path, device="cpu", workers=1))).set_index("method")
    assert (rows.test_nll_scaled < rows.test_nll).all(), "one epoch: far from calibrated"
    assert rows.total_passes["CS-KD"] == 2 * rows.total_gradients["CS-KD"]
    assert rows.total_steps[BASELINE] * 64 == rows.total_passes[BASELINE]
    assert (rows.best_minus_last >= 0).all()


def test_a_new_method_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's contents, here in the test; the line is its entry among the methods."""

    @dataclass(frozen=True)
    class ConfidencePenaltyConfig(MethodConfig):
        """Pereyra et al., 2017."""

        name: ClassVar[str] = "confidence-penalty"
        weight: float = 0.1

        def build(self, labels, num_classes, batch_size, generator=None):  # type: ignore[no-untyped-def]
            return ConfidencePenalty(self, labels, num_classes, batch_size, generator)

    class ConfidencePenalty(Method):
        def __init__(self, config: ConfidencePenaltyConfig, *rest: Any) -> None:
            super().__init__(*rest)
            self.weight = config.weight

        def loss(self, logits: Tensor, batch: Batch) -> Loss:
            p = logits.softmax(1)
            entropy = -(p * p.log()).sum(1).mean()
            return Loss(super().loss(logits, batch).total - self.weight * entropy)

    monkeypatch.setitem(CONFIGS, ConfidencePenaltyConfig.name, ConfidencePenaltyConfig)
    config = replace(BASE, method=ConfidencePenaltyConfig(weight=0.5))
    assert from_json(to_json(config)) == config
    result = train(config, device="cpu")
    plain = train(replace(BASE, method=CONFIGS["cross-entropy"]()), device="cpu")
    assert result is not None
    assert plain is not None
    assert result.metrics.test_ece.iloc[-1] != plain.metrics.test_ece.iloc[-1]


def test_extra_bytes_are_what_a_method_keeps() -> None:
    n, k, b, f = 600, 10, 32, 4
    of = {name: extra_bytes(ARMS[name], n, k, b) for name in ARMS}
    assert of[BASELINE] == of["label smoothing"] == of["CS-KD"] - 8 * (n + 2 * k) == 0
    assert of["DLB"] == f * k * b // 2 + 8 * b // 2 + 8
    assert of["Zipf"] == of["GCE"] == of["SCE"] == 0
    assert of["ELR"] == of["SELC"] - 8 == n * f * k  # and its epoch
    assert of["OLS"] == f * (2 * k * k + k)  # sums, counts, the hard table that it mixes
    bank = n * (f * k + 1 + 8 + 8)
    assert bank <= of["PS-KD"] <= bank + 16
    # and three constants of a step
    carry = b // 2 * (8 + f * k + 8) + 8 + 8 * b + f * k * b // 2 + 2
    assert of["TOAST"] == bank + carry + f * 2 * k * k + 8 * k + 8 + f


def test_runs_of_equal_shape_are_trained_as_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that cannot be are trained one by one, with a sentence."""
    jobs = plan([BASELINE, "TOAST", "CS-KD"], 2, BASE)
    done = dict(run_all(jobs, tmp_path / "one", device="cpu", workers=1, together=True))
    assert set(done) == set(jobs)
    said = [record.getMessage() for record in caplog.records]
    assert "2 runs are trained one by one: cs-kd is not among the methods that can" in said
    alone = dict(run_all(jobs, tmp_path / "alone", device="cpu", workers=1))
    for job, run in done.items():
        assert run.key == alone[job].key
        assert run.facts.get("together") == (None if job.arm == "CS-KD" else "2 from epoch 1")
        assert run.last["test_nll"] == pytest.approx(alone[job].last["test_nll"], rel=1e-4)
    again = dict(run_all(jobs, tmp_path / "one", device="cpu", workers=1, together=True))
    for job, run in done.items():
        assert again[job].folder.stat().st_mtime == run.folder.stat().st_mtime, "found"
