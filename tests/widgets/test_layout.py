"""Whatever a panel's controls are moved to, it draws, and no text of its picture lies on another
or is cut."""

import os
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from toastlab import Dataset, Run
from toastlab.course.runs import course_data, course_runs, course_store
from toastlab.plots import drawn_png
from toastlab.plots.style import NARROW
from toastlab.widgets import (
    AblationPanel,
    MedoidPanel,
    Panel,
    ReadingPanel,
    RegimePanel,
    SamplePanel,
    TargetPanel,
    TsnePanel,
)
from toastlab.widgets.sheet import ROOMS

PHONE = 390  # pixels for a picture in a window of 412
PANELS = ("targets", "medoids", "samples", "readings", "tsne", "ablation", "regime")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return course_data()


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return course_runs(course_store())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures whose pictures the panels show, as they were when they became pictures."""
    figures: list[Figure] = []

    def noted(figure: Figure) -> bytes:
        picture = drawn_png(figure)
        figures.append(figure)
        return picture

    monkeypatch.setattr("toastlab.widgets.panel.drawn_png", noted)
    return figures


def made(name: str, runs: dict[str, Run], data: Dataset, folder: Path) -> Panel:
    if name == "tsne":
        return TsnePanel(runs, data)
    if name == "ablation":
        return AblationPanel(folder)
    if name == "regime":
        return RegimePanel()
    if name == "medoids":
        return MedoidPanel(runs["TOAST"], data)
    if name == "readings":
        return ReadingPanel(runs["TOAST"], data)
    return (TargetPanel if name == "targets" else SamplePanel)(runs["TOAST"], data)


def values(control: Any, most: int = 4) -> list[Any]:
    """Some values of a control, both ends among them; of a range the middle, too."""
    if not hasattr(control, "options"):
        return [control.min + (control.max - control.min) * i / most for i in range(most + 1)]
    found = [o[1] if isinstance(o, tuple) else o for o in control.options]
    return list(dict.fromkeys([*found[:: max(1, len(found) // most)], found[-1]]))


def written(figure: Figure) -> list[Text]:
    """Every text that is seen: titles, labels, ticks, legends, and what stands inside axes."""
    texts = [figure._suptitle] if figure._suptitle else []  # type: ignore[attr-defined]
    legends = list(figure.legends)
    for axis in figure.axes:
        texts += [axis.title, axis._left_title, axis._right_title, *axis.texts]  # type: ignore[attr-defined]
        legend = axis.get_legend()
        legends += [legend] if legend else []
        for side in (axis.xaxis, axis.yaxis) if axis.axison else ():
            texts.append(side.label)
            low, high = sorted(side.get_view_interval())
            for tick in side.get_major_ticks():
                texts += [tick.label1, tick.label2] if low <= tick.get_loc() <= high else []
    for legend in legends:
        texts += [*legend.get_texts(), legend.get_title()]
    return [text for text in texts if text.get_text().strip() and text.get_visible()]


def hold(figure: Figure, where: object) -> None:
    """Half a pixel is rounding."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    found = [(t.get_text(), t.get_window_extent(renderer)) for t in written(figure)]
    assert found, where
    whole = Bbox.from_extents(-0.5, -0.5, figure.bbox.width + 0.5, figure.bbox.height + 0.5)
    for text, box in found:
        assert whole.containsx(box.x0), (text, box, where)
        assert whole.containsx(box.x1), (text, box, where)
        assert whole.containsy(box.y0), (text, box, where)
        assert whole.containsy(box.y1), (text, box, where)
    for (one, a), (other, b) in combinations(found, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        up = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 0.5 or up <= 0.5, (one, other, where)


def legible_on_a_phone(figure: Figure) -> None:
    """In its narrowest place, 412 pixels less margins, letters are 9 pixels high or more."""
    width = 100 * figure.get_figwidth()
    assert width <= 100 * NARROW
    scale = min(1, PHONE / width)
    sizes = [float(text.get_fontsize()) * 100 / 72 * scale for text in written(figure)]
    assert min(sizes) >= 8.9, sorted(sizes)[:3]


def move_all(panel: Panel, drawn: list[Figure], few: bool = False) -> None:
    """Moves each control over its values and back, and looks at each picture.

    Args:
        few: over the first, the middle and the last one, unless TOASTLAB_LONG asks for all.
    """
    for name, control in panel.controls.items():
        first = control.value  # drawn when the control comes back to it
        others = [v for v in values(control) if v != first]
        if few and not os.environ.get("TOASTLAB_LONG"):
            others = [others[i] for i in sorted({0, len(others) // 2, len(others) - 1}) if others]
        for value in [*others, first]:
            before = len(drawn)
            control.value = value
            assert panel.error.value == "", (name, value)
            if len(drawn) > before:
                hold(drawn[-1], (name, value))


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("name", PANELS)
def test_every_value_draws_and_no_text_lies_on_another_or_is_cut(
    name: str,
    room: str,
    runs: dict[str, Run],
    data: Dataset,
    drawn: list[Figure],
    tmp_path: Path,
) -> None:
    panel = made(name, runs, data, tmp_path)
    panel.room.value = room
    hold(drawn[-1], "as it opens")
    if room == "narrow":
        legible_on_a_phone(drawn[-1])
    move_all(panel, drawn, few=room == "narrow")
    if name == "samples":
        panel.controls["view"].value = "data map"
        move_all(panel, drawn, few=room == "narrow")


def test_a_live_run_changes_nothing_of_that(
    drawn: list[Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its curve comes as it does from a training: by the panel's own thread, epoch by epoch."""
    panel = AblationPanel(tmp_path, redraw_every=0)
    n = 12
    tops = [0.1, *np.linspace(0.6, 0.8, n - 1)]  # the numbers of the axis grow longer on the way
    rows = [
        {"epoch": i + 1.0, "test_top1": top, "val_top1": top, "test_nll": 2 - top, "test_ece": 0.05}
        for i, top in enumerate(tops)
    ]

    def trained(config: object, *, on_epoch: Any, **more: object) -> SimpleNamespace:
        for row in rows:
            on_epoch(row)
        return SimpleNamespace(metrics=pd.DataFrame(rows), key="made up")

    monkeypatch.setattr(panel.store, "get", trained)
    before = len(drawn)
    panel.train()
    assert panel.wait(60)
    assert panel.error.value == ""
    with_curve = drawn[before:]
    assert len(with_curve) == n + 1, "each epoch, and the end"
    for i, figure in enumerate(with_curve):
        curve = figure.axes[2].get_lines()[0]
        assert len(np.asarray(curve.get_xdata())) == min(i + 1, n)
        hold(figure, f"epoch {i + 1}")
    move_all(panel, drawn)
    panel.controls["measure"].value = "test_nll"
    move_all(panel, drawn, few=True)
