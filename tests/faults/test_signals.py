"""Ctrl-C, TERM and KILL: commands with workers end with all of them, and keep what was done."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.browser.serving import ROOT, started
from tests.faults.test_soak import children, server_of
from tests.faults.visitor import Visitor, ask
from tests.widgets.test_servers import free_port
from toastlab.store.doctor import leftovers

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are read from /proc"
)
LONG_RUNS = "--epochs 5000 --workers 2 --store runs"
COMMANDS = {
    "compare": f"compare --methods toast --data.name digits --seeds 3 {LONG_RUNS}",
    "sweep": f"sweep toast --axis past-weight 0,1 --data.name digits --seeds 2 {LONG_RUNS}",
    "study run": "study run regime --workers 2 --store runs --out out --yes",
}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
SECONDS = 60  # on a machine that is busy; alone it is one or two


def living(session: int) -> set[int]:
    """The processes of a session, without those that have ended and are not yet waited for."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = file.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.add(int(file.parent.name))
    return found


def until(true: Callable[[], object], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@contextlib.contextmanager
def running(folder: Path, line: str) -> Iterator["subprocess.Popen[str]"]:
    """A command in a session of its own, at whose end nothing of it is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "toastlab", *line.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("compare", signal.SIGTERM),
        ("compare", signal.SIGINT),
        ("compare", signal.SIGKILL),
        ("sweep", signal.SIGTERM),
        ("study run", signal.SIGTERM),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_workers_end_with_their_command(command: str, number: int, tmp_path: Path) -> None:
    """The signal goes to the command alone, as from `kill` or a batch system."""
    with running(tmp_path, COMMANDS[command]) as process:
        checkpoints = ".partial-*/checkpoint.pt"
        until(
            lambda: len(list((tmp_path / "runs").glob(checkpoints))) == 2 or process.poll(),
            "no two runs are under way",
            300,
        )
        assert process.poll() is None
        assert len(living(process.pid)) >= 3
        process.send_signal(number)
        assert process.wait(SECONDS) == CODES[number]  # type: ignore[index]
        until(lambda: not living(process.pid), "a worker is left", SECONDS)
        assert process.stderr is not None
        said = process.stderr.read()
    if number != signal.SIGKILL:
        assert "Traceback" not in said
        assert re.search(r"^toastlab: .*; what was finished is kept", said.splitlines()[-1])
    kept = leftovers(tmp_path / "runs", repair=False)
    assert [f.text for f in kept if "interrupted run" in f.text], "checkpoints are kept"
    assert not [f for f in kept if f.what == "under way"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_the_dashboard_ends_its_visitors_trainings(number: int, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    words = ["dashboard", "--store", str(store), "--port", str(free_port())]

    async def train(address: str, word: str) -> None:
        visitor = Visitor(address, word)
        await visitor.open()
        visitor.update(visitor.find(description="past weight b"), index=1)
        visitor.press("Train this setting")
        await visitor.says("epoch ", "Done")

    with started(tmp_path, *words) as (address, word, log):
        process = server_of(store)
        asyncio.run(asyncio.wait_for(train(address, word), 300))
        kernels = children(process)
        assert kernels
        os.kill(process, number)
        until(lambda: not alive(kernels | {process}), "a process is left", SECONDS)
        assert "Traceback" not in log.read_text()
    assert not [f for f in leftovers(store, repair=False) if f.what == "under way"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_jupyterlab_ends_its_kernels(number: int, tmp_path: Path) -> None:
    words = ["lab", "--folder", str(tmp_path), "--port", str(free_port())]
    with started(tmp_path, *words) as (address, word, log):
        jar = CookieJar()
        key = {"Authorization": f"token {word}"}
        assert ask(f"{address}/api/kernels", "POST", jar, **key)[0] == 201
        (process,) = (p for p in living_with(b"lab", str(tmp_path).encode()))
        kernels = children(process)
        assert kernels
        os.kill(process, number)
        until(lambda: not alive(kernels | {process}), "a process is left", SECONDS)
        # a kernel that is still starting, interrupted by its server, shows its own traceback
        assert "toastlab/cli" not in log.read_text()


def alive(processes: set[int]) -> set[int]:
    """Those that have not ended."""
    found = set()
    for process in processes:
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{process}/stat").read_text()
            if stat.rsplit(")", 1)[1].split()[0] != "Z":
                found.add(process)
    return found


def living_with(*words: bytes) -> set[int]:
    """The processes whose command line has these words."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if set(words) <= set(file.read_bytes().split(b"\0")):
                found.add(int(file.parent.name))
    return found
