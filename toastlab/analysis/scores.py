"""Scores of single samples beside those of `dynamics`: from one epoch's predictions, or from two
trainings; and what each score says, in one list.

Letters: E epochs, N samples, K classes; p = softmax(z), y the label, p_y its probability. Arrays
that do not belong together are a ValueError, other dtypes a TypeError.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toastlab.core.checks import BOOL, FLOAT, INT, check_arrays
from toastlab.core.errors import BadValue

Floats = NDArray[np.float64]
SMALLEST = 1e-6  # p_y that the confidence-weighted entropy divides by, at least
# How far a row of probabilities may be from summing to 1, by bytes of its numbers: what rounding
# to that type makes of it, and a little more
ROUNDING = {2: 2e-2, 4: 1e-3, 8: 1e-3, 16: 1e-3}


@dataclass(frozen=True)
class Score:
    """What a column of the table of `toastlab.analyse` says of a sample.

    Attributes:
        label: in words, for an axis or a list; source: who proposed it.
        sign: 1 where large values are suspicious (a label that may be wrong), -1 where small are.
    """

    label: str
    sign: int
    source: str


SCORES: dict[str, Score] = {
    "confidence": Score("mean probability of the label", -1, "Swayamdipta et al., 2020"),
    "variability": Score("its standard deviation", 1, "Swayamdipta et al., 2020"),
    "correctness": Score("share of epochs that were right", -1, "Swayamdipta et al., 2020"),
    "forgetting": Score("forgetting events", 1, "Toneva et al., 2019"),
    "aum": Score("area under the margin (AUM)", -1, "Pleiss et al., 2020"),
    "el2n_early": Score("EL2N, early", 1, "Paul et al., 2021"),
    "el2n": Score("EL2N, last epoch", 1, "Paul et al., 2021"),
    "margin": Score("normalised margin, last epoch", -1, "Northcutt et al., 2021"),
    "entropy": Score("confidence-weighted entropy, last epoch", 1, "Kuan and Mueller, 2022"),
    "p1p": Score("p (1 - p) of the mean probability", 1, "Chang et al., 2017"),
    "distance": Score("distance to the class's medoid", 1, "ours"),
    "carried": Score("times carried", 1, "ours"),
}


def margin(probabilities: np.ndarray, labels: np.ndarray) -> Floats:
    """Normalised margin [N], p_y minus the largest other probability, in [-1, 1].

    Northcutt, Jiang and Chuang, 2021 (confident learning). Args: probabilities [N, K], K at least
    2, rows that sum to 1; labels [N].

    Example:
        >>> margin(np.array([[0.7, 0.2, 0.1]]), np.array([1])).round(2)
        array([-0.5])
    """
    p = _checked(probabilities, labels)
    rows = np.arange(len(p))
    own = p[rows, labels]
    p[rows, labels] = -np.inf
    return np.asarray(own - p.max(1))


def weighted_entropy(probabilities: np.ndarray, labels: np.ndarray) -> Floats:
    """Confidence-weighted entropy [N]: H(p) / (log K p_y), at least 0; large is suspicious.

    Kuan and Mueller, 2022: the entropy as a share of its largest value, divided by the probability
    of the label (here at least 1e-6). It is large where the network is unsure, and larger where it
    holds the label for wrong.

    Args:
        probabilities: [N, K], K at least 2, rows that sum to 1; labels: [N].

    Example:
        >>> weighted_entropy(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0]))
        array([2., 0.])
    """
    p = _checked(probabilities, labels)
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(1).clip(max=0.0)
    own = p[np.arange(len(p)), labels].clip(min=SMALLEST)
    return np.asarray(np.abs(entropy) / (np.log(p.shape[1]) * own))


def p1p(mean: np.ndarray) -> Floats:
    """m (1 - m) [N] of the mean probability m of the label over the epochs (Chang et al., 2017).

    Their "threshold closeness": 0 where the network was sure on all epochs, whether right or
    wrong, and 1/4 where it could not decide.

    Example:
        >>> p1p(np.array([0.0, 0.5, 0.9])).round(2)
        array([0.  , 0.25, 0.09])
    """
    check_arrays(mean=(mean, FLOAT, "N"))
    m = mean.astype(np.float64)
    return np.asarray(np.clip(m * (1 - m), 0, None))


def medoid_distance(logits: np.ndarray, labels: np.ndarray, medoids: np.ndarray) -> Floats:
    """Euclidean distance [N] of a sample's logits to those of its class's medoid (ours).

    The medoids are TOAST's: of each class the correctly classified member that is nearest to all
    others, see `toastlab.medoids`.

    Args:
        logits: [N, K]; labels: [N]; medoids: [K] int64, a row of `logits` each, or -1: none.

    Returns:
        NaN for the samples of a class without a medoid.
    """
    check_arrays(
        logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"), medoids=(medoids, INT, "K")
    )
    check_range("labels", labels, 0, len(medoids))
    check_range("medoids", medoids, -1, len(logits))
    z, own = logits.astype(np.float64), medoids[labels]
    gaps = np.linalg.norm(z - z[own], axis=1) if len(z) else np.zeros(0)
    return np.where(own >= 0, gaps, np.nan)


def learning_time(correct: np.ndarray, known: np.ndarray | None = None) -> Floats:
    """The epoch [N], from 1 on, from which a sample is right until the end; NaN: it is not.

    "First-split learning time" of Maini et al., 2022, where a second training follows.

    Args:
        correct: [E, N] bool; known: [E, N] bool, records that exist (None: all); epochs without
            one count as wrong.

    Example:
        >>> learning_time(np.array([[True, False], [False, False], [True, False]]))
        array([ 3., nan])
    """
    known = np.ones_like(correct) if known is None else known
    check_arrays(correct=(correct, BOOL, "EN"), known=(known, BOOL, "EN"))
    run = np.logical_and.accumulate((correct & known)[::-1]).sum(0)  # right epochs at the end
    return np.where(run > 0, len(correct) - run + 1.0, np.nan)


def second_split_forgetting(correct: np.ndarray) -> Floats:
    """The epoch [N], from 1 on, of a second training from which a sample is wrong until the end.

    Maini et al., 2022: a network learns one half of the data, and is then trained on the other
    half alone. Samples of the first half with a wrong label are forgotten within few epochs; rare
    ones with a right label were learnt late, but are forgotten late as well.

    Args:
        correct: [E, N] bool, of the first half's samples after each epoch on the second half.

    Returns:
        E + 1 for a sample that is still right at the end.

    Example:
        >>> second_split_forgetting(np.array([[True, False], [False, True], [False, True]]))
        array([2., 4.])
    """
    check_arrays(correct=(correct, BOOL, "EN"))
    run = np.logical_and.accumulate(~correct[::-1]).sum(0)  # wrong epochs at the end
    return np.asarray(len(correct) - run + 1.0)


def check_range(what: str, values: np.ndarray, low: int, end: int) -> None:
    """Checks that whole numbers lie in low..end - 1.

    Raises:
        ValueError: they do not.
    """
    if values.size and not (values.min() >= low and values.max() < end):
        raise BadValue(
            f"{what} run from {values.min()} to {values.max()}, but must lie in {low}..{end - 1}."
        )


def check_probabilities(what: str, p: np.ndarray) -> None:
    """Checks rows [N, K] of probabilities: K at least 2, in [0, 1], each row sums to 1.

    Raises:
        ValueError: they are not.
    """
    if p.shape[1] < 2:
        raise BadValue(f"{what} are of {p.shape[1]} classes; a score needs two at least.")
    if not p.size:
        return
    room = ROUNDING[p.dtype.itemsize]
    total = p.sum(1, dtype=np.float64)
    # NaN is in no range
    if not (p.min() >= -room and p.max() <= 1 + room and np.abs(total - 1).max() <= room):
        bad = ~((p >= -room).all(1) & (p <= 1 + room).all(1) & (np.abs(total - 1) <= room))
        row = int(bad.argmax())
        raise BadValue(
            f"{what} of sample {row} run from {p[row].min():.4g} to {p[row].max():.4g} and sum to "
            f"{total[row]:.4g}; give numbers in [0, 1] that sum to 1."
        )


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> Floats:
    """Probabilities [N, K] as float64."""
    check_arrays(probabilities=(probabilities, FLOAT, "NK"), labels=(labels, INT, "N"))
    check_range("labels", labels, 0, probabilities.shape[1])
    check_probabilities("probabilities", probabilities)
    return np.asarray(probabilities.astype(np.float64).clip(0, 1))
