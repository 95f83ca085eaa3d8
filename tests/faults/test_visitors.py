"""What one visitor, or a class that comes at the same moment, can take of a dashboard.

The pages are light ones, whose kernels start in a second; the server is the real one, with short
minutes. With TOASTLAB_LONG=1 a thousand visits, in half an hour.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tornado.websocket import WebSocketClosedError

from tests.browser.serving import started
from tests.faults.short_minute import MINUTE
from tests.faults.test_soak import children, memory, server_of, soon
from tests.faults.visitor import Visitor, ask
from tests.widgets.test_servers import free_port

LONG = os.environ.get("TOASTLAB_LONG") == "1"
PLACES = 3
GONE = 0.5 * MINUTE  # seconds, --gone-after 0.5
BUSY = 60  # more seconds for all of that, on a machine that is busy
WARM, VISITS = 3, 1000 if LONG else 10
LIGHT = ("-m", "tests.faults.light_page")
Server = tuple[str, str, int]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="processes are read from /proc"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("light")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """Address, token and process."""
    store = folder / "runs"
    words = ["dashboard", "--store", str(store), "--port", str(free_port())]
    words += ["--visitors", str(PLACES), "--gone-after", "0.5", "--spare", "0"]
    counts = {"LIGHT_PAGE_COUNTS": str(folder / "counts")}
    with started(folder, *words, program=LIGHT, **counts) as (address, word, _):
        yield address, word, server_of(store)


@pytest.fixture(autouse=True)
def nobody_is_left(server: Server) -> Iterator[None]:
    yield
    asyncio.run(soon(lambda: not children(server[2]), lambda: "a kernel is left", GONE + BUSY))


def said(visitor: Visitor) -> tuple[int, int]:
    """The kernel's process, and how many moves it saw."""
    text = next(s["value"] for s in visitor.states.values() if s["_model_name"] == "HTMLModel")
    process, moves = text.split()
    return int(process), int(moves)


def busy(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_pages_opened_at_the_same_moment_are_counted(server: Server) -> None:
    address, word, process = server
    place = f"{address}/?token={word}"
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: ask(place), range(12)))
        most = len(children(process))
    assert sorted(status for status, *_ in answers) == [200] * PLACES + [503] * (12 - PLACES)
    assert most <= PLACES
    assert all("All places are taken" in text for status, text, _ in answers if status == 503)
    for child in children(process):
        os.kill(child, signal.SIGKILL)  # a place whose kernel died is free again

    end = time.monotonic() + BUSY
    while ask(place)[0] != 200:
        assert time.monotonic() < end, "no place is free"
        time.sleep(0.2)
    for child in children(process):
        os.kill(child, signal.SIGKILL)


def test_a_flood_of_moves_is_one_move_and_who_left_costs_nothing(server: Server) -> None:
    address, word, process = server

    async def flood() -> None:
        visitor = Visitor(address, word)
        await visitor.open()
        (kernel,), held = children(process), memory(process)
        slider = visitor.find(description="slow")
        names = [visitor.update(slider, value=1 + i % 999) for i in range(20_000)]
        await visitor.handled(names[-1])
        assert said(visitor)[1] < 1000, "they are merged"
        again = Visitor(address, word)
        again.jar, again.kernel = visitor.jar, visitor.kernel
        await again.connect()  # what the kernel itself has
        assert again.states[slider]["value"] == 1 + 19_999 % 999, "the last move counts"
        again.vanish()
        for i in range(20_000):
            visitor.update(slider, value=1 + i % 999)
        await asyncio.sleep(0.1)
        visitor.vanish()
        # the server may have much to read until it sees that; then the kernel lives for GONE more
        end, used = time.monotonic() + GONE + BUSY, [(time.monotonic(), busy(kernel))]
        while children(process):
            assert time.monotonic() < end, "the kernel is left"
            with contextlib.suppress(OSError):  # it has just ended
                used.append((time.monotonic(), busy(kernel)))
            await asyncio.sleep(0.1)
        alone = [seconds for at, seconds in used if at > used[-1][0] - 0.75 * GONE]
        assert alone[-1] - alone[0] < 0.15 * GONE, "it does not draw for somebody who has left"
        assert memory(process) <= 1.1 * held

    asyncio.run(flood())


