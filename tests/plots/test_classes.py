"""Heat maps of classes, curves over epochs, and the search for a medoid; and that figures speak."""

import ast
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure

import toastlab
from toastlab import plots
from toastlab.plots.style import new_figure

CLASSES = ("a", "b", "c", "d", "e")
FAMILIES = [[3, 0], [1, 2]]  # e has no relatives
# Of d the runner-up is a, of a it is d; of b it is c, of c it is e, a stranger
EARLY = np.array(
    [
        [0.6, 0.1, 0.0, 0.2, 0.1],
        [0.1, 0.5, 0.3, 0.1, 0.0],
        [0.0, 0.1, 0.6, 0.0, 0.3],
        [0.4, 0.1, 0.0, 0.4, 0.1],
        [0.1, 0.2, 0.1, 0.0, 0.6],
    ]
)


def boxes(figure: Figure) -> list[str]:
    """Titles, labels and ticks that are cut off."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    cut = []
    for axis in figure.axes:
        seen = [axis._left_title, axis.xaxis.label, axis.yaxis.label]  # type: ignore[attr-defined]
        for side in (axis.xaxis, axis.yaxis):
            low, high = sorted(side.get_view_interval())
            seen += [t.label1 for t in side.get_major_ticks() if low <= t.get_loc() <= high]
        for text in seen:
            box = text.get_window_extent(renderer)
            inside = box.x0 >= -1 and box.y0 >= -1
            inside &= box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1
            if text.get_text() and text.get_visible() and not inside:
                cut.append(text.get_text())
    return cut


def test_degrees_view_frames_families_and_marks_runners_up() -> None:
    figure = plots.degrees_view({"early": EARLY, "late": EARLY.copy()}, CLASSES, FAMILIES)
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["d", "a", "b", "c", "e"]
    cells = np.ma.filled(axis.images[0].get_array(), np.nan)  # type: ignore[no-untyped-call]
    assert np.isnan(np.diag(cells)).all()
    assert cells[0, 1] == 40  # from d to a, in percent
    marks = {
        (int(mark.get_xdata()[0]), int(mark.get_ydata()[0])): mark.get_marker()  # type: ignore[index]
        for mark in axis.lines
    }
    assert marks == {(1, 0): "o", (0, 1): "o", (3, 2): "o", (4, 3): "X"}
    frames = [(p.get_x(), p.get_y(), p.get_width()) for p in axis.patches]  # type: ignore[attr-defined]
    assert frames == [(-0.5, -0.5, 2), (1.5, 1.5, 2)]
    assert axis.get_title(loc="left") == "early: 3 of 4 relatives"
    assert figure.axes[0].images[0].get_clim() == figure.axes[1].images[0].get_clim()
    assert boxes(figure) == []
    assert plots.describe_degrees_view({"early": EARLY}, CLASSES, FAMILIES) == (
        "early: the runner-up is a relative in 3 of 4 classes; strangers: c to e 30 %."
    )


def test_over_epochs() -> None:
    curves = {"one": np.array([80.0, 60, 50]), "two": np.array([70.0, 70, 71])}
    figure = plots.over_epochs(curves, "share (%)", "It falls", ("by lot", 36.4))
    axis = figure.axes[0]
    np.testing.assert_array_equal(np.asarray(axis.lines[0].get_xdata()), [1, 2, 3])
    np.testing.assert_array_equal(np.asarray(axis.lines[0].get_ydata()), curves["one"])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["one", "two", "by lot"]
    assert axis.get_ylim()[0] == 0
    assert boxes(figure) == []
    assert plots.describe_over_epochs(curves, "share (%)", "It falls", ("by lot", 36.4)) == (
        "It falls. share (%), first and last epoch: one from 80 to 50; two from 70 to 71; "
        "by lot 36."
    )


def search() -> plots.Search:
    """Five candidates on a line; bounds a fifth around the truth."""
    x = np.array([-4.0, -1, 0, 1, 4])
    exact = np.abs(x[:, None] - x).mean(1)
    places, wrong = np.stack([x, np.zeros(5)], 1), np.array([True, False, False, False, False])
    return plots.Search(places, np.abs(x), exact, 0.8 * exact, 1.2 * exact, wrong)


def test_search_view() -> None:
    found = search()
    assert found.medoid == 2
    assert found.left.tolist() == [False, True, True, True, False]
    figure = plots.search_view(found)
    plane, sums = figure.axes
    star = next(mark for mark in plane.lines if mark.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (0, 0)  # type: ignore[index]
    assert plane.get_title(loc="left") == "Medoid and mean: 0.00 mean radii apart"
    assert sums.get_title(loc="left") == "The bound rules out 2 of 5"
    line = next(curve for curve in sums.lines if curve.get_label() == "true value")
    np.testing.assert_allclose(np.asarray(line.get_ydata()), np.sort(found.exact))
    assert boxes(figure) == []
    assert plots.describe_search_view(found) == (
        "5 candidates, 1 with a wrong label. The medoid lies 0.00 mean radii from the mean; 0 "
        "candidates lie nearer to it. The bounds rule out 2 candidates."
    )


def test_every_figure_says_what_it_shows() -> None:
    """Each function that gives a `Picture` sets its alternative text, from its `describe_*`."""
    folder, seen = Path(toastlab.__file__).parent / "plots", []
    for file in folder.glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith(("_", "new_")):
                continue
            if ast.unparse(node.returns or ast.Constant(None)) in ("Picture", "Figure"):
                assert "figure.alt = " in ast.unparse(node), node.name
                assert f"describe_{node.name}(" in ast.unparse(node), node.name
                seen.append(node.name)
    assert len(seen) >= 15
    assert set(seen) <= set(plots.__all__)


def test_a_notebook_keeps_the_alternative_text() -> None:
    figure = plots.search_view(search())
    data, metadata = DisplayFormatter().format(figure)  # type: ignore[no-untyped-call]
    assert data["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"] == {"alt": figure.alt}
    assert data["text/plain"] == figure.alt


def test_a_figure_without_words_is_shown_as_matplotlib_does() -> None:
    assert repr(new_figure(2, 1)).startswith("<Picture size 200x100")


@pytest.mark.parametrize("wide", [1.05, 1.25])
def test_a_gallery_as_wide_as_its_captions_need(wide: float) -> None:
    images, captions = np.zeros((8, 1, 4, 4), np.uint8), ["Ankle boot,\nthen Sneaker"] * 8
    figure = plots.sample_gallery(images, captions, [False] * 8, "Title", wide=wide)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    found = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    for a, b in pairwise(found):
        assert a.x1 <= b.x0, "captions touch"
    assert all(box.y0 >= 0 for box in found)
    width, height = figure.axes[0].get_window_extent(renderer).size
    assert 0.8 < (width / (1.15 * 8)) / (height / 1.5) < 1.25, "an image is nearly square"
