"""The ablation's figures: pairs of seeds, gains with intervals, planes of weights, the panel."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from toastlab import plots
from toastlab.plots.regime import COLOURS

PLANE = pd.DataFrame([[0.0, 1.0], [-0.04, 1.5]], index=[0.0, 0.3], columns=[0.0, 3.0])
BARS = {
    "this setting": (0.82, 0.80, 0.84, [0.81, 0.83]),
    "cross-entropy": (0.80, 0.78, 0.82, [0.79, 0.81]),
}


def cells(axis: object) -> list[str]:
    return [text.get_text() for text in axis.texts]  # type: ignore[attr-defined]


def framed(axis: object) -> list[tuple[float, float]]:
    return [p.get_xy() for p in axis.patches if isinstance(p, Rectangle)]  # type: ignore[attr-defined]


def test_pairs_are_joined_and_ordered_by_the_first() -> None:
    figure = plots.pairs_view([72.0, 70.0, 71.0], [73.0, 69.5, 73.5], ("plain", "new"))
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "new is ahead in 2 of 3 seeds, by +1.0 points on average"
    assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "2", "0"]
    joined, (first, second) = axis.lines[:3], axis.lines[3:]
    assert [list(map(float, np.asarray(x.get_ydata()))) for x in joined] == [
        [70, 69.5],
        [71, 73.5],
        [72, 73],
    ]
    assert np.asarray(first.get_ydata()).tolist() == [70, 71, 72]
    assert np.asarray(second.get_ydata()).tolist() == [69.5, 73.5, 73]
    assert figure.alt == (
        "Test top-1 of 3 seeds in percent: plain 71.0 (70.0 to 72.0), new 72.0 (69.5 to 73.5); of "
        "the same seed the second is ahead by -0.5 to +2.5 points, +1.0 on average."
    )


def test_gains_are_hollow_where_the_interval_contains_zero() -> None:
    groups = {"wrong": {"a": (1.0, 0.5, 1.5), "b": (0.2, -0.1, 0.5), "c": (-1.0, -1.5, -0.5)}}
    figure = plots.setting_gains_view(groups, "a gains", "gain (points)")
    marks = figure.axes[0].lines[1:6:2]
    white = [mark.get_markerfacecolor() == "white" for mark in marks]
    assert white == [False, True, False]
    assert marks[0].get_markerfacecolor() != marks[2].get_markerfacecolor()
    assert marks[0].get_marker() != marks[2].get_marker(), "not by colour alone"
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]
    assert figure.alt == (
        "a gains. Gain (points), with 95 % intervals. wrong: a +1.0 [+0.5, +1.5], "
        "b +0.2 [-0.1, +0.5], c -1.0 [-1.5, -0.5]."
    )


def test_planes_share_one_scale_on_which_blue_is_better() -> None:
    planes = {"wrong": PLANE, "right": 3 * PLANE}
    figure = plots.planes_view(planes, "b gains", (0.3, 3.0))
    left, right = figure.axes[:2]
    assert cells(left) == ["+0.0", "+1.0", "+0.0", "+1.5"], "no minus before a zero"
    assert {axis.images[0].get_clim() for axis in (left, right)} == {(-4.5, 4.5)}
    assert left.images[0].get_cmap().name == COLOURS.name
    red, _, blue, _ = COLOURS(1.0)
    assert blue > red, "the largest gain"
    assert framed(left) == framed(right) == [(0.5, 0.5)]
    small = plots.planes_view({"x": 0.01 * PLANE}, "", (9, 9)).axes[0]
    assert small.images[0].get_clim() == (-2, 2)
    assert framed(small) == []
    assert "wrong: from +0.0 (medoid weight 0, past weight 0) to +1.5 (medoid weight" in figure.alt


def test_curves_over_a_setting_have_bars_and_a_panel_a_condition() -> None:
    curves = {"chosen": {1.0: (0.5, 0.2, 0.8), 5.0: (2.0, 1.0, 3.0)}, "lot": {1.0: (0.1, 0.0, 0.2)}}
    curves["lot"][5.0] = (1.0, 0.5, 1.5)
    panels = {"wrong": curves, "right": {"chosen": curves["lot"], "lot": curves["chosen"]}}
    figure = plots.along_view(panels, "chosen is ahead", ("weight", "gain (points)"))
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["wrong", "right"]
    ends = figure.axes[0].containers[0][2][0].get_segments()  # type: ignore[index]
    assert np.allclose(ends, [[[1, 0.2], [1, 0.8]], [[5, 1], [5, 3]]])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["chosen", "lot"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.alt == (
        "chosen is ahead. Gain (points) over the weight. wrong: chosen +0.5 at 1, +2.0 at 5; "
        "lot +0.1 at 1, +1.0 at 5. right: chosen +0.1 at 1, +1.0 at 5; lot +0.5 at 1, +2.0 at 5."
    )


@pytest.mark.parametrize(("column", "sign"), [("test_top1", 1), ("test_nll", -1), ("test_ece", -1)])
def test_the_panel_colours_better_blue_whatever_the_measure(column: str, sign: int) -> None:
    grid = pd.DataFrame([[0.5, 0.6], [0.4, 0.7]], index=[0.0, 0.3], columns=[0.0, 3.0])
    figure = plots.ablation_view(BARS, grid, (0.3, 3.0), column)
    plane = figure.axes[1]
    factor = 1 if column == "test_nll" else 100
    shown = np.asarray(plane.images[0].get_array(), dtype=float)
    assert np.allclose(shown, sign * factor * (grid.to_numpy() - 0.5))
    assert plane.images[0].get_clim() == pytest.approx((-0.2 * factor, 0.2 * factor))
    assert framed(plane) == [(0.5, 0.5)]
    assert figure.axes[0].get_title(loc="left").endswith("against cross-entropy")


def test_a_live_run_has_a_star_and_a_curve_of_its_own() -> None:
    grid = pd.DataFrame([[0.5]], index=[0.0], columns=[0.0])
    assert len(plots.ablation_view(BARS, grid, (0, 0), "test_top1").axes) == 3, "with the scale"
    live = [{"epoch": 1.0, "test_top1": 0.6}, {"epoch": 2.0, "test_top1": 0.7}]
    figure = plots.ablation_view(BARS, grid, (0, 0), "test_top1", live)
    bars, _, curve, _ = figure.axes
    assert np.asarray(curve.lines[0].get_ydata()).tolist() == pytest.approx([60, 70])
    for axis, x in ((bars, 70), (curve, 2)):
        star = axis.lines[-1]
        assert star.get_marker() == "*"
        assert np.asarray(star.get_xdata()).tolist() == pytest.approx([x])
