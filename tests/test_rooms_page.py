"""The page of the rooms and its picture show the imports that there are."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers import module_at

ROOT = Path(__file__).parents[1]
LINES = r"\| ([\d,]+) \|$"  # the last column of the table
AGAIN = "run `python docs/rooms.py`"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return module_at(ROOT / "docs" / "rooms.py")


def test_picture_and_table_are_current(tool: ModuleType) -> None:
    page, made = tool.PAGE.read_text(encoding="utf-8"), tool.table(tool.arrows())
    shown = page[page.index(tool.BEGIN) + len(tool.BEGIN) : page.index(tool.END)].strip()
    assert re.sub(LINES, "", shown, flags=re.M) == re.sub(LINES, "", made, flags=re.M), AGAIN
    # lines move with every change; a room that is a third larger or smaller is told anew
    stated, real = (
        [int(x.replace(",", "")) for x in re.findall(LINES, text, re.M)] for text in (shown, made)
    )
    assert len(stated) == len(tool.order())
    for said, true in zip(stated, real, strict=True):
        assert abs(said - true) <= max(100, true / 3), AGAIN
    assert tool.PICTURE.read_text(encoding="utf-8") == tool.drawing(tool.arrows()), AGAIN


def test_every_room_is_described(tool: ModuleType) -> None:
    page = tool.PAGE.read_text(encoding="utf-8")
    for room in tool.order():
        assert re.search(rf"^- \*\*{room}\*\*", page, re.M), room


def test_the_tour_leads_to_files_that_exist(tool: ModuleType) -> None:
    page = tool.PAGE.read_text(encoding="utf-8")
    tour = re.findall(r"^\d\. \[(.+?)\]\(\.\./(.+?)\)", page, re.M)
    assert len(tour) == 6
    for _, path in tour:
        assert (ROOT / path).exists(), path


def test_what_is_drawn_is_what_the_imports_say(tool: ModuleType) -> None:
    """A chain of drawn arrows leads to every room that is imported, and floors rise along it."""
    graph = tool.arrows()
    drawn, floor = tool.direct(graph), tool.floors(graph)

    def below(room: str) -> set[str]:
        return drawn[room].union(*(below(other) for other in drawn[room]))

    for room, others in graph.items():
        assert others <= below(room)
        assert all(floor[other] < floor[room] for other in others)