def test_a_busy_kernel_ends_with_its_visitor(server: Server) -> None:
    """Not after its work, which may have no end."""
    address, word, process = server

    async def leave() -> None:
        visitor = Visitor(address, word)
        await visitor.open()
        (kernel,) = children(process)
        os.kill(kernel, signal.SIGSTOP)  # it answers to nothing any more
        visitor.vanish()
        left = "the kernel is left"
        await soon(lambda: not children(process), lambda: left, GONE + BUSY)

    asyncio.run(leave())


def test_who_piles_up_messages_is_cut_off(server: Server) -> None:
    address, word, _ = server

    async def pile() -> None:
        visitor = Visitor(address, word)
        await visitor.open()
        slider = visitor.find(description="slow")
        with contextlib.suppress(WebSocketClosedError):  # which a slow sender sees at once
            for i in range(5000):  # questions between them keep moves from merging
                visitor.update(slider, value=1 + i % 999)
                visitor.send("comm_info_request", {})
        with pytest.raises(AssertionError, match="the connection was closed"):
            await visitor.until(lambda message: False, 60)
        with contextlib.suppress(AssertionError):  # if its kernel has not ended by itself
            await visitor.close()

    asyncio.run(pile())


def test_a_page_whose_kernel_dies_while_it_loads_has_an_end(server: Server) -> None:
    """Its visitor would wait for ever, as signs of life go on coming."""
    address, word, process = server
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(f"{address}/?token={word}", timeout=BUSY) as answer:
        for kernel in children(process):  # it is about to start
            os.kill(kernel, signal.SIGKILL)
        text, end = b"", time.monotonic() + BUSY
        while more := answer.read1():
            text += more
            assert time.monotonic() < end, text[-200:]
    assert text.rstrip().endswith(b"</html>")


def test_a_visitor_cannot_start_the_kernel_anew(server: Server) -> None:
    """It would come back without its page, and without its guard."""
    address, word, _ = server

    async def ask_for_it() -> None:
        visitor = Visitor(address, word)
        await visitor.open()
        before = said(visitor)[0]
        for channel in ("control", "shell"):
            visitor.send("shutdown_request", {"restart": False}, channel)
            visitor.send("shutdown_request", {"restart": True}, channel)
        await asyncio.sleep(5)
        await visitor.handled(visitor.update(visitor.find(description="slow"), value=7))
        assert said(visitor) == (before, 1)
        await visitor.close()

    asyncio.run(ask_for_it())


def kept(process: int, folder: Path) -> dict[str, int]:
    """What the server keeps, see `light_page.count`."""
    file = folder / "counts"
    file.unlink(missing_ok=True)
    os.kill(process, signal.SIGUSR1)
    end = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < end, "it does not answer"
        time.sleep(0.1)
    return dict(json.loads(file.read_text()))


def test_visits_leave_nothing_in_the_server(server: Server, folder: Path) -> None:
    """Memory after many visits is within a tenth of what it was after a few. Of what a visit makes
    most is kept for a minute after it, and nothing longer: Jupyter Server waits so long."""
    address, word, process = server

    async def visit() -> None:
        visitor = Visitor(address, word)
        await visitor.open()
        await visitor.close()

    for _ in range(WARM):
        asyncio.run(asyncio.wait_for(visit(), 300))
    before, held = kept(process, folder), memory(process)
    for _ in range(VISITS):
        asyncio.run(asyncio.wait_for(visit(), 300))
    end = time.monotonic() + MINUTE + BUSY
    while any((after := kept(process, folder))[kind] > before[kind] for kind in before):
        assert time.monotonic() < end, (before, after)
        time.sleep(1)
    now = memory(process)
    print(f"{VISITS} visits: {held:.0f} MB, then {now:.0f} MB; {before}, {after}")
    assert now <= 1.1 * held
