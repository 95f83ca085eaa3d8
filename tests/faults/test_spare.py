"""Pages that the dashboard makes ahead: quickly handed out, within the places, never a dead one.

The pages are light ones; the server is the real one, with short minutes.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.web import HTTPError

from tests.browser.serving import started
from tests.faults.short_minute import MINUTE
from tests.faults.test_soak import children, server_of, soon
from tests.faults.test_visitors import LIGHT, kept, said
from tests.faults.visitor import Visitor, ask
from tests.widgets.test_servers import free_port
from toastlab.widgets import kernels as kernels_module
from toastlab.widgets.kernels import LOST, NewPage, VisitorKernels

PLACES, SPARE = 3, 2
GONE = 0.5 * MINUTE  # seconds, --gone-after 0.5
Server = tuple[str, str, int, Path]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="processes are read from /proc"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Address, token, process, and the folder in which it counts."""
    folder = tmp_path_factory.mktemp("spare")
    store = folder / "runs"
    words = ["dashboard", "--store", str(store), "--port", str(free_port())]
    words += ["--visitors", str(PLACES), "--spare", str(SPARE), "--gone-after", "0.5"]
    counts = {"LIGHT_PAGE_COUNTS": str(folder / "counts")}
    with started(folder, *words, program=LIGHT, **counts) as (address, word, _):
        process = server_of(store)
        assert children(process), "the address is told once the first page is made"
        yield address, word, process, folder


async def filled(process: int, count: int) -> None:
    await soon(lambda: len(children(process)) == count, lambda: children(process), 240)


def test_a_page_waits_for_its_visitor_and_the_next_is_made(server: Server) -> None:
    address, word, process, _ = server

    async def come_and_go() -> None:
        await filled(process, SPARE)
        await asyncio.sleep(2 * GONE)  # nobody has left a page that nobody has opened
        waiting = children(process)
        assert len(waiting) == SPARE
        visitors = []
        for place in range(PLACES):
            visitor = Visitor(address, word)
            await visitor.open()
            await visitor.handled(visitor.update(visitor.find(description="slow"), value=7))
            visitors.append(visitor)
            if place < SPARE:
                assert said(visitor) in {(kernel, 1) for kernel in waiting}
            # more are made while places are free, and no more
            await filled(process, min(PLACES, place + 1 + SPARE))
        kernels = {said(visitor)[0] for visitor in visitors}
        assert kernels == children(process), "each has one of his own, and nobody waits"
        status, text, _ = await asyncio.to_thread(ask, f"{address}/?token={word}")
        assert status == 503
        assert "All places are taken" in text
        for visitor in visitors:
            await visitor.close()
        await soon(lambda: not kernels & children(process), lambda: "a kernel is left")
        await filled(process, SPARE)

    asyncio.run(come_and_go())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_page_whose_kernel_is_out_of_order_is_given_to_nobody(
    how: signal.Signals, server: Server
) -> None:
    """One that has just been killed may still count as living, like one that was stopped."""
    address, word, process, folder = server

    async def visit() -> None:
        made = "two pages are made"
        await soon(lambda: kept(process, folder)["made ahead"] == SPARE, lambda: made, 240)
        dead = children(process)
        for kernel in dead:
            os.kill(kernel, how)
        visitor = Visitor(address, word)
        await visitor.open()
        await visitor.handled(visitor.update(visitor.find(description="slow"), value=7))
        kernel, moves = said(visitor)
        assert kernel not in dead
        assert moves == 1
        await visitor.close()
        await filled(process, SPARE)

    asyncio.run(visit())


def test_who_leaves_a_page_made_ahead_is_gone_as_any_other(server: Server) -> None:
    address, word, process, _ = server

    async def leave() -> None:
        await filled(process, SPARE)
        visitor = Visitor(address, word)
        await visitor.open()
        await visitor.handled(visitor.update(visitor.find(description="slow"), value=7))
        kernel = said(visitor)[0]
        visitor.vanish()
        await soon(lambda: kernel not in children(process), lambda: "the kernel is left")

    asyncio.run(leave())


