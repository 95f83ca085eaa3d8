"""Eight processes on one store, killed at random: no run torn, none lost, none trained by two.

TOASTLAB_LONG=1 does more rounds than `make test`.
"""

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.disk.test_locks import CONFIG, FORKS
from tests.helpers import tiny
from toastlab.disk import locks
from toastlab.disk.locks import Lease, clear, held
from toastlab.store import doctor
from toastlab.store.runs import Run, RunStore
from toastlab.training import checkpoint

ROUNDS = 24 if os.environ.get("TOASTLAB_LONG") else 2
PROCESSES, SEEDS = 8, 5


def asks(store: Path, seeds: list[int], notes: Path, with_locks: bool) -> None:
    """In a process of its own: asks for runs; every epoch is noted as it begins and as it ends."""
    checkpoint.EVERY = 0.0  # a killed one is gone on with from its last epoch
    if not with_locks:
        locks.HAVE_LOCKS = False
    for seed in seeds:
        handle = os.open(notes / str(seed), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        begun: list[int] = []

        def note(what: str, handle: int = handle) -> None:
            os.write(handle, f"{what} {os.getpid()}\n".encode())  # one call: lines stay whole

        def step(count: int, total: int, begun: list[int] = begun) -> None:
            if not begun:
                begun.append(1)
                note("begins")

        def epoch(row: dict[str, float]) -> None:
            note(f"{row['epoch']:.0f}")
            time.sleep(0.1)

        config = replace(CONFIG, seed=seed)
        run = RunStore(store).get(
            config, dataset=tiny(), device="cpu", on_epoch=epoch, on_step=step
        )
        assert run.weights()
        os.close(handle)


def start(store: Path, seeds: list[int], notes: Path, with_locks: bool = True) -> Any:
    process = FORKS.Process(target=asks, args=(store, seeds, notes, with_locks))
    process.start()
    return process


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """Every run as one process makes it."""
    store, runs = RunStore(tmp_path_factory.mktemp("alone")), {}
    for seed in range(SEEDS):
        runs[seed] = store.get(replace(CONFIG, seed=seed), dataset=tiny(), device="cpu")
    return runs


def whole(store: Path, alone: dict[int, Run], seeds: list[int]) -> None:
    """All runs are there, nothing else is, and each is the one that a single process makes."""
    runs = RunStore(store).list()
    assert sorted(run.config.seed for run in runs) == sorted(seeds), "lost, or there twice"
    for run in runs:
        for name in ("config.json", "arrays.safetensors", "weights.safetensors"):
            own, other = (r.folder / name for r in (run, alone[run.config.seed]))
            assert own.read_bytes() == other.read_bytes(), f"torn: {own}"
    assert all(finding.sound for finding in doctor.runs(store))
    assert not list(store.glob(".*")), "something half-made stays"


def one_at_a_time(notes: Path, killed: set[int]) -> None:
    """Of each run, the epochs follow each other; only a kill lets another process go on."""
    for file in notes.iterdir():
        holder, done = 0, 0
        for line in file.read_text().splitlines():
            what, pid = line.rsplit(" ", 1)
            if what == "begins":
                assert holder in (0, *killed), f"run {file.name} is trained by two: {line}"
                holder = int(pid)
                continue
            assert int(pid) == holder, f"run {file.name} is trained by two: {line}"
            # killed after the note and before the checkpoint, or the other way round
            assert int(what) in (done + 1, *((done, done + 2) if killed else ())), file.read_text()
            done = int(what)
        assert done == CONFIG.epochs or killed


def test_eight_writers_killed_at_random(tmp_path: Path, alone: dict[int, Run]) -> None:
    deaths = 0
    for trial in range(ROUNDS):
        lots = random.Random(trial)
        store, notes = tmp_path / f"runs{trial}", tmp_path / f"notes{trial}"
        notes.mkdir()
        orders = [lots.sample(range(SEEDS), SEEDS) for _ in range(PROCESSES)]
        at_work = {p.pid: (p, order) for order in orders for p in [start(store, order, notes)]}
        killed: set[int] = set()
        for _ in range(lots.choice([0, 3, 6, 6])):
            time.sleep(lots.uniform(0, 0.4))
            pid = lots.choice(sorted(at_work))
            process, order = at_work.pop(pid)
            process.kill()
            process.join(60)
            if process.exitcode == -signal.SIGKILL:
                killed.add(pid)
            again = start(store, order, notes)
            at_work[again.pid] = (again, order)
        for process, _ in at_work.values():
            process.join(300)
            assert process.exitcode == 0
        deaths += len(killed)
        whole(store, alone, list(range(SEEDS)))
        one_at_a_time(notes, killed)
    print(f"{ROUNDS} rounds of {PROCESSES} processes, {deaths} killed")
    assert deaths or ROUNDS < 4


def test_a_store_without_locks(tmp_path: Path, alone: dict[int, Run]) -> None:
    """As on Windows: both may train the same runs at a time, and both are served."""
    store = tmp_path / "runs"
    for trial in range(2 * ROUNDS):
        notes = tmp_path / f"notes{trial}"
        notes.mkdir()
        seeds = [trial % SEEDS, (trial + 1) % SEEDS]
        place = store / str(trial)
        processes = [start(place, seeds, notes, with_locks=False) for _ in range(2)]
        for process in processes:
            process.join(300)
            assert process.exitcode == 0
        whole(place, alone, seeds)


def test_what_is_known_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HAVE_LOCKS", False)
    first, second = Lease(tmp_path / "a"), Lease(tmp_path / "a")
    assert first.take()
    assert second.take(), "nobody is kept waiting for what cannot be known"
    assert not first.sole
    assert held(tmp_path / "a") is None
    (tmp_path / "a" / "checkpoint.pt").write_text("kept")
    (tmp_path / ".partial-0").mkdir()
    found = doctor.leftovers(tmp_path, repair=True)
    assert [f.what for f in found] == ["unknown"], "and nothing is cleared away"
    assert (tmp_path / ".partial-0").exists()
    first.free()
    second.free()
    assert (tmp_path / "a" / "checkpoint.pt").exists()
    assert clear(tmp_path / "a")
    assert clear(tmp_path / "not there")
