"""Panels without a browser: set values, click, read what they show."""

import html
import io
import json
import re
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import ipywidgets as w
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from traitlets import TraitError

from toastlab import DataConfig, Dataset, Run, RunStore, ToastConfig, TrainConfig, load
from toastlab.course.runs import course_runs, course_store
from toastlab.medoids.targets import class_medoids
from toastlab.widgets import (
    AblationPanel,
    MedoidPanel,
    Panel,
    ReadingPanel,
    SamplePanel,
    TargetPanel,
    TsnePanel,
)
from toastlab.widgets.number import Number
from toastlab.widgets.panel import slider
from toastlab.widgets.visitors import allowed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load(DataConfig(noise_rate=0.2))


@pytest.fixture(scope="module")
def run(data: Dataset) -> Run:
    config = TrainConfig(data=DataConfig(noise_rate=0.2), method=ToastConfig())
    found = RunStore(ROOT / "data" / "runs").find(config, data.fingerprint)
    assert found is not None, "the stored run no longer matches settings or data"
    return found


class Broken(Panel):
    """Fails where its control says so."""

    def __init__(self) -> None:
        self.drawn = 0
        super().__init__({"x": slider("x", [1, 2, 3], 1, "")}, "speed")

    def draw(self) -> tuple[Figure, str]:
        from toastlab.plots.style import new_figure

        if self.controls["x"].value == 2:
            raise RuntimeError("two <is> bad")
        self.drawn += 1
        return new_figure(2, 1), f"x is {self.controls['x'].value}"


def test_errors_are_shown_and_the_last_picture_stays() -> None:
    panel = Broken()
    picture = panel.picture.value
    panel.controls["x"].value = 2
    assert "RuntimeError: two &lt;is&gt; bad" in panel.error.value
    assert "from before" in panel.error.value, "what still stands there is of another setting"
    assert panel.picture.value == picture
    panel.controls["x"].value = 3
    assert panel.error.value == ""
    assert panel.sentence.value == "<p>x is 3</p>"
    assert panel.drawn == 2, "one drawing per change"


def test_state_can_be_copied_and_restored() -> None:
    panel, other = Broken(), Broken()
    panel.controls["x"].value = 3
    other.restore(panel.state())
    assert other.controls["x"].value == 3
    with pytest.raises(ValueError, match="unknown control 'y'"):
        other.restore('{"y": 1}')
    with pytest.raises(ValueError, match="x cannot be 7"):
        other.restore('{"x": 7}')


def test_controls_are_labelled_and_report_when_let_go(run: Run, data: Dataset) -> None:
    for kind in (TargetPanel, MedoidPanel, SamplePanel, ReadingPanel):
        panel = kind(run, data)
        for control in panel.controls.values():
            assert control.description
            assert control.tooltip
            assert not getattr(control, "continuous_update", False)


def test_without_a_kernel_a_panel_is_its_picture_and_sentence(run: Run, data: Dataset) -> None:
    panel = TargetPanel(run, data)
    bundle, metadata = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == metadata["image/png"]["alt"] == panel.text
    assert Image.open(io.BytesIO(panel.picture.value)).format == "PNG"


def test_target_panel(run: Run, data: Dataset) -> None:
    panel = TargetPanel(run, data)
    panel.restore(json.dumps({"class": 6, "temperature": 10.0, "weight": 0.0}))
    soft = panel.text
    panel.controls["temperature"].value = 0.5
    assert panel.error.value == ""

    def own(text: str) -> float:
        return float(text.split("own class ")[1].split(" ")[0])

    assert own(soft) < 0.2 < 0.6 < own(panel.text)


def test_target_panel_shows_the_medoids_of_its_epoch(run: Run, data: Dataset) -> None:
    panel = TargetPanel(run, data)
    epochs = len(run.group("medoids")["index"])
    assert f"epoch {epochs}:" in panel.text
    late = panel.picture.value
    panel.controls["epoch"].value = 3
    assert panel.error.value == ""
    assert "epoch 3:" in panel.text
    assert panel.picture.value != late


@pytest.mark.parametrize("kind", [TargetPanel, MedoidPanel, SamplePanel])
def test_epochs_are_played_in_the_browser(kind: Any, run: Run, data: Dataset) -> None:
    """The play button counts there, and moves the slider, whose moves the kernel draws."""
    panel = kind(run, data)
    epochs, rows = panel.controls["epoch"], panel.widget.children[0].children
    player = rows[rows.index(epochs) + 1]
    assert isinstance(player, w.Play)
    assert (player.min, player.max) == (0, len(epochs.options) - 1)
    assert player.value == epochs.index
    assert player.interval >= 500
    assert player not in panel.controls.values()


