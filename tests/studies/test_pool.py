"""Workers that are killed, really: on this machine and on a local dask cluster."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.studies.tasks import die_at_1, die_at_2, square
from toastlab.core.errors import DeviceError, WorkerError
from toastlab.data.dataset import DataConfig
from toastlab.studies.arms import Job
from toastlab.studies.pool import run_tasks
from toastlab.studies.runner import run_all
from toastlab.training.config import TrainConfig

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")


def test_every_task_once() -> None:
    assert list(run_tasks(square, [(i,) for i in range(9)])) == [i * i for i in range(9)]
    for backend in ("loky", "dask"):
        assert list(run_tasks(square, [], 2, backend)) == []


def test_a_killed_process_costs_only_what_it_had_in_hand(tmp_path: Path) -> None:
    tasks = [(i, str(tmp_path), True) for i in range(6)]
    assert sorted(run_tasks(die_at_2, tasks, 2)) == list(range(6))
    assert (tmp_path / "dead").exists()


def test_processes_that_keep_dying_are_an_error_in_one_line(tmp_path: Path) -> None:
    tasks = [(i, str(tmp_path), False) for i in range(4)]
    with pytest.raises(WorkerError, match=r"killed twice in a row.*the same command goes on"):
        list(run_tasks(die_at_2, tasks, 2))


def test_wrong_places_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend, scheduler, said in (
        ("dusk", "", "Did you mean 'dask'"),
        ("loky", "tcp://x:1", "add --backend dask"),
        ("dask", "", "--scheduler tcp://HOST:8786"),
    ):
        with pytest.raises(ValueError, match=said):
            list(run_tasks(square, [(1,)], 1, backend, scheduler))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r'pip install "toastlab\[cluster\]"'):
        list(run_tasks(square, [(1,)], 1, "dask", "tcp://x:1"))


class CountTraining(distributed.WorkerPlugin):  # type: ignore[misc,name-defined]
    """Notes in a file which process begins and ends which training, on new workers too."""

    def __init__(self, notes: str) -> None:
        self.notes = notes

    def setup(self, worker: Any) -> None:
        from toastlab.store import runs

        module: Any = runs
        train = module.train

        def noted(config: TrainConfig, **options: Any) -> Any:
            self.note("start", config)
            result = train(config, **options)
            self.note("end", config)
            return result

        module.train = noted

    def note(self, what: str, config: TrainConfig) -> None:
        with open(self.notes, "a") as file:
            file.write(f"{what} {config.seed} {os.getpid()}\n")


def noted(notes: Path, what: str) -> list[tuple[int, int]]:
    """Seed and process of every note of that kind."""
    lines = [line.split() for line in notes.read_text().splitlines()]
    return [(int(seed), int(pid)) for word, seed, pid in lines if word == what]


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file of the finished runs, with its inode and when it was written."""
    files = [p for p in folder.glob("*/*") if not p.parent.name.startswith(".")]
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}


def test_a_dask_worker_that_dies_loses_no_finished_run(tmp_path: Path) -> None:
    notes, store = tmp_path / "notes", tmp_path / "runs"
    base = TrainConfig(data=DataConfig(name="digits"), epochs=20, batch_size=64, record="none")
    jobs = [Job("", "", replace(base, seed=seed)) for seed in range(6)]
    done = {}
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(CountTraining(str(notes)))
        where: dict[str, Any] = {"backend": "dask", "scheduler": cluster.scheduler_address}
        for job, run in run_all(jobs, store, device="cpu", **where):
            done[job.config.seed] = run
            if len(done) == 2:
                until = time.monotonic() + 240
                while not (busy := set(noted(notes, "start")) - set(noted(notes, "end"))):
                    assert time.monotonic() < until, "no run is under way"
                    time.sleep(0.01)
                lost, victim = busy.pop()
                before = state(store)
                os.kill(victim, signal.SIGKILL)  # in the middle of its run
        assert sorted(done) == list(range(6))
        assert all(run.config.seed == seed for seed, run in done.items())
        assert len({run.key for run in done.values()}) == 6
        assert before
        assert before.items() <= state(store).items(), "what was finished was not touched"
        ends = [seed for seed, _ in noted(notes, "end")]
        assert sorted(ends) == list(range(6)), "no run was trained to its end twice"
        starts = [seed for seed, _ in noted(notes, "start")]
        assert sorted(starts) == sorted([*range(6), lost]), "only the lost run was begun again"
        assert not list(store.glob(".partial-*"))
        assert len(list(run_all(jobs, store, **where))) == 6
        assert len(noted(notes, "start")) == 7, "asked again, nothing is trained"


def test_a_run_that_kills_every_worker_ends_the_sweep_instead_of_hanging() -> None:
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as one,
        pytest.raises(WorkerError, match="dask gave a run up"),
    ):
        list(run_tasks(die_at_1, [(i,) for i in range(3)], 1, "dask", one.scheduler_address))


def test_clusters_that_are_of_no_use() -> None:
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as wide,
        pytest.raises(DeviceError, match="--nthreads 1"),
    ):
        list(run_tasks(square, [(1,)], 1, "dask", wide.scheduler_address))
