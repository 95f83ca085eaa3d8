"""The dashboard under visitors who come, move, train, close or vanish: nothing grows or stays.

With TOASTLAB_LONG=1: 20 visitors who move a control 60 times each, in two hours every
two minutes, and train; without breaks between, in at most ten minutes. It needs 14 GB.
"""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.browser.serving import started
from tests.faults.visitor import Visitor
from tests.widgets.test_servers import free_port
from toastlab.store.doctor import leftovers
from toastlab.widgets.visitors import MEMORY

LONG = os.environ.get("TOASTLAB_LONG") == "1"
VISITORS, MOVES, WARM = (20, 60, 10) if LONG else (2, 20, 10)
LIMIT = 1800 if LONG else 900  # seconds, where all cores are busy
SHORT = ("-m", "tests.faults.short_minute")
INDEX = {"medoid weight a": 2, "past weight b": 2, "measure": 3, "epoch": 9, "probability below": 8}

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from /proc"
)


def parents() -> dict[int, int]:
    """Every process and the one that started it."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        if fields[0] != "Z":
            found[int(file.parent.name)] = int(fields[1])
    return found


def children(root: int) -> set[int]:
    """The living processes that `root` started."""
    return {process for process, parent in parents().items() if parent == root}


def server_of(folder: Path) -> int:
    """The dashboard that writes into a folder."""
    for process in parents():
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"dashboard" in words and str(folder).encode() in words:
            return process
    raise AssertionError("no dashboard")


def memory(process: int) -> float:
    """What a process holds for itself, in MB."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon"):
            return float(line.split()[1]) / 1024
    raise AssertionError("no Pss_Anon")


def threads(process: int) -> int:
    return len(list(Path(f"/proc/{process}/task").iterdir()))


async def soon(true: Callable[[], bool], what: Callable[[], object], seconds: float = 120) -> None:
    """Waits until it is so: what has ended may need a while to be gone on a busy machine."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what()
        await asyncio.sleep(0.5)


async def move(visitor: Visitor, times: int) -> None:
    for i in range(times):
        label = list(INDEX)[i % len(INDEX)]
        await visitor.move(label, i % (INDEX[label] + 1))


def test_visitors_come_and_go(tmp_path: Path) -> None:
    store = tmp_path / "runs"
    words = ["dashboard", "--store", str(store), "--port", str(free_port())]
    words += ["--gone-after", "0.5", "--trainings", "2", "--spare", "0"]
    told: dict[str, object] = {}

    async def one(address: str, word: str) -> None:
        visitor = Visitor(address, word)
        await visitor.open()
        await move(visitor, 2)
        await visitor.close()

    async def gone(server: int) -> None:
        left = "a visitor's process is left"
        await soon(lambda: not children(server), lambda: left, 240)

    async def soak(address: str, word: str, server: int) -> None:
        # pages are loaded in threads, and names looked up in others: enough for all at a time
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * VISITORS + 4))
        await one(address, word)  # what the server allocates once
        await gone(server)
        before = memory(server), threads(server)
        visitors = [Visitor(address, word) for _ in range(VISITORS)]
        await asyncio.gather(*(visitor.open() for visitor in visitors))
        kernels = children(server)
        assert len(kernels) == VISITORS
        # the first drawing of each kind, and one training: what a visitor's process allocates once
        for visitor in visitors:
            visitor.press("Train this setting")
        await asyncio.gather(*(visitor.says("Done", seconds=LIMIT) for visitor in visitors))
        await asyncio.gather(*(move(visitor, WARM) for visitor in visitors))
        warm = {kernel: (memory(kernel), threads(kernel)) for kernel in kernels}
        # what the help says of it; PyTorch 2.6 holds two thirds
        least = 0.6 if version("torch").startswith("2.6.") else 0.75
        for held, _ in warm.values():
            assert least * MEMORY <= held / 1000 <= 1.15 * MEMORY, warm
        await asyncio.gather(*(move(visitor, MOVES - WARM) for visitor in visitors))
        end = {kernel: (memory(kernel), threads(kernel)) for kernel in kernels}
        for kernel, (held, running) in warm.items():
            assert end[kernel][0] <= 1.1 * held, (warm, end)
            await soon(lambda k=kernel, n=running: threads(k) <= n, lambda: "a thread is left")  # type: ignore[misc]
        for i, visitor in enumerate(visitors):  # settings of their own: all of it is new
            visitor.update(visitor.find(description="seed"), index=i % 4)
            visitor.update(visitor.find(description="temperature T_m"), index=i % 2)
            visitor.update(visitor.find(description="medoid weight a"), index=1 + i % 2)
            visitor.press("Train this setting")
        await asyncio.gather(*(v.says("epoch ", "Waiting", "Done") for v in visitors))
        for visitor in visitors[::2]:
            visitor.press("Stop")
        await asyncio.gather(*(v.says("Stopped", "Done") for v in visitors[::2]))
        for visitor in visitors[1:]:
            await visitor.close()
        visitors[0].vanish()
        await gone(server)
        # each started training ended or was stopped: no living process holds one
        assert not [f for f in leftovers(store, repair=False) if f.what == "under way"]
        await soon(lambda: threads(server) <= before[1], lambda: "a thread is left")
        after = memory(server), threads(server)
        told.update(server=(before, after), warm=warm, end=end)
        assert after[0] <= 1.1 * before[0], told

    begin = time.monotonic()
    with started(tmp_path, *words, program=SHORT) as (address, word, _):
        server = server_of(store)
        asyncio.run(asyncio.wait_for(soak(address, word, server), LIMIT))
    assert not children(server)
    print(f"{VISITORS} visitors, {time.monotonic() - begin:.0f} s: {told}")