def test_medoid_panel_shows_the_exact_medoids(run: Run, data: Dataset) -> None:
    panel = MedoidPanel(run, data)
    assert run.dynamics is not None
    assert run.dynamics.logits is not None
    for distance in ("cosine", "manhattan"):
        before = panel.picture.value
        panel.controls["distance"].value = distance
        assert panel.error.value == ""
        assert panel.picture.value != before
    import torch

    panel.controls["scope"].value = "all"
    panel.controls["epoch"].value = 1
    z = torch.from_numpy(run.dynamics.logits[0]).float()
    found = class_medoids(z, data.train.labels, distance="manhattan", scope="all")
    assert f"{int(found.exists.sum())} of 10 classes" in panel.text


def test_sample_panel_selects_what_it_says(run: Run, data: Dataset) -> None:
    panel = SamplePanel(run, data)
    assert run.dynamics is not None
    p = run.dynamics.probability[-1].astype(float)
    assert set(panel.selected()) == set(np.flatnonzero(p < 0.5))
    assert (np.diff(p[panel.selected()]) >= 0).all()
    panel.controls["class"].value = 7
    assert set(panel.selected()) == set(np.flatnonzero((p < 0.5) & (run.dynamics.labels == 7)))
    parts = []
    for region in panel.controls["region"].options[1:]:
        panel.controls["region"].value = region
        parts.append(set(panel.selected()))
    panel.controls["region"].value = "all"
    assert set.union(*parts) == set(panel.selected())
    assert sum(map(len, parts)) == len(panel.selected())
    panel.controls["view"].value = "data map"
    assert panel.error.value == ""
    panel.controls["view"].value = "images"


def test_an_empty_selection_leaves_no_picture_and_no_sentence_of_before(
    run: Run, data: Dataset
) -> None:
    panel = SamplePanel(run, data)
    for view in ("images", "data map"):
        panel.controls["view"].value = view
        panel.controls["threshold"].value = 0.05
        panel.controls["region"].value = "easy (sure, steady)"
        assert len(panel.selected()) == 0
        assert panel.picture.value == b""
        assert panel.picture.layout.display == "none", "an empty picture would show as a broken one"
        assert panel.text.startswith("No sample is selected")
        assert panel.text in panel.sentence.value
        assert panel.error.value == ""
        assert "image/png" not in panel._repr_mimebundle_()[0]
        panel.controls["region"].value = "all"
        assert bytes(panel.picture.value).startswith(b"\x89PNG")
        assert panel.picture.layout.display is None
        assert "samples are selected" in panel.text


def test_each_threshold_has_its_own_images(run: Run, data: Dataset) -> None:
    panel = SamplePanel(run, data)
    pictures = set()
    for threshold in (0.3, 0.5, 0.8):
        panel.controls["threshold"].value = threshold
        pictures.add(panel.picture.value)
        assert f"the nearest below {threshold:g} (lower half)" in panel.text
    assert len(pictures) == 3
    panel.controls["region"].value = "easy (sure, steady)"
    panel.controls["epoch"].value = 1
    panel.controls["threshold"].value = 0.3
    while not 0 < len(panel.selected()) <= 16:  # few enough to be shown whole
        panel.controls["class"].value += 1
    assert f"All of them, the least probable first: {len(panel.selected())} images" in panel.text


