"""Shifts: where the marks stand, and what is said of them."""

import numpy as np
import pandas as pd

from toastlab import plots

TABLE = pd.DataFrame({"last": [75.0, 82.0], "stopped": [81.0, 82.5]}, index=["plain", "robust"])


def test_two_marks_a_row_from_above_and_a_level() -> None:
    figure = plots.shifts_view(TABLE, "top-1 (%)", "Found", ("plain, stopped", 81.0))
    (axis,) = figure.axes
    assert [t.get_text() for t in axis.get_yticklabels()] == ["plain", "robust"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]
    marks = {
        shape: [line for line in axis.lines if line.get_marker() == shape] for shape in ("o", "D")
    }
    for shape, column in zip("oD", TABLE, strict=True):
        places = [float(np.asarray(m.get_xdata())[0]) for m in marks[shape]]
        assert places == TABLE[column].tolist()
        assert [float(np.asarray(m.get_ydata())[0]) for m in marks[shape]] == [0, 1]
    assert all(str(m.get_markerfacecolor()) == "white" for m in marks["o"])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["last", "stopped", "plain, stopped"]
    assert figure.alt == (
        "Found. top-1 (%), last to stopped: plain 75.0 to 81.0; robust 82.0 to 82.5. "
        "plain, stopped: 81.0."
    )


def test_without_a_level() -> None:
    figure = plots.shifts_view(TABLE, "top-1 (%)", "Found")
    assert len(figure.legends[0].get_texts()) == 2
    assert figure.alt.endswith("robust 82.0 to 82.5.")
