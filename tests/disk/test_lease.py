"""Many processes and one store: each run trained once, none torn, none lost."""

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import tiny
from toastlab.core.errors import StoreError
from toastlab.disk import lease
from toastlab.disk.lease import Lease, held
from toastlab.store.runs import RunStore, run_key
from toastlab.training.config import TrainConfig

fcntl = pytest.importorskip("fcntl")  # locks, and SIGKILL, as Windows does not have them
# A server that has imported torch and nothing else forks them: quick, and no threads to inherit.
FORKS: Any = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.disk.test_lease", "tests.faults.test_kill"])
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


def test_a_waiting_process_can_be_stopped_and_finds_what_the_other_made(tmp_path: Path) -> None:
    store, data = RunStore(tmp_path / "runs"), tiny()
    partial = store.root / f".partial-{run_key(CONFIG, data.fingerprint)}"
    other = Lease(partial)
    assert other.take()
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    assert store.get(CONFIG, dataset=data, device="cpu", should_stop=stop) is None
    assert len(asked) == 3
    assert not (partial / "checkpoint.pt").exists()
    asked.clear()

    def finished() -> bool:  # by the other process, between two looks
        if not asked:
            made = RunStore(tmp_path / "elsewhere").get(CONFIG, dataset=data, device="cpu")
            assert made is not None
            made.folder.rename(store.root / made.key)
            other.free()
        asked.append(1)
        return False

    epochs: list[object] = []
    run = store.get(
        CONFIG, dataset=data, device="cpu", should_stop=finished, on_epoch=epochs.append
    )
    assert run is not None
    assert not epochs, "found, not trained"


def test_a_lock_on_a_file_that_was_cleared_away_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, flock = tmp_path / "partial", fcntl.flock

    def late(handle: int, how: int) -> None:
        (folder / lease.NAME).unlink(missing_ok=True)
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


def test_without_locks_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process on such a file system finishes the same run in the middle of ours."""

    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", none)
    store, data = RunStore(tmp_path / "runs"), tiny()
    alone = RunStore(tmp_path / "alone").get(CONFIG, dataset=data, device="cpu")

    def meanwhile(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            assert store.get(CONFIG, dataset=data, device="cpu") is not None
            assert not list(store.root.glob(".*"))

    run = store.get(CONFIG, dataset=data, device="cpu", on_epoch=meanwhile)
    assert run is not None
    assert alone is not None
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
        (partial / lease.NAME).symlink_to(outside)
    with pytest.raises(StoreError, match=r"symbolic link"):
        store.get(CONFIG, dataset=data, device="cpu")
    if place == "folder":
        assert not list(outside.iterdir())
    else:
        assert outside.read_text() == "mine"
