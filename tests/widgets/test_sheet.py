"""A panel on a small screen: the style sheet it brings, and its picture drawn for the room."""

import re
from pathlib import Path

import pytest

import toastlab.widgets as widgets
from toastlab import Dataset, Run
from toastlab.course.runs import course_data, course_runs, course_store
from toastlab.plots import narrow
from toastlab.plots.style import NARROW, filled, in_a_row, is_narrow, new_figure
from toastlab.widgets import TargetPanel
from toastlab.widgets.explorer import page
from toastlab.widgets.sheet import ROOMS, sheet
from toastlab.widgets.visitors import allowed


@pytest.fixture(scope="module")
def data() -> Dataset:
    return course_data()


@pytest.fixture(scope="module")
def run() -> Run:
    return course_runs(course_store())["TOAST"]


def test_the_page_says_narrow_and_the_picture_is_drawn_narrow(run: Run, data: Dataset) -> None:
    panel = TargetPanel(run, data)
    wide, text = bytes(panel.picture.value), panel.text
    assert panel.room.value == "wide"
    panel.room.index = 1
    assert panel.error.value == ""
    assert panel.picture.width == str(round(100 * NARROW))
    assert bytes(panel.picture.value) != wide
    assert panel.text == text, "the same is said"
    panel.controls["epoch"].value = 3
    assert panel.picture.width == str(round(100 * NARROW)), "and stays so"
    panel.controls["epoch"].value = len(run.group("medoids")["index"])
    panel.room.index = 0
    assert bytes(panel.picture.value) == wide


def test_a_visitor_sets_the_room_like_a_list_and_no_more(run: Run, data: Dataset) -> None:
    room = TargetPanel(run, data).room
    assert allowed(room, "index", 1)
    assert not allowed(room, "index", len(ROOMS))
    assert not allowed(room, "value", "narrow")
    assert "room" not in TargetPanel(run, data).state(), "a state is of what is shown"


def test_a_panel_brings_the_sheet_and_a_saved_explorer_has_it(run: Run, data: Dataset) -> None:
    parts = TargetPanel(run, data).widget.children
    assert sum(sheet() in str(getattr(part, "value", "")) for part in parts) == 1
    assert sheet() in page.style()
    assert "</" not in sheet(), "it stands in a style element"
    assert "url(" not in sheet(), "nothing is loaded"


def test_the_classes_of_the_sheet_are_those_of_the_code() -> None:
    room = Path(widgets.__file__).parent
    code = "".join(f.read_text(encoding="utf-8") for f in room.rglob("*.py"))
    code += page.script() + (page.WEB / "explorer.css").read_text(encoding="utf-8")
    named = set(re.findall(r"\.((?:toastlab|tl)-[a-z]+)", sheet()))
    assert named >= {"toastlab-panel", "toastlab-control", "tl-explorer"}
    for name in named:
        assert name in code, name


def test_only_what_is_drawn_within_is_narrow() -> None:
    with narrow():
        assert is_narrow()
        figure, axes = in_a_row(10, 3, [1, 2], [1.0, 2.0])
        assert figure.get_size_inches().tolist() == pytest.approx([NARROW, 3.0])
        assert figure.dpi == 200
        assert axes[0].get_position().y0 > axes[1].get_position().y0, "one below the other"
        with narrow(False):
            assert new_figure(1, 1).dpi == 100
        assert is_narrow()
    assert not is_narrow()
    figure, axes = in_a_row(10, 3, [1, 2], [1.0, 2.0])
    assert figure.get_size_inches().tolist() == [10, 3]
    assert axes[0].get_position().x0 < axes[1].get_position().x0


def test_lines_are_as_long_as_the_width_allows() -> None:
    text = "a word " * 20
    short, long = filled(text, 2.0), filled(text, 8.0)
    assert max(map(len, short.splitlines())) <= 23
    assert len(short.splitlines()) > len(long.splitlines()) > 1
    assert short.split() == text.split()
