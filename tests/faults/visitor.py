"""A visitor of the dashboard without a browser: HTTP for the page, a websocket for its panels."""

import asyncio
import contextlib
import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any

from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from toastlab.widgets.voila_app import PROTOCOL

Message = dict[str, Any]


def ask(
    address: str, method: str = "GET", jar: CookieJar | None = None, **headers: str
) -> tuple[int, str, str]:
    """Status, text and final address of a request; redirections are followed."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    data = b"{}" if method in ("POST", "PUT", "PATCH") else None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address, data=data, headers=named, method=method)
    try:
        with opener.open(request, timeout=240) as answer:
            return answer.status, answer.read().decode(errors="replace"), answer.url
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace"), error.url or ""


class Visitor:
    """One open page.

    Attributes:
        text: the page as it came; kernel: the name of its process; states: widgets, by name.
    """

    def __init__(self, address: str, token: str) -> None:
        self.address, self.token, self.jar = address, token, CookieJar()
        self.text = self.kernel = ""
        self.states: dict[str, Message] = {}
        self._session = uuid.uuid4().hex
        self._socket: WebSocketClientConnection | None = None

    async def open(self) -> None:
        """Loads the page, which runs its cells, and connects."""
        await self.load()
        await self.connect()

    async def load(self) -> None:
        place = f"{self.address}/?token={self.token}"
        status, self.text, _ = await asyncio.to_thread(ask, place, "GET", self.jar)
        assert status == 200, (status, self.text)
        found = re.search(r'"?kernelId"?:\s*"([\w-]+)"', self.text)
        assert found, self.text
        self.kernel = found[1]

    @property
    def cookies(self) -> str:
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)

    def channels(self, **headers: str) -> HTTPRequest:
        """The request for the websocket."""
        place = self.address.replace("http", "ws", 1) + f"/api/kernels/{self.kernel}/channels"
        place += f"?session_id={self._session}"
        return HTTPRequest(place, headers=headers, connect_timeout=240, request_timeout=240)

    async def connect(self) -> None:
        """The websocket, as a page of this server opens it, and every widget's state."""
        headers = {"Cookie": self.cookies, "Origin": self.address}
        self._socket = await websocket_connect(
            self.channels(**headers), subprotocols=[PROTOCOL], max_message_size=2**26
        )
        comm = uuid.uuid4().hex
        target = {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {}}
        self.send("comm_open", target)
        self.send("comm_msg", {"comm_id": comm, "data": {"method": "request_states"}})
        answer = await self.until(
            lambda m: m["content"].get("comm_id") == comm and "data" in m["content"]
        )
        data = answer["content"]["data"]
        self.states = {k: v["state"] for k, v in data["states"].items()}
        for path, buffer in zip(data["buffer_paths"], answer["buffers"], strict=True):
            self.states[path[0]][path[-1]] = buffer

    @property
    def socket(self) -> WebSocketClientConnection:
        assert self._socket is not None
        return self._socket

    def send(self, kind: str, content: Message, channel: str = "shell") -> str:
        """Sends a message; its name."""
        name = uuid.uuid4().hex
        header = {"msg_id": name, "session": self._session, "username": "v", "version": "5.3"}
        parts = [{**header, "msg_type": kind}, {}, {"version": "1.0.0"}, content]
        packed = serialize_msg_to_ws_v1([json.dumps(x).encode() for x in parts], channel)
        self.socket.write_message(packed, binary=True)
        return name

    async def until(self, true: Callable[[Message], Any], seconds: float = 240) -> Message:
        """Reads messages, keeping `states` up to date, until one is what is waited for."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            assert left > 0, "no such message in time"
            raw = await asyncio.wait_for(self.socket.read_message(), left)
            assert raw is not None, "the connection was closed"
            assert isinstance(raw, bytes)
            _, parts = deserialize_msg_from_ws_v1(raw)
            header, parent, _, content = (json.loads(part) for part in parts[:4])
            buffers = [bytes(part) for part in parts[4:]]
            message = {"header": header, "parent_header": parent, "content": content}
            message["buffers"] = buffers
            if header["msg_type"] == "comm_msg" and "state" in content["data"]:
                state = dict(content["data"]["state"])
                for path, buffer in zip(content["data"]["buffer_paths"], buffers, strict=True):
                    state[path[0]] = buffer
                self.states.setdefault(content["comm_id"], {}).update(state)
            if true(message):
                return message

    def find(self, **traits: object) -> str:
        """The name of the widget with these traits."""
        (name,) = (
            name for name, s in self.states.items() if all(s.get(k) == v for k, v in traits.items())
        )
        return name

    def update(self, widget: str, **state: object) -> str:
        """Says, as a browser does, that a widget has this state now."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        return self.send("comm_msg", {"comm_id": widget, "data": data})

    async def handled(self, name: str) -> None:
        """Until the kernel is done with the message `name`."""
        await self.until(
            lambda m: (
                m["parent_header"].get("msg_id") == name
                and m["content"].get("execution_state") == "idle"
            )
        )

    async def move(self, label: str, index: int) -> None:
        """Moves a control; returns when the kernel has redrawn."""
        await self.handled(self.update(self.find(description=label), index=index))

    def press(self, label: str) -> str:
        """Clicks a button."""
        data = {"method": "custom", "content": {"event": "click"}}
        return self.send("comm_msg", {"comm_id": self.find(description=label), "data": data})

    async def says(self, *words: str, seconds: float = 240) -> str:
        """Until a text of the page has one of the words; that text."""

        def found() -> str:
            texts = [str(s.get("value", "")) for s in self.states.values()]
            return next((text for text in texts for word in words if word in text), "")

        if not found():
            await self.until(lambda m: found(), seconds)
        return found()

    async def run(self, code: str) -> None:
        """Tries to run code, and waits until the kernel has answered something sent after it."""
        self.send("execute_request", {"code": code, "silent": False, "store_history": True})
        await self.handled(self.send("kernel_info_request", {}))

    def vanish(self) -> None:
        """The line is cut: nobody says that the page is closed."""
        self.socket.close()

    async def close(self) -> None:
        """Closes the page as a browser does."""
        xsrf = next(c.value for c in self.jar if c.name == "_xsrf") or ""
        place = f"{self.address}/voila/api/shutdown/{self.kernel}"
        headers = {"X_XSRFToken": xsrf, "Origin": self.address}
        status, text, _ = await asyncio.to_thread(ask, place, "POST", self.jar, **headers)
        assert status == 204, (status, text)
        with contextlib.suppress(Exception):
            self.socket.close()