class Slow(Panel):
    """Another thread's drawing ends late."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        super().__init__({"x": slider("x", [1, 2, 3], 1, "")}, "speed")

    def draw(self) -> tuple[Figure, str]:
        from toastlab.plots.style import new_figure

        x = self.controls["x"].value
        if threading.current_thread() is not threading.main_thread():
            self.begun.set()
            self.go_on.wait(10)
        return new_figure(2, 1), f"x is {x}"


def test_a_drawing_that_ends_late_does_not_cover_a_later_one() -> None:
    panel = Slow()
    thread = threading.Thread(target=panel.redraw)
    thread.start()
    assert panel.begun.wait(10)
    threading.Timer(0.3, panel.go_on.set).start()
    panel.controls["x"].value = 3
    thread.join()
    assert panel.sentence.value == "<p>x is 3</p>"


def test_a_number_is_moved_or_typed_and_never_silently_another() -> None:
    number = Number("T", 0.25, 10, 0.25, 2, "a temperature")
    steps = [(x - number.min) / number.slider.step for x in (2, number.max)]
    assert steps == [round(step) for step in steps], "the slider comes back to where it began"
    seen = []
    number.observe(lambda change: seen.append(change["new"]), names="value")
    for text, value, shown in (("0,5", 0.5, "0.5"), (" 7.50 ", 7.5, "7.5"), ("1e1", 10, "10")):
        number.field.value = text
        assert (number.value, number.slider.value, number.field.value) == (value, value, shown)
        assert number.refused.value == ""
    assert seen == [0.5, 7.5, 10]
    for text in ("1000", "0", "-3", "nan", "inf", "two", "", "<b>"):
        number.field.value = text
        assert number.value == number.slider.value == 10
        assert number.field.value == "10"
        assert f"{html.escape(repr(text))} is no number from 0.25 to 10" in number.refused.value
    number.slider.value = 0.25 + 7 * 0.25  # as it comes from a browser
    assert (number.value, number.field.value, number.refused.value) == (2, "2", "")
    with pytest.raises(TraitError, match="must lie in"):
        number.value = 11
    assert len(seen) == 4


def test_errors_are_legible_on_light_and_dark_pages() -> None:
    """At least 4.5 to 1 (WCAG 2, AA) on the ground that they bring along."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    panel = Broken()
    panel.controls["x"].value = 2
    look = dict(re.findall(r"(color|background):\s*(#[0-9a-f]{6})", panel.error.value))
    for page in ("#ffffff", "#111111"):
        low, high = sorted([luminance(look["color"]), luminance(look.get("background", page))])
        assert (high + 0.05) / (low + 0.05) >= 4.5, page


def test_visitors_set_controls_and_parts_of_controls_only(run: Run, data: Dataset) -> None:
    panel = TargetPanel(run, data)
    number = panel.controls["temperature"]
    assert allowed(number.slider, "value", 2.5)
    assert not allowed(number.slider, "value", 11)
    assert allowed(number.field, "value", "2,5")
    assert not allowed(number.field, "value", "9" * 41)
    assert not allowed(number.refused, "value", "mine")
    assert not allowed(number, "children", [])


def values(control: Any) -> list[Any]:
    if not hasattr(control, "options"):
        return [control.min, (control.min + control.max) / 2, control.max]
    return [o[1] if isinstance(o, tuple) else o for o in control.options]


@pytest.fixture(scope="module")
def panels(run: Run, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Panel]:
    runs = course_runs(course_store())
    return {
        "targets": TargetPanel(run, data),
        "medoids": MedoidPanel(run, data),
        "samples": SamplePanel(run, data),
        "readings": ReadingPanel(run, data),
        "tsne": TsnePanel(runs, data),
        "ablation": AblationPanel(tmp_path_factory.mktemp("live")),
    }


@pytest.mark.bar
@pytest.mark.parametrize("name", ["targets", "medoids", "samples", "readings", "tsne", "ablation"])
def test_slider_to_picture_takes_at_most_200_ms(panels: dict[str, Panel], name: str) -> None:
    """Median over four moves of each control; the first drawing of its kind lays out as well.

    The bar is one of an idle machine, and what else runs only adds: a control that was slow is
    asked again, at most four times.
    """
    panel = panels[name]
    for label, control in panel.controls.items():
        first, rounds = control.value, list[list[float]]()
        others = [v for v in values(control) if v != first]
        while not rounds or (median(rounds[-1]) > 0.2 and len(rounds) < 5):
            took = []
            for value in [others[0], first, others[-1], first]:
                start = time.process_time()
                control.value = value
                took.append(time.process_time() - start)
            rounds.append(took)
        assert median(rounds[-1]) <= 0.2, (label, rounds)


def test_tsne_panel_shows_the_stored_layouts(data: Dataset) -> None:
    panel = TsnePanel(course_runs(course_store()), data)
    pictures = set()
    for epoch in (1, 5, 30):
        panel.controls["epoch"].value = epoch
        assert f"TOAST, epoch {epoch}" in panel.text
        pictures.add(panel.picture.value)
    panel.controls["colour"].value = "clean label"
    assert len({*pictures, panel.picture.value}) == 4
