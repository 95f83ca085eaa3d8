"""The study of scores: folds, second-split forgetting, both tables on small data, and the page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers import tiny
from toastlab.analysis.scores import SCORES
from toastlab.analysis.statistics import BASELINE, interval
from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig, Dataset
from toastlab.data.splits import DiskSplit, Split
from toastlab.studies import scores, scores_page
from toastlab.studies.catalogue import STUDIES, ScoresOptions
from toastlab.studies.scores import IN, OUT, PLANE, ROWS, SECOND, Setting, fold_of
from toastlab.studies.second_split import parts, second_split
from toastlab.training.config import TrainConfig

STUDY = STUDIES["scores"]
FEW = ScoresOptions(
    noises=("symmetric", "feature-dependent"), methods=("cross-entropy", "toast"), folds=2, seeds=1
)


def test_parts_are_even_and_of_all_classes() -> None:
    labels = np.arange(103) % 4
    part = parts(labels, 5, 0)
    assert set(part) == set(range(5))
    for c in range(4):
        counts = np.bincount(part[labels == c], minlength=5)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(part, parts(labels, 5, 0))
    assert (part != parts(labels, 5, 1)).any()


def test_folds_hold_out_each_sample_once() -> None:
    data = tiny(64, 4)
    seen: list[int] = []
    for fold in range(3):
        one = fold_of(data, fold, 3, 0)
        train, test = one.train.ids.tolist(), one.test.ids.tolist()
        assert not set(train) & set(test)
        assert sorted(train + test) == list(range(64))
        assert torch.equal(one.test.images_at(torch.arange(1)), _image(data, test[0]))
        assert one.val is data.val
        seen += test
    assert sorted(seen) == list(range(64))
    names = {fold_of(data, f, n, s).fingerprint for f, n, s in ((0, 3, 0), (1, 3, 0), (0, 4, 0))}
    assert len({*names, fold_of(data, 0, 3, 1).fingerprint, data.fingerprint}) == 5


def _image(data: Dataset, row: int) -> torch.Tensor:
    return data.train.images_at(torch.tensor([row]))


def test_images_on_disk_have_no_folds() -> None:
    data = tiny()
    labels = data.train.labels
    disk = DiskSplit(tuple(map(Path, "a" * 64)), labels, labels, 8, True, 0)
    with pytest.raises(DataError, match="stream=False"):
        fold_of(replace(data, train=disk), 0, 2, 0)
    with pytest.raises(TypeError, match="stream=False"):
        second_split(replace(data, train=disk), TrainConfig(epochs=1))


def test_wrong_labels_are_forgotten_first() -> None:
    data = tiny(240, 4)
    assert isinstance(data.train, Split)
    labels = data.train.labels.clone()
    labels[:24] = (labels[:24] + 1) % 4
    data = replace(data, train=replace(data.train, labels=labels))
    config = TrainConfig(epochs=12, batch_size=16, learning_rate=0.02)
    forgotten = second_split(data, config)
    assert forgotten.shape == (240,)
    assert forgotten.min() >= 1
    assert forgotten.max() <= 13
    assert np.mean(forgotten[:24]) < np.mean(forgotten[24:]) - 3
    np.testing.assert_array_equal(forgotten, second_split(data, config))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The study on 200 digits for two epochs."""
    folder = tmp_path_factory.mktemp("scores")
    base = TrainConfig(
        data=DataConfig(name="digits", per_class=20),
        epochs=2,
        batch_size=32,
        budget="samples",
        record="none",
        evaluate_every=2,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "BASE", base)
        seen = list(STUDY.run(FEW, folder / "runs", folder / "out", workers=1))
        shown = STUDY.results(FEW, folder / "out")
    return folder, base, seen, shown


def test_both_tables(made: Any) -> None:
    folder, _, seen, shown = made
    rows, plane = (pd.read_csv(folder / "out" / f"{name}.csv") for name in ("rows", "plane"))
    assert list(rows) == list(ROWS)
    assert list(plane) == list(PLANE)
    assert {p.text.split(":")[0] for p in seen} == {IN, OUT, "two halves"}
    assert seen[-1].done == seen[-1].total == 2
    groups = rows.groupby(["noise", "method", "sample"]).score.agg(set).to_dict()
    for noise in FEW.noises:
        inside = groups[noise, BASELINE, IN]
        assert inside == set(SCORES) - {"carried"} | {SECOND}
        assert groups[noise, "TOAST", IN] >= inside - {SECOND}
        for method in (BASELINE, "TOAST"):
            assert groups[noise, method, OUT] == set(scores.OF_ONE_EPOCH)
    for name in ("auroc", "average_precision", "miss_rate", "auroc_rare"):
        assert rows[name].between(0, 1).all(), name
    assert not rows.duplicated(["noise", "method", "sample", "score", "seed"]).any()
    counts = plane.set_index(["noise", "group"]).samples
    for noise in FEW.noises:
        assert counts[noise].to_dict() == {"wrong": 40, "rare": 16, "other": 144}
    (title, table), *_ = shown
    assert "best" in title
    assert len(table) == 20