def test_a_page_under_way_whose_kernel_died_is_dropped_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit() -> None:
        kernels = VisitorKernels(places=2, spare=1, connection_dir=str(tmp_path))

        async def make(name: str, parts: list[str]) -> None:
            await kernels.start_kernel(kernel_id=name, kernel_name="python3")
            await asyncio.Event().wait()  # its cells take for ever

        kernels.make = make
        kernels.begin()
        (page,) = kernels.ahead
        await soon(lambda: page.kernel in kernels, lambda: "it does not start")
        kernel: Any = kernels.get_kernel(page.kernel)
        os.kill(kernel.provisioner.pid, signal.SIGKILL)
        while await kernel.is_alive():
            await asyncio.sleep(0.1)
        look = kernels.cull_kernel_if_idle(page.kernel)  # at the same moment
        assert (await asyncio.gather(kernels.take(), look))[0] is None
        assert page.kernel not in kernels
        assert not page.work.done()
        assert kernels.ahead == []
        assert caplog.text.count("is dropped: its kernel has died") == 1
        page.work.cancel()

    asyncio.run(visit())


def test_a_page_that_cannot_be_made_keeps_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one whose kernel never came to be, nor one that is not done after a long time."""

    async def visit() -> None:
        kernels = VisitorKernels(places=1, spare=1, connection_dir=str(tmp_path))

        async def fail(name: str, parts: list[str]) -> None:
            raise OSError("no more processes")

        async def hang(name: str, parts: list[str]) -> None:
            await kernels.start_kernel(kernel_id=name, kernel_name="python3")
            await asyncio.Event().wait()

        kernels.make = fail
        await kernels.refill()
        (page,) = kernels.ahead
        await asyncio.wait([page.work])
        await kernels.refill()
        assert kernels.ahead == []
        assert "is dropped: no more processes" in caplog.text
        await kernels.refill()
        assert kernels.ahead == [], "not at once again"

        kernels.make = hang
        kernels.begin()
        (page,) = kernels.ahead
        await soon(lambda: page.kernel in kernels, lambda: "it does not start")
        await kernels.cull_kernel_if_idle(page.kernel)
        assert kernels.ahead == [page]
        monkeypatch.setattr(kernels_module, "LOADING", 0.0)
        await kernels.cull_kernel_if_idle(page.kernel)
        assert kernels.ahead == []
        assert page.kernel not in kernels
        assert "is dropped: it took too long" in caplog.text
        page.work.cancel()

    asyncio.run(visit())


def test_who_reads_a_page_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its kernel dies; and he gets a sign of life as long as nothing else comes."""

    async def read(*parts: str) -> str:
        async def make(name: str, made: list[str]) -> None:
            for part in parts:
                made.append(part)
                await asyncio.sleep(0.5)
            raise RuntimeError("Kernel died")

        return "".join([part async for part in NewPage("x", make).text()])

    assert asyncio.run(asyncio.wait_for(read("<html>", "<p>"), 60)) == f"<html><p>{LOST}"
    with pytest.raises(RuntimeError, match="Kernel died"):  # it can still be told as an error
        asyncio.run(asyncio.wait_for(read(), 60))
    monkeypatch.setattr(kernels_module, "BEAT", 0.0)
    text = asyncio.run(asyncio.wait_for(read("<html>"), 60))
    assert text.startswith("<html>\n")


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2, 0.4])
def test_kernels_that_just_start_end_quietly_with_the_server(
    after: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Jupyter interrupts a kernel before it ends it: one that starts would show a traceback."""

    async def visit() -> None:
        kernels = VisitorKernels(places=3, spare=2, connection_dir=str(tmp_path))

        async def make(name: str, parts: list[str]) -> None:
            await kernels.start_kernel(kernel_id=name, kernel_name="python3")
            await asyncio.Event().wait()

        others = children(os.getpid())
        kernels.make = make
        kernels.begin()
        kernels.begin()
        pages = list(kernels.ahead)
        assert len(pages) == 2
        end = time.monotonic() + 60
        while len(children(os.getpid()) - others) < 2:
            assert time.monotonic() < end, "they do not start"
            await asyncio.sleep(0.01)
        await asyncio.sleep(after)
        await kernels.shutdown_all()
        assert "Traceback" not in capfd.readouterr().err
        assert kernels.list_kernel_ids() == []
        assert children(os.getpid()) == others
        with pytest.raises(HTTPError, match="503"):  # nobody comes in meanwhile
            await kernels.start_kernel(kernel_name="python3")
        with pytest.raises(HTTPError, match="503"):
            await kernels.page()
        await kernels.refill()
        assert kernels.ahead == [], "no page is begun"
        for page in pages:
            page.work.cancel()

    asyncio.run(visit())
