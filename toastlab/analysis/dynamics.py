"""Training dynamics: what an epoch-by-epoch history says of each sample.

Letters: E epochs, N samples, K classes. A sample without a record in an epoch has probability NaN;
it then counts neither as right nor as wrong. Arrays that do not belong together are a ValueError,
other dtypes a TypeError.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from toastlab.core.checks import BOOL, FLOAT, INT, REAL, check_arrays
from toastlab.core.errors import BadValue
from toastlab.data.ids import as_ids

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Dynamics:
    """The history of a training split.

    Attributes:
        probability: [E, N] float, true-class probability as last seen; NaN before the first visit.
        correct: [E, N] bool.
        visits: [E, N] int, visits within the epoch; 0 means that the record is an older one.
        carried: [E, N] int, carried visits among them.
        labels: [N] int64, trained on; clean_labels: [N] int64, as the source has them.
        logits: [E, N, K] float16, or None.
        ids: [N] int64 or str, see `toastlab.data.ids`; None where they are not known, as in runs of
            earlier versions.
    """

    probability: np.ndarray
    correct: np.ndarray
    visits: np.ndarray
    carried: np.ndarray
    labels: np.ndarray
    clean_labels: np.ndarray
    logits: np.ndarray | None = None
    ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        logits = {} if self.logits is None else {"logits": (self.logits, FLOAT, "ENK")}
        check_arrays(
            probability=(self.probability, FLOAT, "EN"),
            correct=(self.correct, BOOL, "EN"),
            visits=(self.visits, INT, "EN"),
            carried=(self.carried, INT, "EN"),
            labels=(self.labels, INT, "N"),
            clean_labels=(self.clean_labels, INT, "N"),
            **logits,
        )
        if self.ids is not None:
            object.__setattr__(self, "ids", as_ids(self.ids, len(self.labels)))

    @property
    def flipped(self) -> Bools:
        """[N] bool: the label is not the clean one."""
        return np.asarray(self.labels != self.clean_labels)


def confidence(probability: np.ndarray) -> Floats:
    """Mean true-class probability [N] over the epochs [E, N] (Swayamdipta et al., 2020)."""
    return _moments(probability)[0]


def variability(probability: np.ndarray) -> Floats:
    """Population standard deviation [N] of the true-class probability [E, N] (same source)."""
    return _moments(probability)[1]


def _moments(probability: np.ndarray) -> tuple[Floats, Floats]:
    check_arrays(probability=(probability, FLOAT, "EN"))
    p = probability.astype(np.float64)
    known = ~np.isnan(p)
    count = np.where(known.any(0), known.sum(0), np.nan)
    mean = np.where(known, p, 0).sum(0) / count
    gap = np.where(known, p - mean, 0)
    return mean, np.sqrt((gap**2).sum(0) / count)


def variability_bound(mean: np.ndarray | float) -> Floats:
    """Largest standard deviation of values in [0, 1] with that mean: sqrt(m (1 - m))."""
    m = np.asarray(mean, dtype=np.float64)
    return np.asarray(np.sqrt(np.clip(m * (1 - m), 0, None)))


def correctness(correct: np.ndarray, known: np.ndarray | None = None) -> Floats:
    """Share of epochs [N] in which the sample was right; `known` [E, N] bool marks its records."""
    known = np.ones_like(correct) if known is None else known
    check_arrays(correct=(correct, BOOL, "EN"), known=(known, BOOL, "EN"))
    count = np.where(known.any(0), known.sum(0), np.nan)
    return np.asarray((correct & known).sum(0) / count)


def forgetting(
    correct: np.ndarray, known: np.ndarray | None = None
) -> tuple[NDArray[np.int64], Bools]:
    """Forgetting events and never-learnt samples (Toneva et al., 2019).

    Args:
        correct: [E, N] bool; known: [E, N] bool, records that exist (None: all).

    Returns:
        events [N]: how often a sample was right at one record and wrong at the next; never [N]
        bool: it was never right. The two are kept apart: such a sample has 0 events.
    """
    known = np.ones_like(correct) if known is None else known
    check_arrays(correct=(correct, BOOL, "EN"), known=(known, BOOL, "EN"))
    lost = (correct[:-1] & ~correct[1:] & known[:-1] & known[1:]).sum(0)
    return lost.astype(np.int64), ~(correct & known).any(0)


def aum(logits: np.ndarray, labels: np.ndarray, known: np.ndarray | None = None) -> Floats:
    """Area under the margin [N]: mean over epochs of z_y minus the largest other logit.

    Pleiss et al., 2020. Args: logits [E, N, K], E at least 1, K at least 2; labels [N] in 0..K-1;
    known [E, N] bool, the epochs that count (None: all); a sample without any has NaN.
    """
    check_arrays(logits=(logits, FLOAT, "ENK"), labels=(labels, INT, "N"))
    known = np.ones(logits.shape[:2], dtype=bool) if known is None else known
    check_arrays(logits=(logits, FLOAT, "ENK"), known=(known, BOOL, "EN"))
    _check_labels(labels, logits.shape[2])
    if len(logits) < 1 or logits.shape[2] < 2:
        raise BadValue(
            f"a margin needs an epoch and two classes; these are logits {list(logits.shape)}, "
            "[E, N, K]."
        )
    rows = np.arange(logits.shape[1])
    margins = np.empty(logits.shape[:2])
    for margin, of_epoch in zip(margins, logits, strict=True):  # one epoch in float64 at a time
        z = of_epoch.astype(np.float64)
        own = z[rows, labels]
        z[rows, labels] = -np.inf
        margin[:] = own - z.max(1)
    if known.all():
        return np.asarray(margins.mean(0))
    count = np.where(known.any(0), known.sum(0), np.nan)
    return np.asarray(np.where(known, margins, 0).sum(0) / count)


def el2n(logits: np.ndarray, labels: np.ndarray) -> Floats:
    """||p - e_y|| [N] at one epoch (Paul et al., 2021). Args: logits [N, K]; labels [N]."""
    check_arrays(logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"))
    _check_labels(labels, logits.shape[1])
    p = softmax(logits.astype(np.float64), axis=1)
    p[np.arange(len(labels)), labels] -= 1
    return np.asarray(np.linalg.norm(p, axis=1))


def _check_labels(labels: np.ndarray, num_classes: int) -> None:
    if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
        raise BadValue(
            f"labels run from {labels.min()} to {labels.max()}, but must lie in "
            f"0..{num_classes - 1}."
        )


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two sets given as bool [N]: |a and b| / |a or b|; 1 for two empty sets."""
    check_arrays(a=(a, BOOL, "N"), b=(b, BOOL, "N"))
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two scores [N] over the samples that have both; NaN if one is flat."""
    check_arrays(a=(a, REAL, "N"), b=(b, REAL, "N"))
    known = ~(np.isnan(a) | np.isnan(b))
    if known.sum() < 2 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return float("nan")
    from scipy.stats import spearmanr  # a second to import

    return float(spearmanr(a[known], b[known]).statistic)


def precision_at_flipped(score: np.ndarray, flipped: np.ndarray) -> float:
    """Share of flipped labels among the top sum(flipped) samples [N] by score; chance is their
    share of all. NaN where no label was flipped."""
    check_arrays(score=(score, REAL, "N"), flipped=(flipped, BOOL, "N"))
    count = int(flipped.sum())
    if not count:
        return float("nan")
    top = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")[:count]
    return float(flipped[top].mean())


def data_map(dynamics: Dynamics) -> pd.DataFrame:
    """One row per sample: id, labels, flipped, and every measure of this file.

    The index, "sample", is the row of the training split. "id" leads back to the user's own data:
    the row of their array, or the file (None where the dynamics do not know it).
    """
    known = ~np.isnan(dynamics.probability)
    mean, deviation = _moments(dynamics.probability)
    events, never = forgetting(dynamics.correct, known)
    missing = np.full(len(dynamics.labels), np.nan)
    ids = np.full(len(missing), None) if dynamics.ids is None else dynamics.ids
    has = dynamics.logits is not None and len(dynamics.logits) > 0 and dynamics.logits.shape[2] > 1
    return pd.DataFrame(
        {
            "id": pd.Series(ids, dtype=ids.dtype),  # as it is: a name of a file may be no UTF-8
            "label": dynamics.labels,
            "clean_label": dynamics.clean_labels,
            "flipped": dynamics.flipped,
            "confidence": mean,
            "variability": deviation,
            "correctness": correctness(dynamics.correct, known),
            "forgetting": events,
            "never_learnt": never,
            "aum": aum(dynamics.logits, dynamics.labels) if has else missing,  # type: ignore[arg-type]
            "carried": dynamics.carried.sum(0, dtype=np.int64),
        }
    ).rename_axis("sample")
