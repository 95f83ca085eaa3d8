"""Places for trainings, over processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toastlab.disk.slots import Slots
from toastlab.store.runs import RunStore
from toastlab.widgets import AblationPanel

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no locks here: no limit, as is documented")

HOLD = (
    "import sys; from toastlab.disk.slots import Slots; s = Slots(sys.argv[1], 2); print(s.take())"
)


def holder(root: Path) -> subprocess.Popen[str]:
    """A process that has taken a place and holds it until it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD + "; sys.stdout.flush(); sys.stdin.read()", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    return process


def test_places_are_counted_over_processes(tmp_path: Path) -> None:
    mine, late = Slots(tmp_path, 2), Slots(tmp_path, 2)
    other = holder(tmp_path)
    try:
        assert mine.take()
        assert not late.take()
        mine.free()
        assert late.take()
        late.free()
        late.free()
    finally:
        other.kill()
        other.communicate()
    assert RunStore(tmp_path).list() == [], "places are no runs"


def test_a_killed_holder_frees_its_place(tmp_path: Path) -> None:
    other, mine = holder(tmp_path), Slots(tmp_path, 1)
    assert not mine.take()
    other.kill()
    other.communicate()
    assert mine.take()
    mine.free()


def test_no_limit(tmp_path: Path) -> None:
    assert all(Slots(tmp_path, 0).take() for _ in range(3))
    assert list(tmp_path.iterdir()) == []


def test_a_panel_waits_for_its_place_and_can_be_stopped(tmp_path: Path) -> None:
    panel = AblationPanel(tmp_path, trainings=1)
    taken = Slots(tmp_path, 1)
    assert taken.take()
    said: list[str] = []
    panel.status.observe(lambda change: said.append(change["new"]), names="value")
    panel.train()
    assert not panel.wait(0.5)
    panel.stop()
    assert panel.wait(10)
    assert "Waiting: a training is running" in said[0]
    assert "Stopped before it began" in panel.status.value
    assert panel.train_button.disabled is False
    taken.free()
    panel.train()
    while not panel.live:
        assert panel.running or panel.live, panel.error.value
    panel.stop()
    assert panel.wait(10)
    assert taken.take(), "its place is free again"
    taken.free()
