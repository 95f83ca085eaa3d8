"""The picture of the study of scores: marks, groups, and what is said of them."""

import pandas as pd

from toastlab import plots

AUROC = pd.DataFrame(
    {"symmetric": [0.97, 0.6], "pairwise": [0.9, 0.7]}, index=["EL2N, early", "forgetting"]
)
PLANE = pd.DataFrame(
    [("symmetric", "wrong", 0.3, 0.7), ("symmetric", "rare", 0.5, 1.7)],
    columns=["noise", "group", "confidence", "forgetting"],
)


def test_a_mark_a_score_and_noise_and_a_mark_a_group() -> None:
    figure = plots.scores_view(AUROC, PLANE, "Found")
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == list(AUROC.index)
    assert left.get_ylim()[0] > left.get_ylim()[1]
    marks = [line for line in left.lines if line.get_marker() in ("o", "s")]
    places = sorted((float(m.get_ydata()[0]), float(m.get_xdata()[0])) for m in marks)
    assert places == [(0.0, 0.9), (0.0, 0.97), (1.0, 0.6), (1.0, 0.7)]
    assert len({m.get_color() for m in marks}) == 2
    seen = [(float(m.get_xdata()[0]), float(m.get_ydata()[0])) for m in right.lines]
    assert seen == [(0.3, 0.7), (0.5, 1.7)]
    assert right.lines[0].get_color() != right.lines[1].get_color()
    assert [t.get_text() for t in right.get_legend().get_texts()] == ["wrong", "rare", "other"]
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["symmetric", "pairwise"]
    assert figure.alt == (
        "Found. AUROC under noise symmetric, pairwise: EL2N, early 0.97, 0.90; forgetting 0.60, "
        "0.70. Confidence and forgetting events: wrong, symmetric: 0.30 and 0.70; rare, symmetric: "
        "0.50 and 1.70."
    )
