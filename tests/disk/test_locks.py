"""Many processes and one store: each run trained once, none torn, none lost."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import tiny
from toastlab.core.errors import Stopped, StoreError
from toastlab.disk import locks
from toastlab.disk.locks import Lease, Slots, held
from toastlab.store.names import run_key
from toastlab.store.runs import RunStore
from toastlab.training.config import TrainConfig

fcntl = pytest.importorskip("fcntl")  # locks, and SIGKILL, as Windows does not have them
# A server that has imported torch and nothing else forks them: quick, and no threads to inherit.
FORKS: Any = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.disk.test_locks", "tests.faults.test_kill"])
CONFIG = TrainConfig(epochs=3, batch_size=16)


def trains(store: Path, seeds: list[int], notes: Path, slow: float) -> None:
    """In a process of its own: asks for runs, and notes every epoch that it trains."""
    for seed in seeds:

        def note(row: dict[str, float], seed: int = seed) -> None:
            with open(notes, "a") as file:
                file.write(f"{seed} {row['epoch']:.0f}\n")
            time.sleep(slow)

        config = replace(CONFIG, seed=seed)
        assert RunStore(store).get(config, dataset=tiny(), device="cpu", on_epoch=note)


def start(store: Path, seeds: list[int], notes: Path, slow: float = 0.05) -> Any:
    process = FORKS.Process(target=trains, args=(store, seeds, notes, slow))
    process.start()
    return process


def until(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_each_run_is_trained_once(tmp_path: Path) -> None:
    store, notes = tmp_path / "runs", tmp_path / "notes"
    orders = [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3], [2, 0, 3, 1]]
    processes = [start(store, order, notes) for order in orders]
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert sorted(lines(notes)) == [f"{seed} {epoch}" for seed in range(4) for epoch in (1, 2, 3)]
    runs = RunStore(store).list()
    assert sorted(run.config.seed for run in runs) == [0, 1, 2, 3]
    for run in runs:
        assert run.weights()
        assert len(run.metrics) == 3
    assert not list(store.glob(".*"))


def test_a_killed_holder_frees_its_run(tmp_path: Path) -> None:
    store, notes = tmp_path / "runs", tmp_path / "notes"
    first = start(store, [0], notes, slow=60)
    until(lambda: lines(notes))
    (partial,) = store.glob(".partial-*")
    assert held(partial) is True
    second = start(store, [0], notes)
    time.sleep(0.5)
    assert lines(notes) == ["0 1"], "the second one waits"
    os.kill(first.pid, signal.SIGKILL)
    second.join(60)
    assert second.exitcode == 0
    assert lines(notes) == ["0 1", "0 2", "0 3"], "and goes on from the first one's checkpoint"
    assert held(partial) is None
    first.join(10)


def holds(folder: Path, say: Connection) -> None:
    """In a process of its own: takes the lock, and forks a worker as reading images does."""
    lease = Lease(folder)
    assert lease.take()
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    say.send(worker.pid)
    time.sleep(60)


def test_the_workers_of_a_killed_holder_do_not_keep_its_lock(tmp_path: Path) -> None:
    here, there = FORKS.Pipe()
    holder: Any = FORKS.Process(target=holds, args=(tmp_path, there))
    holder.start()
    worker = here.recv()
    assert held(tmp_path) is True
    holder.kill()
    holder.join(60)
    try:
        assert os.path.exists(f"/proc/{worker}") or sys.platform != "linux"
        assert held(tmp_path) is False
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_waiting_process_can_be_stopped_and_finds_what_the_other_made(tmp_path: Path) -> None:
    store, data = RunStore(tmp_path / "runs"), tiny()
    partial = store.root / f".partial-{run_key(CONFIG, data.fingerprint)}"
    other = Lease(partial)
    assert other.take()
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(Stopped, match="another process"):
        store.get(CONFIG, dataset=data, device="cpu", should_stop=stop)
    assert len(asked) == 3
    assert not (partial / "checkpoint.pt").exists()
    asked.clear()

    def finished() -> bool:  # by the other process, between two looks
        if not asked:
            made = RunStore(tmp_path / "elsewhere").get(CONFIG, dataset=data, device="cpu")
            made.folder.rename(store.root / made.key)
            other.free()
        asked.append(1)
        return False

    epochs: list[object] = []
    run = store.get(
        CONFIG, dataset=data, device="cpu", should_stop=finished, on_epoch=epochs.append
    )
    assert run.metrics.epoch.tolist() == [1, 2, 3]
    assert not epochs, "found, not trained"


def test_a_lock_on_a_file_that_was_cleared_away_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, flock = tmp_path / "partial", fcntl.flock

    def late(handle: int, how: int) -> None:
        (folder / locks.NAME).unlink(missing_ok=True)
        flock(handle, how)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", late)
        assert not Lease(folder).take()
    mine = Lease(folder)
    assert mine.take()
    assert not Lease(folder).take()
    mine.free()
    again = Lease(folder)
    assert again.take()
    again.free()


def test_a_folder_that_is_removed_while_it_is_looked_at_is_not_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, make = tmp_path / "partial", os.mkdir
    folder.mkdir()

    def late(path: Path, *how: int) -> None:
        try:
            make(path, *how)
        finally:
            folder.rmdir()

    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", late)
        assert not Lease(folder).take()
    folder.write_text("mine")
    with pytest.raises(FileExistsError):
        Lease(folder).take()


def test_who_frees_a_lock_leaves_the_next_holder_his(tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    mine, other = Lease(folder), Lease(folder)
    assert mine.take()
    shutil.rmtree(folder)  # as who has stored a run does
    assert other.take()
    mine.free()
    assert not Lease(folder).take(), "the other one has it"
    other.free()
    assert not folder.exists()


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK])
def test_without_locks_nothing_is_lost(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process on such a file system finishes the same run in the middle of ours."""

    def none(handle: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", none)
    store, data = RunStore(tmp_path / "runs"), tiny()
    alone = RunStore(tmp_path / "alone").get(CONFIG, dataset=data, device="cpu")

    def meanwhile(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            store.get(CONFIG, dataset=data, device="cpu")
            assert not list(store.root.glob(".*"))

    run = store.get(CONFIG, dataset=data, device="cpu", on_epoch=meanwhile)
    assert (run.folder / "weights.safetensors").read_bytes() == (
        alone.folder / "weights.safetensors"
    ).read_bytes()
    assert "no locks in" in caplog.text
    assert not list(store.root.glob(".*"))


@pytest.mark.parametrize("place", ["folder", "lock"])
def test_links_lead_no_writer_out_of_the_store(place: str, tmp_path: Path) -> None:
    store, data, outside = RunStore(tmp_path / "runs"), tiny(), tmp_path / "outside"
    partial = store.root / f".partial-{run_key(CONFIG, data.fingerprint)}"
    store.root.mkdir()
    if place == "folder":
        outside.mkdir()
        partial.symlink_to(outside)
    else:
        partial.mkdir()
        outside.write_text("mine")
        (partial / locks.NAME).symlink_to(outside)
    with pytest.raises(StoreError, match=r"symbolic link"):
        store.get(CONFIG, dataset=data, device="cpu")
    if place == "folder":
        assert not list(outside.iterdir())
    else:
        assert outside.read_text() == "mine"


# --- slots ------------------------------------------------------------------------------------

HOLD = (
    "import sys; from toastlab.disk.locks import Slots; s = Slots(sys.argv[1], 2); print(s.take())"
)


def holder(root: Path) -> subprocess.Popen[str]:
    """A process that has taken a slot and holds it until it is ended."""
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


def test_slots_are_counted_over_processes(tmp_path: Path) -> None:
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
    assert RunStore(tmp_path).list() == [], "slots are no runs"


def test_a_killed_holder_frees_its_slot(tmp_path: Path) -> None:
    other, mine = holder(tmp_path), Slots(tmp_path, 1)
    assert not mine.take()
    other.kill()
    other.communicate()
    assert mine.take()
    mine.free()


def test_no_limit(tmp_path: Path) -> None:
    assert all(Slots(tmp_path, 0).take() for _ in range(3))
    assert list(tmp_path.iterdir()) == []


def test_a_panel_waits_for_its_slot_and_can_be_stopped(tmp_path: Path) -> None:
    from toastlab.widgets import AblationPanel  # too much for the processes that are forked

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
    until(lambda: panel.live or not panel.running, 240)
    assert panel.live, panel.error.value
    panel.stop()
    assert panel.wait(60)
    assert taken.take(), "its slot is free again"
    taken.free()
