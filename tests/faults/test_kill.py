"""Killed at any moment and resumed, a run is the uninterrupted one, to the bit.

Half of the trials are killed by the clock, from outside. The others kill themselves at a random
Python or C call within one phase, since most of them are too short for a clock to hit.
TOASTLAB_LONG=1 does more trials than `make test`.
"""

import os
import random
import signal
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from tests.disk.test_locks import FORKS
from tests.helpers import carrying, tiny
from toastlab.store.runs import Run, RunStore
from toastlab.training import checkpoint
from toastlab.training.config import TrainConfig

TRIALS = 120 if os.environ.get("TOASTLAB_LONG") else 25
CONFIG = TrainConfig(epochs=5, batch_size=16, method=carrying(refresh_every=1))
# Phase -> the function, by file and name, that a child is to die in.
PHASES = {
    "step": ("loop.py", "_step"),
    "checkpoint": ("durable.py", "save_checkpoint"),
    "medoids": ("targets.py", "class_medoids"),
    "writing": ("runs.py", "_put"),
    "resuming": ("durable.py", "load_checkpoint"),
    "disk": ("any", "any"),  # between two calls to the system: opening, renaming, removing, locks
}
SYSTEM = ("posix", "fcntl", "_io")
# About as many calls as each phase makes in a run.
CALLS = {"step": 12_000, "checkpoint": 45_000, "medoids": 3_000, "writing": 8_000}
CALLS |= {"resuming": 18_000, "disk": 680}
KINDS = ("clock", *PHASES)


class Countdown:
    """As a profiler: sends SIGKILL to its own process at the n-th call within a phase."""

    def __init__(self, phase: str, calls: int) -> None:
        self.place, self.left, self.depth = PHASES[phase], calls, 0

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        here = (os.path.basename(code.co_filename), code.co_name) == self.place
        if here and event in ("call", "return"):
            self.depth += 1 if event == "call" else -1
        counts = self.depth and event in ("call", "c_call", "c_return")
        if self.place == PHASES["disk"]:  # before and after each call to the system
            counts = event.startswith("c_") and getattr(arg, "__module__", "") in SYSTEM
        if counts:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def child(store: Path, say: Connection, phase: str, calls: int, every: float) -> None:
    checkpoint.EVERY = every
    torch.set_num_threads(1)
    say.send("begun")
    if phase in PHASES:
        sys.setprofile(Countdown(phase, calls))
    RunStore(store).get(CONFIG, dataset=tiny(), device="cpu")


def attempt(store: Path, phase: str, calls: int, seconds: float, every: float) -> bool:
    """One process that is to be killed; True if it was, False if it was done before.

    Args:
        every: seconds between two checkpoints.
    """
    here, there = FORKS.Pipe()
    process: Any = FORKS.Process(target=child, args=(store, there, phase, calls, every))
    process.start()
    assert here.recv() == "begun"
    process.join(60 if phase in PHASES else seconds)
    process.kill()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return bool(process.exitcode)


def same(a: Run, b: Run) -> None:
    """Every file but the facts and the times in the metrics is the same."""
    assert a.key == b.key
    assert a.metrics.drop(columns="train_seconds").equals(b.metrics.drop(columns="train_seconds"))
    for name in ("weights.safetensors", "arrays.safetensors"):
        assert (a.folder / name).read_bytes() == (b.folder / name).read_bytes(), name
    assert a.dynamics is not None
    assert b.dynamics is not None
    np.testing.assert_array_equal(a.dynamics.visits, b.dynamics.visits)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nobody interrupts."""
    store = RunStore(tmp_path_factory.mktemp("whole"))
    run = store.get(CONFIG, dataset=tiny(), device="cpu")
    other = store.get(replace(CONFIG, seed=1), dataset=tiny(), device="cpu")
    with pytest.raises(AssertionError):
        same(run, replace_key(other, run))
    return run


def replace_key(run: Run, like: Run) -> Run:
    """Another run under the name of `like`, for the comparison to see more than names."""
    copy = run.folder.parent / "copies" / like.key
    copy.parent.mkdir()
    run.folder.rename(copy)
    return replace(run, folder=copy)


def test_killed_anywhere_and_resumed(whole: Run, tmp_path: Path) -> None:
    killed = dict.fromkeys(KINDS, 0)
    for trial in range(TRIALS):
        lots = random.Random(trial)
        store = tmp_path / str(trial)
        for _ in range(lots.choice([1, 1, 2, 3])):
            phase = lots.choice([*PHASES, *["clock"] * len(PHASES)])
            # there must be something to resume from
            for each in ["checkpoint", phase] if phase == "resuming" else [phase]:
                calls = lots.randrange(CALLS.get(each, 1))
                # after each epoch, or after the first and the last only, as short a run is
                every = lots.choice([0, checkpoint.EVERY])
                killed[each] += attempt(store, each, calls, lots.uniform(0, 0.4), every)
        run = RunStore(store).get(CONFIG, dataset=tiny(), device="cpu")
        same(whole, run)
        assert not list(store.glob(".*")), f"trial {trial} leaves something behind"
    print(f"{TRIALS} trials, killed: {killed}")
    assert sum(killed.values()) > TRIALS / 3, f"too few were killed at all: {killed}"
    if TRIALS > 100:
        assert all(killed.values()), killed
