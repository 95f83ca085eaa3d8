"""Training dynamics against loops, and the bound that no standard deviation passes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toastlab.analysis.dynamics import (
    Dynamics,
    aum,
    confidence,
    correctness,
    data_map,
    el2n,
    forgetting,
    jaccard,
    precision_at_flipped,
    spearman,
    variability,
    variability_bound,
)


@given(arrays(np.float64, (6, 9), elements=st.floats(0, 1)))
@settings(max_examples=60, deadline=None)
def test_variability_stays_below_its_bound(p: np.ndarray) -> None:
    mean, spread = confidence(p), variability(p)
    assert bool((spread <= variability_bound(mean) + 1e-9).all())
    np.testing.assert_allclose(mean, p.mean(0))
    np.testing.assert_allclose(spread, p.std(0), atol=1e-12)


def test_the_bound_is_reached() -> None:
    p = np.array([[0.0], [0.0], [1.0]])
    assert variability(p)[0] == pytest.approx(float(variability_bound(1 / 3)))


def test_unseen_epochs_do_not_count() -> None:
    p = np.array([[np.nan, np.nan], [0.2, np.nan], [0.6, np.nan]])
    assert confidence(p)[0] == pytest.approx(0.4)
    assert variability(p)[0] == pytest.approx(0.2)
    assert np.isnan(confidence(p)[1])
    right = np.array([[True, True], [False, True], [True, True]])
    share = correctness(right, ~np.isnan(p))
    assert share[0] == 0.5
    assert np.isnan(share[1])


def test_forgetting() -> None:
    rows = ["10101", "11111", "00000", "00111", "11100"]
    right = np.array([[c == "1" for c in row] for row in rows]).T
    events, never = forgetting(right)
    assert events.tolist() == [2, 0, 0, 0, 1]
    assert never.tolist() == [False, False, True, False, False]
    known = np.ones_like(right)
    known[1, 0] = False  # a gap is neither right nor wrong
    assert forgetting(right, known)[0][0] == 1


def test_aum_and_el2n() -> None:
    random = np.random.default_rng(0)
    z, y = random.normal(size=(3, 7, 4)), random.integers(0, 4, 7)
    found, norm = aum(z, y), el2n(z[1], y)
    for i in range(7):
        margins = [z[e, i, y[i]] - max(z[e, i, c] for c in range(4) if c != y[i]) for e in range(3)]
        assert found[i] == pytest.approx(np.mean(margins))
        p = np.exp(z[1, i]) / np.exp(z[1, i]).sum()
        assert norm[i] == pytest.approx(np.sqrt(sum((p[c] - (c == y[i])) ** 2 for c in range(4))))


def test_agreement() -> None:
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert jaccard(a, b) == pytest.approx(1 / 3)
    assert jaccard(~a & a, ~a & a) == 1.0
    x = np.array([1.0, 2, 3, np.nan])
    assert spearman(x, np.array([10.0, 20, 15, 0])) == pytest.approx(0.5)
    assert np.isnan(spearman(x, np.ones(4)))
    score = np.array([0.9, 0.1, 0.8, np.nan])
    assert precision_at_flipped(score, a) == 0.5
    assert np.isnan(precision_at_flipped(score, np.zeros(4, bool)))


@pytest.mark.parametrize("with_logits", [True, False])
def test_data_map(with_logits: bool) -> None:
    random = np.random.default_rng(1)
    z = random.normal(size=(5, 8, 3)).astype(np.float16)
    y = np.arange(8) % 3
    p = np.exp(z) / np.exp(z).sum(2, keepdims=True)
    own = p[:, np.arange(8), y]
    clean = y.copy()
    clean[2] = (clean[2] + 1) % 3
    carried = random.integers(0, 2, (5, 8)).astype(np.uint8)
    d = Dynamics(own, z.argmax(2) == y, carried + 1, carried, y, clean, z if with_logits else None)
    frame = data_map(d)
    assert len(frame) == 8
    assert frame.flipped.tolist() == [i == 2 for i in range(8)]
    assert frame.carried.tolist() == carried.sum(0).tolist()
    assert frame.aum.isna().all() != with_logits
    np.testing.assert_allclose(frame.correctness, (z.argmax(2) == y).mean(0))
