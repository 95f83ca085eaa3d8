"""How well a score finds the labels that are known to be wrong.

Letters: N samples. Arrays that do not belong together are a ValueError, other dtypes a TypeError.
"""

import numpy as np

from toastlab.analysis.dynamics import precision_at_flipped
from toastlab.core.checks import BOOL, REAL, check_arrays

DETECTION = ("auroc", "average_precision", "miss_rate")


def detection(score: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """How well a score finds wrong labels; only the order of its values matters.

    Example:
        >>> found = detection(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, False, True, False]))
        >>> found["auroc"], found["miss_rate"]
        (0.75, 0.5)

    Args:
        score: [N], large where a label is doubtful; NaN counts as less doubtful than all.
        wrong: [N] bool, labels that are known to be wrong.

    Returns:
        Three numbers by their names.

        - `auroc`: how often a wrong label has a larger score than a right one, of all such pairs
          (equal scores count half); 0.5 by chance.
        - `average_precision`: the mean precision over the wrong labels, from the top of the list
          down to each; their share of all by chance.
        - `miss_rate`: who looks at as many labels as are wrong, the most doubtful ones, misses
          this share of the wrong ones (the true budget).

        All NaN where no label is wrong, or all are.
    """
    check_arrays(score=(score, REAL, "N"), wrong=(wrong, BOOL, "N"))
    if wrong.all() or not wrong.any():
        return dict.fromkeys(DETECTION, float("nan"))
    from sklearn.metrics import average_precision_score, roc_auc_score  # here: it takes a second

    values = score.astype(np.float64)
    known = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    places = np.unique(known, return_inverse=True)[1]  # infinities have an order too
    return {
        "auroc": float(roc_auc_score(wrong, places)),
        "average_precision": float(average_precision_score(wrong, places)),
        "miss_rate": 1.0 - precision_at_flipped(values, wrong),
    }
