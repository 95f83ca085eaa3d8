"""All methods on the regime map: bars and points are where the numbers say, and words agree."""

import numpy as np
import pandas as pd

from toastlab import plots

COUNTS = pd.DataFrame(
    [
        ("test_top1", "one", 10, 4, 1),
        ("test_top1", "two", 0, 0, 0),
        ("test_nll", "one", 20, 45, 30),
        ("test_nll", "two", 3, 0, 0),
    ],
    columns=["measure", "method", "better", "worse", "worse_holm"],
)


def test_counts_are_bars_to_the_left_and_to_the_right() -> None:
    figure = plots.regime_counts_view(COUNTS, "The finding")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["top-1 accuracy", "NLL"]
    better, worse, corrected = figure.axes[1].containers
    assert [bar.get_width() for bar in better] == [20, 3]
    assert [bar.get_width() for bar in worse] == [-45, 0]
    assert [bar.get_width() for bar in corrected] == [-30, 0]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["one", "two"]
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1], "the first is on top"
    assert figure.get_figwidth() <= 8.4
    said = plots.describe_regime_counts_view(COUNTS)
    assert figure.alt == f"The finding. {said}"
    assert "top-1 accuracy: one 10 / 4, two 0 / 0. NLL: one 20 / 45, two 3 / 0." in said


def test_the_course_of_a_cell() -> None:
    rows = [(name, e, 0.5 + e / 100, 2 - e / 60) for name in ("a", "b") for e in (12, 24, 36)]
    curves = pd.DataFrame(rows, columns=["method", "epoch", "test_top1", "test_nll"])
    figure = plots.cell_view(curves, ["test_nll", "test_top1"], "The finding", "means")
    assert len(figure.axes) == 2
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), [12, 24, 36])
    assert figure.get_figwidth() <= 8.4
    said = plots.describe_cell_view(curves, ["test_nll", "test_top1"])
    assert figure.alt == f"The finding. {said}"
    assert "test NLL (nats) in the last epoch: a 1.40, b 1.40." in said


def test_gains_against_losses() -> None:
    table = pd.DataFrame(
        {
            "gain": [-0.4, 0.5, 0.7, -0.1],
            "lost": [0.0, 0.4, 0.8, 0.0],
            "epochs": [5, 60, 60, 20],
            "augmented": [0, 0, 0, 1],
        }
    )
    figure = plots.gain_by_loss_view(table, "The finding")
    (axis,) = figure.axes
    drawn = np.concatenate([np.asarray(line.get_xydata()) for line in axis.lines[:3]])
    assert sorted(map(tuple, drawn.tolist())) == sorted(zip(table.lost, table.gain, strict=True))
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert names == ["5 epochs", "60 epochs", "20 epochs, augmented", "as much as stopping there"]
    np.testing.assert_allclose(axis.lines[3].get_xydata(), [[0, 0], [0.8, 0.8]])
    said = plots.describe_gain_by_loss_view(table)
    assert "has lost (2 cells) the mean gain is +0.60 nats" in said
    assert "has lost nothing (2 cells) the mean gain is -0.25 nats" in said
    assert figure.alt == f"The finding. {said}"
    none = plots.describe_gain_by_loss_view(table[table.lost > 0])
    assert "nothing" not in none
