"""The visitors' kernels: no more than there are places, gone with their visitor, never flooded, and
some of them started before their visitor comes.

Jupyter Server's own managers with five changes; slow to import, as it is. Voila has a pool of
kernels too, but fills it beyond the places, hands out kernels that have died, and tells whoever
knows a kernel's name the address it was asked for with, token and all.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from typing import Any

from jupyter_server._tz import utcnow
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import IOLoop
from tornado.web import HTTPError
from traitlets import Float, Integer

from toastlab.widgets.moves import PATIENCE, Moves

log = logging.getLogger(__name__)
LOADING = 600.0  # seconds that a page may take until it connects, on a machine that is busy
ANSWER = 5.0  # seconds in which a kernel that lives answers, on a machine that is busy
REST = 5.0  # seconds after a visitor has come in which nothing else is started: he has the cores
RETRY = 60.0  # seconds after a page could not be made ahead
BEAT = 10.0  # seconds without a part of the page after which its reader gets a sign of life
LOST = """<script>
window.update_loading_text(0, 0, "This page could not be made. Load it again.");
</script>
</body>
</html>
"""  # the end of a page that cannot be made; the function is of Voila's template
TYPES = (
    *("comm_open", "comm_close", "comm_msg", "comm_info_request"),
    "kernel_info_request",  # not shutdown_request: the kernel would come back without its guard
)


class NewPage:
    """A page whose kernel starts, and whose cells run: before its visitor comes, or as he waits.

    Args:
        kernel: name of the kernel.
        make: a coroutine that starts the kernel and adds the page's parts, as they come, to a list.
    """

    def __init__(self, kernel: str, make: Callable[[str, list[str]], Awaitable[None]]) -> None:
        self.kernel, self.parts = kernel, list[str]()
        self.begun = time.monotonic()
        self.work = asyncio.ensure_future(make(kernel, self.parts))
        # an error is told where it matters, not also when the work is thrown away
        self.work.add_done_callback(lambda work: work.cancelled() or work.exception())

    @property
    def failed(self) -> bool:
        """Whether it has ended in an error."""
        work = self.work
        return work.done() and (work.cancelled() or work.exception() is not None)

    async def text(self) -> AsyncIterator[str]:
        """Its HTML: at once as far as it is there, the rest as it comes. It always has an end: if
        the page cannot be made, its reader is told so.

        Raises:
            Exception: what ended the work before its first part.
        """
        sent, done, last = 0, False, time.monotonic()
        while not done:
            done = self.work.done()
            more = self.parts[sent:]
            if more or (sent and time.monotonic() - last > BEAT):
                sent, last = sent + len(more), time.monotonic()
                yield "".join(more) or "\n"
            if not done:
                await asyncio.wait([self.work], timeout=0.1)
        try:
            self.work.result()
        except Exception as error:
            if not sent:
                raise
            log.warning("a page could not be made: %s", error)
            yield LOST


class VisitorKernels(AsyncMappingKernelManager):  # type: ignore[misc]
    """One kernel a visitor.

    A place is taken before its kernel begins to start and is free again when the kernel is gone, so
    that pages opened at the same moment are counted. Who has no connection for `gone_after` seconds
    has gone, and his kernel ends whatever it is busy with.

    Up to `spare` of the places that are free hold a page made ahead. One is made at a time, and
    none just after a visitor has come.

    A kernel is ended by killing it. Jupyter interrupts it first, then asks it to end: one that is
    just starting, or in the midst of an import, answers with tracebacks or crashes. Nobody sees
    what it would still do, and what a training has done is in its checkpoint, as ever.

    Attributes:
        make: makes a page, see `NewPage`; None: no page is made.
    """

    places = Integer(1, config=True, help="Kernels at a time.")
    spare = Integer(0, config=True, help="Pages made ahead, as long as places are free.")
    gone_after = Float(600.0, config=True, help="Seconds without a connection.")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._starting: set[str] = set()
        self._ending: set[str] = set()
        self._alone: dict[str, tuple[float, float]] = {}  # since when, and how long it may be
        self.make: Callable[[str, list[str]], Awaitable[None]] | None = None
        self.ahead: list[NewPage] = []
        self._not_before = 0.0  # when the next page may be made ahead

    def _taken(self) -> set[str]:
        """The kernels that have a place, those that start among them."""
        ahead = {page.kernel for page in self.ahead}
        return self._starting.union(self.list_kernel_ids(), ahead)

    async def refill(self) -> None:
        """Begins to make a page ahead, if it is time; called every second."""
        if self.make is None:
            return
        while page := next((page for page in self.ahead if page.failed), None):
            await self._drop(page)  # it would keep its place
        busy = self._starting or any(not page.work.done() for page in self.ahead)
        if not busy and time.monotonic() >= self._not_before:
            self.begin()

    def begin(self) -> None:
        """Begins to make a page ahead, if one is wanted and there is a place."""
        if self.make is None or len(self.ahead) >= self.spare:
            return
        if len(self._taken()) < self.places:
            self.ahead.append(NewPage(str(self.new_kernel_id()), self.make))

    async def page(self) -> NewPage:
        """A page for the visitor who has just come.

        Raises:
            HTTPError: 503, none is made, as the server ends.
        """
        page = await self.take()
        if page is None and self.make is not None:
            page = NewPage(str(self.new_kernel_id()), self.make)
        if page is None:
            raise HTTPError(503, reason="The dashboard is ending")
        return page

    async def take(self) -> NewPage | None:
        """The page that was made ahead for the visitor who has just come, if there is one.

        It may still be under way: then it is nearer to its end than a new one.
        """
        self._not_before = time.monotonic() + REST
        while self.ahead:
            page = self.ahead.pop(0)  # now nobody else gives it or drops it
            if page.kernel in self:  # from now on it waits to be connected to, like any other
                kernel: Any = self.get_kernel(page.kernel)
                kernel.last_activity = utcnow()
                self._alone[page.kernel] = time.monotonic(), max(self.gone_after, LOADING)
            if await self._fit(page):
                return page
            await self._drop(page)
        return None

    async def _fit(self, page: NewPage) -> bool:
        """Whether a page may be given to a visitor."""
        if not page.work.done():  # a kernel that is still starting has no answer yet
            return page.kernel not in self or await self._lives(page.kernel)
        return await self._sound(page) and await self._answers(page.kernel)

    async def _sound(self, page: NewPage) -> bool:
        """Whether a page that is made is whole, and its kernel lives; one that is under way has
        some time for it."""
        if not page.work.done():
            return time.monotonic() - page.begun <= LOADING
        return not page.failed and page.kernel in self and await self._lives(page.kernel)

    async def _answers(self, kernel_id: str) -> bool:
        """Whether a kernel answers. One that was killed a moment ago does not, though on a busy
        machine it still counts as living until the system is done with ending it."""
        kernel: Any = self.get_kernel(kernel_id)
        answer, end = asyncio.get_running_loop().create_future(), time.monotonic() + ANSWER
        with closing(kernel.connect_hb()) as heart:
            heart.on_recv(answer.set_result)
            heart.send(b"?")
            while not answer.done() and time.monotonic() < end and await kernel.is_alive():
                await asyncio.wait([answer], timeout=0.05)
        return answer.done()

    async def _drop(self, page: NewPage) -> None:
        """Of a page that cannot be used nothing is left. If it is not done, its work ends by
        itself, in an error, once the kernel is gone."""
        if page in self.ahead:  # before anything is waited for: each page is dropped once
            self.ahead.remove(page)
        late = not page.work.done() and time.monotonic() - page.begun > LOADING
        why: object = "it took too long" if late else "its kernel has died"
        if page.failed and not page.work.cancelled():
            why = page.work.exception()
        if late or page.failed:  # the next one would fare no better just now
            self._not_before = time.monotonic() + RETRY
        log.warning("a page made ahead is dropped: %s", why)
        if page.kernel in self:
            await self.shutdown_kernel(page.kernel, now=True)

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]
        """Starts a visitor's kernel.

        Raises:
            HTTPError: 503, all places are taken.
        """
        name = str(options.setdefault("kernel_id", self.new_kernel_id()))
        if len(self._taken() - {name}) >= self.places:
            raise HTTPError(503, reason="All places are taken, try again when somebody has left")
        self._starting.add(name)
        self._alone[name] = time.monotonic(), max(self.gone_after, LOADING)
        try:
            return str(await super().start_kernel(**options))
        finally:
            self._starting.discard(name)  # from now on it is in the list, or did not start

    async def shutdown_kernel(  # type: ignore[override]
        self, kernel_id: str, now: bool = False, restart: bool = False
    ) -> None:
        """Ends one at once, and once: a page may be closed just when its time is over."""
        if kernel_id in self._ending:
            return
        kernel: Any = self.get_kernel(kernel_id)
        self._ending.add(kernel_id)
        try:
            if kernel.has_kernel:  # before Jupyter interrupts it
                await kernel.provisioner.kill()
            await super().shutdown_kernel(kernel_id, now=True, restart=restart)
        finally:
            self._ending.discard(kernel_id)

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        """The server ends: nobody comes in any more, and every kernel ends, one that is just
        starting among them."""
        self.make, self.places = None, 0
        self.ahead.clear()
        while self._starting:  # they were counted before; a moment later they can be ended
            await asyncio.sleep(0.05)
        ends = [self.shutdown_kernel(name) for name in self.list_kernel_ids()]
        await asyncio.gather(*ends, return_exceptions=True)
        while self._ending:  # those that somebody else had begun to end
            await asyncio.sleep(0.05)

    def remove_kernel(self, kernel_id: str) -> Any:
        """Called when it is gone."""
        self._alone.pop(kernel_id, None)
        return super().remove_kernel(kernel_id)

    def notify_connect(self, kernel_id: str) -> None:
        """A page has connected."""
        super().notify_connect(kernel_id)
        self._alone.pop(kernel_id, None)

    def notify_disconnect(self, kernel_id: str) -> None:
        """A page has left."""
        super().notify_disconnect(kernel_id)
        if kernel_id in self and self._kernel_connections.get(kernel_id, 0) <= 0:
            self._alone[kernel_id] = time.monotonic(), self.gone_after

    async def _lives(self, kernel_id: str) -> bool:
        kernel: Any = self.get_kernel(kernel_id)
        return bool(await kernel.is_alive())

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """Called every few seconds. An idle one ends by Jupyter Server's own rule, which a busy one
        could put off for ever; what is left of one that died is cleared away. One that waits for
        its visitor stays."""
        if kernel_id not in self:  # it ended while others were looked at
            return
        for page in self.ahead:
            if page.kernel == kernel_id:
                if not await self._sound(page):
                    await self._drop(page)
                return
        since, most = self._alone.get(kernel_id, (0.0, float("inf")))
        if time.monotonic() - since > most or not await self._lives(kernel_id):
            await self.shutdown_kernel(kernel_id, now=True)
        else:
            await super().cull_kernel_if_idle(kernel_id)


class Line(ZMQChannelsWebsocketConnection):  # type: ignore[misc]
    """From a page to its kernel: see `Moves`. A page that piles up other messages is cut off."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.moves = Moves()
        self._cut = False

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """From the page; what is no message, or of no type that is let through, is dropped."""
        if self._cut:
            return
        try:
            channel, parts = deserialize_msg_from_ws_v1(incoming_msg)
            if json.loads(parts[0])["msg_type"] not in TYPES:
                return
            taken = self.moves.add(channel, parts)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return
        if taken:
            self._forward()
        else:
            self._cut = True
            self.moves.clear()
            self.websocket_handler.close(1008, "too many messages")

    def _forward(self) -> None:
        while message := self.moves.next():
            raw = serialize_msg_to_ws_v1(message.parts, message.channel)
            super().handle_incoming_message(raw)
            IOLoop.current().call_later(PATIENCE + 1, self._forward)

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """From the kernel; that it is idle again is its answer to a message."""
        super().handle_outgoing_message(stream, outgoing_msg)
        parts: list[Any] = list(self.session.feed_identities(outgoing_msg)[1])
        _, header, parent, _, content, *_ = parts
        if json.loads(header)["msg_type"] != "status":
            return
        if json.loads(content)["execution_state"] == "idle":
            self.moves.answered(json.loads(parent).get("msg_id", ""))
            self._forward()

    def disconnect(self) -> None:  # type: ignore[override]
        """The page has left: what it wanted done is of no use to anybody."""
        self.moves.clear()
        super().disconnect()
