"""Where stage 1 ends: a network that fits its own softened target, in closed form (ours).

Stage 1 in our reading [R] trains the samples of a class on t = (1 - a) e + a q, and q comes from
the logits of one of them, the medoid, at temperature T. Suppose that the network fits this target
and that the other K - 1 classes share equally what is left. With p, its probability of the right
class, the next target gives that class

    g(p) = 1 - a + a q(p; T),   q(p; T) = p^(1/T) / (p^(1/T) + (K - 1) ((1 - p) / (K - 1))^(1/T))

and so it goes on, p <- g(p). Where it ends, p = g(p):

    T <= 1   p = 1. The softening makes itself disappear: at T = 1 the distance to 1 shrinks by
             the factor a with each new medoid, below T = 1 faster.
    T > 1    one p between 1/K and 1. Every start in there comes to it; p = 1 is a fixed point too,
             but an unstable one, since the slope of g grows without bound there.

This holds from p >= 1/K on, which a medoid has: it is classified rightly, so that no other class is
more probable. Not for a = 1: then nothing holds to the label, and at T = 1 every p stays.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from toastlab.core.errors import in_range

Floats = NDArray[np.float64]


def softened(p: float | np.ndarray, temperature: float, num_classes: int) -> Floats:
    """q(p; T): what the right class keeps when the logits behind `p` are divided by T.

    Args:
        p: probabilities of the right class in [0, 1], of any shape; the other classes share the
            rest equally.
        temperature: T > 0, above 1 softer.
        num_classes: K, at least 2.

    Returns:
        Probabilities in the shape of `p`.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> round(float(softened(0.9, 2.0, 10)), 2)
        0.5
    """
    _check(temperature, num_classes)
    values = np.asarray(p, dtype=np.float64)
    for end in (values.min(initial=0.0), values.max(initial=1.0)):
        in_range("probability", float(end), 0, 1)
    # with u, the gap between the right logit and the others', p = expit(u - log(K - 1))
    others = np.log(num_classes - 1)
    return np.asarray(expit((logit(values) + others) / temperature - others))


def fixed_point(weight: float, temperature: float, num_classes: int) -> float:
    """Where p <- 1 - a + a q(p; T) ends from any start in [1/K, 1): the one stable fixed point.

    Args:
        weight: a in [0, 1).
        temperature: T_m > 0.
        num_classes: K, at least 2.

    Returns:
        p in (1/K, 1]; 1 for T_m <= 1 and for a = 0, elsewhere only by rounding.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> round(fixed_point(0.3, 2.0, 10), 2), fixed_point(0.3, 1.0, 10)
        (0.83, 1.0)
    """
    _check(temperature, num_classes)
    in_range("medoid weight", weight, 0, 1, open_high=True)
    if weight == 0 or temperature <= 1:
        return 1.0
    others, share = float(np.log(num_classes - 1)), float(np.log(weight))

    def missing(gap: float) -> float:
        """log a (1 - q) - log (1 - p) at this gap u of logits: below 0 under the fixed point."""
        now, soft = np.logaddexp(gap, others), np.logaddexp(gap / temperature, others)
        return float(now + share - soft)

    # there it is above 0, whichever of the two terms in the last logarithm is the larger
    highest = (others + np.log(2) - share) / (1 - 1 / temperature) + 1
    return float(expit(brentq(missing, 0.0, highest, xtol=1e-12) - others))


def fixed_points(
    weights: Sequence[float] | np.ndarray, temperatures: Sequence[float], num_classes: int
) -> pd.DataFrame:
    """`fixed_point` over a grid, as `plots.fixed_point_view` draws it.

    Returns:
        One row each with weight, temperature and p.
    """
    rows: list[dict[str, Any]] = [
        {"weight": float(a), "temperature": float(t), "p": fixed_point(float(a), t, num_classes)}
        for t in temperatures
        for a in weights
    ]
    return pd.DataFrame(rows, columns=["weight", "temperature", "p"])


def _check(temperature: float, num_classes: int) -> None:
    in_range("medoid temperature", temperature, 0, open_low=True, open_high=True)
    in_range("number of classes", num_classes, 2)
