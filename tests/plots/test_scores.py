"""The picture of the study of scores: marks, groups, and what is said of them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from toastlab import plots

AUROC = pd.DataFrame(
    {"symmetric": [0.97, 0.6], "pairwise": [0.9, 0.7]}, index=["EL2N, early", "forgetting"]
)
PLANE = pd.DataFrame(
    [("symmetric", "wrong", 0.3, 0.7), ("symmetric", "rare", 0.5, 1.7)],
    columns=["noise", "group", "confidence", "forgetting"],
)


def place(mark: Line2D) -> tuple[float, float]:
    """Where a single mark stands."""
    x, y = (np.asarray(values, dtype=float)[0] for values in mark.get_data())
    return float(x), float(y)


def legend(axis: Axes) -> list[str]:
    """The texts of an axis's legend."""
    found = axis.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_a_mark_a_score_and_noise_and_a_mark_a_group() -> None:
    figure = plots.scores_view(AUROC, PLANE, "Found")
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == list(AUROC.index)
    assert left.get_ylim()[0] > left.get_ylim()[1]
    marks = [line for line in left.lines if line.get_marker() in ("o", "s")]
    places = sorted(place(m)[::-1] for m in marks)
    assert places == [(0.0, 0.9), (0.0, 0.97), (1.0, 0.6), (1.0, 0.7)]
    assert len({m.get_color() for m in marks}) == 2
    seen = [place(m) for m in right.lines]
    assert seen == [(0.3, 0.7), (0.5, 1.7)]
    assert right.lines[0].get_color() != right.lines[1].get_color()
    assert legend(right) == ["wrong", "rare", "other"]
    assert legend(left) == ["symmetric", "pairwise"]
    assert figure.alt == (
        "Found. AUROC under noise symmetric, pairwise: EL2N, early 0.97, 0.90; forgetting 0.60, "
        "0.70. Confidence and forgetting events: wrong, symmetric: 0.30 and 0.70; rare, symmetric: "
        "0.50 and 1.70."
    )
