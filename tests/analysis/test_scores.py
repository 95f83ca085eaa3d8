"""Each score against numbers worked out by hand, its range, and an independent oracle."""

import math

import numpy as np
import pytest

from toastlab.analysis.scores import (
    SCORES,
    check_probabilities,
    learning_time,
    margin,
    medoid_distance,
    p1p,
    second_split_forgetting,
    weighted_entropy,
)

HAND = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
LABELS = np.array([0, 2, 1])


def random_probabilities(n: int = 200, k: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(seed)
    return g.dirichlet(np.full(k, 0.4), n), g.integers(0, k, n)


def test_margin_by_hand() -> None:
    np.testing.assert_allclose(margin(HAND, LABELS), [0.5, -0.3, -0.25])


def test_weighted_entropy_by_hand() -> None:
    entropies = [-sum(x * math.log(x) for x in row) for row in HAND.tolist()]
    own = [0.7, 0.3, 0.25]
    wanted = [h / math.log(3) / p for h, p in zip(entropies, own, strict=True)]
    np.testing.assert_allclose(weighted_entropy(HAND, LABELS), wanted)
    sure = np.eye(3)
    np.testing.assert_array_equal(weighted_entropy(sure, np.array([0, 1, 2])), np.zeros(3))
    # sure of another class: H is 0, whatever the label
    np.testing.assert_array_equal(weighted_entropy(sure, np.array([1, 2, 0])), np.zeros(3))
    # nearly sure of another class: H is about e (1 - log e), divided by e
    e = 1e-4
    near = np.array([[1 - e, e]])
    found = weighted_entropy(near, np.array([1]))[0] * math.log(2)
    assert found == pytest.approx(1 - math.log(e), rel=1e-3)


def test_p1p_by_hand() -> None:
    np.testing.assert_allclose(p1p(np.array([0.0, 0.2, 0.5, 1.0])), [0, 0.16, 0.25, 0])


def test_distance_by_hand() -> None:
    z = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0], [1.0, 1.0]], dtype=np.float16)
    found = medoid_distance(z, np.array([0, 0, 0, 1]), np.array([0, -1]))
    np.testing.assert_allclose(found[:3], [0, 5, 3])
    assert np.isnan(found[3]), "class 1 has no medoid"


def test_learning_and_forgetting_times_by_hand() -> None:
    rows = ["11111", "00000", "00111", "11011", "11110"]
    right = np.array([[c == "1" for c in row] for row in rows]).T
    np.testing.assert_array_equal(learning_time(right), [1, np.nan, 3, 4, np.nan])
    np.testing.assert_array_equal(second_split_forgetting(right), [6, 1, 6, 6, 5])
    known = np.ones_like(right)
    known[4] = False  # nothing is known of the last epoch
    assert np.isnan(learning_time(right, known)).all()


def test_against_the_published_formula() -> None:
    """Kuan and Mueller's own text: entropy as a share of log K, over the self-confidence; and the
    margin of confident learning."""
    p, y = random_probabilities()
    for i in range(len(y)):
        others = [p[i, c] for c in range(5) if c != y[i]]
        assert margin(p, y)[i] == pytest.approx(p[i, y[i]] - max(others))
        if p[i, y[i]] > 1e-6:
            share = -sum(x * math.log(x) for x in p[i] if x > 0) / math.log(5)
            assert weighted_entropy(p, y)[i] == pytest.approx(share / p[i, y[i]])


def test_the_order_is_that_of_cleanlab() -> None:
    """An independent oracle, where it is installed (AGPL: never a dependency)."""
    rank = pytest.importorskip("cleanlab.rank")
    p, y = random_probabilities()
    p = 0.9 * p + 0.02  # away from 0, where it clips
    for name, found, sign in (
        ("normalized_margin", margin(p, y), 1),
        ("confidence_weighted_entropy", weighted_entropy(p, y), -1),
    ):
        theirs = rank.get_label_quality_scores(y, p, method=name)
        np.testing.assert_array_equal(np.argsort(theirs), np.argsort(sign * found), err_msg=name)


def test_ranges() -> None:
    p, y = random_probabilities()
    assert bool((np.abs(margin(p, y)) <= 1).all())
    assert bool((weighted_entropy(p, y) >= 0).all())
    assert bool((p1p(p[:, 0]) <= 0.25).all())


def test_every_score_says_who_proposed_it() -> None:
    for name, score in SCORES.items():
        assert score.sign in (-1, 1), name
        assert score.source == "ours" or score.source[-4:].isdigit(), name


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (np.array([[0.5, 0.2]]), "sum to 0.7"),
        (np.array([[1.5, -0.5]]), "run from -0.5 to 1.5"),
        (np.array([[np.nan, 1.0]]), "run from nan"),
        (np.array([[1.0]]), "of 1 classes"),
    ],
)
def test_what_is_no_probability(p: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_probabilities("probabilities", p)
    with pytest.raises(ValueError, match=said):
        margin(p, np.array([0]))


def test_rounded_probabilities_are_taken() -> None:
    p, y = random_probabilities()
    half = p.astype(np.float16)
    np.testing.assert_allclose(margin(half, y), margin(p, y), atol=1e-3)


def test_labels_and_medoids_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"labels run from 3 to 3.* 0\.\.2"):
        margin(HAND[:1], np.array([3]))
    with pytest.raises(ValueError, match="medoids run from 0 to 9"):
        medoid_distance(np.zeros((2, 2)), np.array([0, 1]), np.array([0, 9]))
