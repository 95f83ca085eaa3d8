"""Gains with intervals, and the price of gaining more: what is drawn, and said of it."""

import pandas as pd
from matplotlib.colors import to_rgb

from toastlab import plots
from toastlab.plots.style import FLAG, PALETTE

GAINS = pd.DataFrame(
    [
        ("noisy", "TOAST", 1.6, 1.3, 2.0),
        ("noisy", "ELR", -0.4, -1.0, 0.2),
        ("clean", "TOAST", -2.7, -3.4, -2.1),
    ],
    columns=["group", "name", "mean", "low", "high"],
)
ORDER = pd.DataFrame(
    {"reading": ["a", "b", "c"], "harm": [0, 1, 7], "gain": [1.2, 3.94, 1.0], "claims": [4, 0, 2]}
)


def test_a_panel_a_group_and_hollow_marks_where_zero_is_inside() -> None:
    figure = plots.gains_view(GAINS, "points", "TOAST gains")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["noisy", "clean"]
    marks = [line for line in figure.axes[0].lines if line.get_marker() in ("o", "s")]
    assert [float(mark.get_xdata()[0]) for mark in marks] == [1.6, -0.4]  # type: ignore[index]
    assert to_rgb(marks[0].get_color()) == to_rgb(PALETTE[0])
    assert to_rgb(marks[0].get_markerfacecolor()) == to_rgb(PALETTE[0])
    assert to_rgb(marks[1].get_color()) == to_rgb(FLAG)
    assert to_rgb(marks[1].get_markerfacecolor()) == (1, 1, 1)
    (only,) = (line for line in figure.axes[1].lines if line.get_marker() == "s")
    assert float(only.get_ydata()[0]) == 0  # type: ignore[index]
    assert to_rgb(only.get_markerfacecolor()) == to_rgb(FLAG)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["TOAST", "ELR"]
    assert figure.alt == (
        "TOAST gains. In points: noisy: TOAST +1.6 [+1.3, +2.0]; ELR -0.4 [-1.0, +0.2]. "
        "clean: TOAST -2.7 [-3.4, -2.1]."
    )
    assert figure.get_figwidth() <= 8.4


def test_the_price_names_some_and_counts_the_others() -> None:
    figure = plots.price_view(ORDER, {"a": "the default", "b": "R8"}, "No harm costs points")
    (axis,) = figure.axes
    places = [
        (float(x.get_xdata()[0]), float(x.get_ydata()[0]))  # type: ignore[index]
        for x in axis.lines
    ]
    assert places == [(0, 1.2), (1, 3.94), (7, 1.0)]
    assert [text.get_text() for text in axis.texts] == ["the default", "R8"]
    assert figure.alt == (
        "No harm costs points. the default +1.2 points, harm in 0; R8 +3.9 points, harm in 1; "
        "1 others +1.0 to +1.0 points."
    )


def test_pushes_may_have_a_title() -> None:
    pushes = {name: GAINS["mean"].to_numpy() for name in "abcde"}
    figure = plots.pushes_view(pushes, ["x", "y", "z"], "A push each")
    assert figure.alt.startswith("A push each. Pushes on the logits of x, y, z.")
    assert figure.get_figwidth() == 8.4
