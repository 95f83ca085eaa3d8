"""The figure of stage 1's end shows the closed form, and its words say what the curves do."""

import numpy as np
import pytest

from toastlab import plots
from toastlab.analysis.fixed_point import fixed_point, fixed_points

WEIGHTS = np.linspace(0, 0.9, 19)


def test_curves_rings_and_words() -> None:
    table, marked = fixed_points(WEIGHTS, (1.0, 2.0), 10), [(0.3, 2.0), (0.3, 1.0)]
    figure = plots.fixed_point_view(table, marked)
    (axis,) = figure.axes
    curves = {str(line.get_label()): line for line in axis.lines}
    for t in (1.0, 2.0):
        shown = np.asarray(curves[f"{t:g}"].get_ydata(), dtype=float)
        np.testing.assert_allclose(shown, [100 * fixed_point(a, t, 10) for a in WEIGHTS])
    rings = [line for line in axis.lines if line.get_markersize() == 13]
    places = [(float(r.get_xdata()[0]), float(r.get_ydata()[0])) for r in rings]  # type: ignore[index]
    assert places == [(0.3, pytest.approx(100 * fixed_point(0.3, 2.0, 10))), (0.3, 100.0)]
    assert [t.get_text() for t in axis.texts] == [
        "a 0.3, temperature 2: 83 %",
        "a 0.3, temperature 1: 100 %",
    ]
    title = figure._suptitle.get_text().replace("\n", " ")  # type: ignore[attr-defined]
    said = plots.describe_fixed_point_view(table, marked)
    assert title in said
    assert title == (
        "From temperature 2 on, logits that fit end below certainty; up to 1 the softening fades "
        "by itself"
    )
    assert "at a 0.3 and temperature 2 a fitted network is 83 % sure where it is right" in said
    assert "17 points too little" in said
    assert "%" in axis.get_ylabel()


def test_the_title_claims_no_more_than_the_table_holds() -> None:
    hot = plots.describe_fixed_point_view(fixed_points(WEIGHTS, (4.0, 3.0), 10))
    assert hot == "From temperature 3 on, logits that fit end below certainty."
    cool = plots.describe_fixed_point_view(fixed_points(WEIGHTS, (1.0, 0.5), 10))
    assert cool == "Up to temperature 1 the softening fades by itself."


def test_a_mark_that_is_not_in_the_table_is_named() -> None:
    with pytest.raises(ValueError, match=r"a 0.33 with T_m 2 is not in the table"):
        plots.fixed_point_view(fixed_points(WEIGHTS, (2.0,), 10), [(0.33, 2.0)])