def test_what_was_trained_is_not_trained_again(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, base, _, _ = made
    monkeypatch.setattr(scores, "BASE", base)
    before = {p.name for p in (folder / "runs").iterdir()}
    list(STUDY.run(FEW, folder / "runs", folder / "again", workers=1))
    assert {p.name for p in (folder / "runs").iterdir()} == before
    # in-sample 2 x 2, and two folds of these and of the clean labels
    assert len(before) == 4 + 2 * 5
    for name in ("rows", "plane"):
        old, new = (pd.read_csv(folder / out / f"{name}.csv") for out in ("out", "again"))
        pd.testing.assert_frame_equal(old, new)


def test_stored_rows_are_held_to_settings_and_data(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, base, _, _ = made
    monkeypatch.setattr(scores, "BASE", base)
    monkeypatch.setattr(scores, "ScoresOptions", lambda: FEW)
    monkeypatch.setattr(scores, "table_file", lambda which: folder / "out" / f"{which}.csv")
    monkeypatch.setattr(scores_page, "table_file", lambda which: folder / "out" / f"{which}.csv")
    assert len(scores.load("rows")) > 20
    assert len(scores.load("plane")) == 6
    page = scores_page.page()
    assert "not been run" not in page
    for heading in ("Which score to use", "20 % symmetric noise", "Rare or wrong?"):
        assert f"## {heading}" in page
    monkeypatch.setattr(scores, "BASE", replace(base, learning_rate=0.07))
    with pytest.raises(DataError, match="no longer match"):
        scores.load("rows")


def test_rare_are_the_least_sure_of_the_right_ones() -> None:
    clean = np.zeros(40, dtype=np.int64)
    logits = np.stack([np.arange(40.0), np.zeros(40)], 1)
    wrong = np.arange(40) < 20
    rare = scores._rare((logits, "key"), clean, wrong)
    assert np.flatnonzero(rare).tolist() == [20, 21]
    assert not scores._rare(None, clean, wrong).any()


def made_up(seeds: int = 4) -> pd.DataFrame:
    """AUM better than all others with cross-entropy; TOAST better still."""
    random = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for method, sample, score, level in (
            (BASELINE, IN, "aum", 0.96),
            (BASELINE, IN, "confidence", 0.9),
            ("TOAST", IN, "aum", 0.98),
            (BASELINE, OUT, "margin", 0.94),
            ("TOAST", OUT, "margin", 0.94),
        ):
            value = level + random.normal(0, 0.001)
            at = {"noise": "symmetric", "rate": 0.2, "method": method, "sample": sample}
            measures = {"auroc": value, "average_precision": value - 0.1, "miss_rate": 1 - value}
            rows.append({**at, "score": score, "seed": seed, **measures, "auroc_rare": value - 0.2})
    return pd.DataFrame(rows).assign(run="")


def test_means_and_gains() -> None:
    rows = made_up()
    means = scores_page.summary(rows)
    aum = means[(means.method == BASELINE) & (means.score == "aum")].iloc[0]
    values = rows[(rows.method == BASELINE) & (rows.score == "aum")].auroc.tolist()
    assert (aum.auroc, aum.auroc_low, aum.auroc_high) == pytest.approx(interval(values))
    assert aum.seeds == 4
    found = scores_page.gains(rows).set_index("sample")
    assert found.loc[IN, "verdict"] == "better"
    assert found.loc[IN, "gain"] == pytest.approx(0.02, abs=0.003)
    assert found.loc[OUT, "verdict"] == "within seed noise"


def test_a_score_a_row_and_a_noise_a_column() -> None:
    rows = made_up()
    wide = scores_page.by_noise(rows)
    assert list(wide.columns) == list(dict.fromkeys(rows.noise))
    assert wide[wide.columns[0]].is_monotonic_decreasing
    part = rows[(rows.method == BASELINE) & (rows["sample"] == IN) & (rows.score == "aum")]
    expected = part.groupby("noise").auroc.mean()
    for noise, value in expected.items():
        assert wide[noise][scores_page.LABELS["aum"]] == pytest.approx(value)


@pytest.mark.parametrize(("shift", "said"), [(0.0, "reaches it"), (-0.1, "does not reach it")])
def test_the_page_says_what_came_out(shift: float, said: str) -> None:
    rows = made_up()
    rows[["auroc", "auroc_rare"]] += shift
    plane = pd.DataFrame([("symmetric", 0.2, 0, "wrong", 9, 0.1, 0.5, 2.0)], columns=list(PLANE))
    text = "\n".join(scores_page._lines(rows, plane))
    assert said in " ".join(text.split())
    assert "largest mean AUROC: in-sample area under the margin (AUM), 0." in " ".join(text.split())
    assert "| 20 % symmetric | in-sample | TOAST | +0.02" in text
    assert "| 20 % symmetric | wrong | 0.1 | 0.5 | 2.0 |" in text


def test_before_it_is_run_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores_page, "table_file", lambda which: Path("nothing.csv"))
    assert "The study has not been run yet" in scores_page.page()


def test_settings_have_their_own_flips_and_seeds() -> None:
    every = scores.settings(ScoresOptions(seeds=2))
    assert len(every) == len(set(every)) == 6
    config = Setting("pairwise", 0.2, 3).config("TOAST")
    assert (config.data.noise, config.data.noise_seed, config.seed) == ("pairwise", 3, 3)
    assert config.record == "logits"
    assert Setting("pairwise", 0.2, 3).config("TOAST", folds=True).record == "none"
    with pytest.raises(ValueError, match="no noise is given"):
        ScoresOptions(noises=())
    with pytest.raises(ValueError, match=r"rates is 0\.0"):
        ScoresOptions(rates=(0.0,))
