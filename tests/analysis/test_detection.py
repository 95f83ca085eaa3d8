"""How well a score finds wrong labels: by hand, and by counting pairs."""

import numpy as np
import pytest

from toastlab.analysis.detection import DETECTION, detection


def test_by_hand() -> None:
    score = np.array([9.0, 8.0, 7.0, 6.0, 5.0])
    wrong = np.array([True, False, True, False, False])
    found = detection(score, wrong)
    assert list(found) == list(DETECTION)
    assert found["auroc"] == pytest.approx(5 / 6)  # of 2 x 3 pairs one is the wrong way round
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["miss_rate"] == pytest.approx(0.5)  # the first two hold one of the two


def test_against_pairs() -> None:
    g = np.random.default_rng(0)
    for _ in range(20):
        score, wrong = g.integers(0, 6, 30).astype(float), g.random(30) < 0.3
        score[g.random(30) < 0.1] = np.nan
        known = np.where(np.isnan(score), -1, score)
        pairs = [(a > b) + 0.5 * (a == b) for a in known[wrong] for b in known[~wrong]]
        assert detection(score, wrong)["auroc"] == pytest.approx(np.mean(pairs))


def test_only_the_order_matters() -> None:
    g = np.random.default_rng(1)
    score, wrong = g.normal(size=50), g.random(50) < 0.3
    plain = detection(score, wrong)
    assert detection(np.exp(score), wrong) == plain
    assert detection(np.where(score > 1, np.inf, score), wrong)["auroc"] > 0
    turned = detection(-score, wrong)
    assert turned["auroc"] == pytest.approx(1 - plain["auroc"])


def test_perfect_chance_and_nothing_to_find() -> None:
    wrong = np.arange(10) < 3
    best = detection(-np.arange(10.0), wrong)
    assert best == {"auroc": 1.0, "average_precision": 1.0, "miss_rate": 0.0}
    flat = detection(np.zeros(10), wrong)
    assert flat["auroc"] == 0.5
    assert flat["average_precision"] == pytest.approx(0.3)
    for every in (np.zeros(10, bool), np.ones(10, bool)):
        assert np.isnan(list(detection(np.arange(10.0), every).values())).all()


def test_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="shapes do not belong together"):
        detection(np.zeros(3), np.zeros(4, bool))
    with pytest.raises(TypeError, match="wrong: int64"):
        detection(np.zeros(3), np.zeros(3, int))
