"""The ablation: the stored grid, looking it up, live training, Stop, and nothing left behind."""

import ctypes
import gc
import os
import threading
import time
from pathlib import Path

import pytest

from toastlab import RunStore
from toastlab.core.errors import DataError
from toastlab.methods import ToastConfig
from toastlab.studies.ablation import AXES, canonical, load, look_up, plane, points, seeds_of
from toastlab.widgets import AblationPanel

TRAINED = "<small>Done"


@pytest.fixture
def panel(tmp_path: Path) -> AblationPanel:
    return AblationPanel(tmp_path / "live")


def until(true: object, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_the_grid_is_whole_and_real() -> None:
    table = load()
    assert len(points()) >= 60
    assert len(table) == sum(len(seeds_of(point)) for point in points())
    assert table.run.is_unique
    for point in points():
        rows = table
        for name, value in point.items():
            rows = rows[rows[name] == value]
        assert sorted(rows.seed) == list(seeds_of(point))


def test_what_is_not_on_the_grid_is_not_made_up() -> None:
    table = load()
    point = points()[-1]
    with pytest.raises(DataError, match="nothing is interpolated"):
        look_up(table, {**point, "medoid_weight": 0.45}, "test_top1")


def test_the_plane_has_both_weights_and_all_else_of_the_point() -> None:
    table, point = load(), points()[-1]
    cells = plane(table, point, "test_nll")
    assert tuple(cells.index.astype(float)) == AXES["medoid_weight"]
    assert tuple(cells.columns.astype(float)) == AXES["past_weight"]
    here = {**point, "medoid_weight": 0.1, "past_weight": 2.0}
    assert cells.at[0.1, 2.0] == look_up(table, here, "test_nll")[0]


def test_a_table_of_other_settings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {float(rate): "0" * 64 for rate in AXES["noise_rate"]}
    with pytest.raises(DataError, match="no longer match"):
        load(fingerprints=wrong)


def test_the_sentence_says_what_the_table_has(panel: AblationPanel) -> None:
    for name, value in (("medoid_weight", 0.7), ("past_weight", 0.0), ("noise_rate", 0.2)):
        before = panel.picture.value
        panel.controls[name].value = value
        assert panel.error.value == ""
        assert panel.picture.value != before or name == "noise_rate"
    rows = panel.table
    for axis, at in canonical(panel.point()).items():
        rows = rows[rows[axis] == at]
    assert len(rows) == 10, "the plane of the weights has more seeds than the rest"
    assert f"this setting {100 * rows.test_top1.mean():.1f} [" in panel.text
    panel.controls["seed"].value = 1
    (one,) = rows[rows.seed == 1].test_top1
    assert f"this setting {100 * one:.1f};" in panel.text, "one run has no interval"
    assert "one stored run each" in panel.text
    assert "mean" not in panel.text
    assert "interval" not in panel.text


def test_the_sliders_hold_the_grid_and_nothing_else(panel: AblationPanel) -> None:
    for name, values in AXES.items():
        shown = [o[1] if isinstance(o, tuple) else o for o in panel.controls[name].options]
        assert tuple(shown) == values


def test_it_opens_at_the_defaults_with_wrong_labels(panel: AblationPanel) -> None:
    default = ToastConfig()
    assert panel.value("noise_rate") > 0
    for name in AXES:
        if name != "noise_rate":
            assert panel.value(name) == getattr(default, name)


def test_a_live_run_lands_in_the_store_and_equals_the_stored_one(panel: AblationPanel) -> None:
    panel.controls["seed"].value = 0
    point = panel.point()
    panel.train_button.click()
    until(lambda: panel.live)
    assert panel.stop_button.disabled is False
    assert panel.wait(240)
    assert panel.error.value == ""
    assert panel.status.value.startswith(TRAINED)
    assert "a 0.3, b 3, noise 20 %, seed 0: test top-1 " in panel.status.value
    assert len(panel.live) == 30
    (run,) = RunStore(panel.store.root).list()
    rows = panel.table[panel.table.run == run.key]
    assert len(rows) == 1, "the same name as the run of the grid with this setting and seed"
    assert {k: rows[k].iloc[0] for k in point} == point
    # another machine may differ in digits, not in what it is
    assert run.last["test_top1"] == pytest.approx(rows.test_top1.iloc[0], abs=0.03)
    with_live = panel.picture.value
    panel.controls["medoid_weight"].value = 0.0
    fresh = AblationPanel(panel.store.root.parent / "other")
    fresh.restore(panel.state())
    assert panel.picture.value == fresh.picture.value, "no live curve at another setting"
    panel.controls["medoid_weight"].value = 0.3
    assert panel.picture.value == with_live


def stopping_takes(panel: AblationPanel, epochs: int) -> float:
    """Seconds from a click on Stop to the end of the run, once `epochs` are over."""
    panel.train()
    until(lambda: len(panel.live) >= epochs)
    start = time.monotonic()
    panel.stop_button.click()
    assert panel.wait(60)
    assert "Stopped" in panel.status.value
    assert panel.train_button.disabled is False
    return time.monotonic() - start


def test_stop_stops_and_train_goes_on_from_there(panel: AblationPanel) -> None:
    for epochs in (0, 1, 3):  # before the first epoch, and within later ones
        stopping_takes(panel, epochs)
    assert RunStore(panel.store.root).list() == []
    panel.train()
    until(lambda: panel.live)
    assert panel.live[0]["epoch"] >= 3, "not from the beginning"
    panel.stop()
    assert panel.wait(60)


@pytest.mark.bar
def test_stop_takes_at_most_a_second(panel: AblationPanel) -> None:
    """The quickest of three: what else runs only adds."""
    assert min(stopping_takes(panel, epochs) for epochs in (1, 2, 3)) <= 1


def test_an_error_in_the_thread_is_shown(
    panel: AblationPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise RuntimeError("the disk is <full>")

    monkeypatch.setattr(panel.store, "get", fails)
    picture = panel.picture.value
    panel.train()
    assert panel.wait(60)
    assert "the disk is &lt;full&gt;" in panel.error.value
    assert panel.picture.value == picture
    assert panel.train_button.disabled is False


def test_training_twice_at_once_is_refused(panel: AblationPanel) -> None:
    panel.train()
    first = panel.thread
    panel.train()
    assert panel.thread is first
    panel.stop()
    assert panel.wait(60)


def resident() -> float:
    """Memory of this process in pages, from the kernel, without what the allocator holds empty."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)
    return float(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_fifty_starts_and_stops_leave_nothing(panel: AblationPanel) -> None:
    def cycle() -> None:
        panel.train()
        until(lambda: panel.progress.max == 30)
        panel.stop()
        assert panel.wait(60)

    for _ in range(10):  # what is allocated once
        cycle()
    threads, memory = threading.active_count(), resident()
    for _ in range(50):
        cycle()
    assert threading.active_count() == threads
    assert resident() <= 1.05 * memory
