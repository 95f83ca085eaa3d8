"""Voila, but for two things: it tells its address, and speaks one protocol. Slow to import."""

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.web import HTTPError
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

PROTOCOL = "v1.kernel.websocket.jupyter.org"


class Channels(VoilaKernelWebsocketHandler):  # type: ignore[misc]
    """The way to a kernel, for pages that speak the protocol of today.

    Voila 0.5 reads pictures sent by the older one as if they were the newer, and never ends: one
    visitor would stop the server.
    """

    async def get(self, *args: Any, **named: Any) -> None:
        spoken = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if PROTOCOL not in [word.strip() for word in spoken.split(",")]:
            raise HTTPError(400, f"speak {PROTOCOL}")
        await super().get(*args, **named)


class Dashboard(Voila):  # type: ignore[misc]
    """Serves one page.

    Args:
        settings: of Voila and Jupyter, by class.
        started: is given the port, once it answers.
    """

    def __init__(self, settings: dict[str, dict[str, Any]], started: Callable[[int], None]) -> None:
        super().__init__(config=Config(settings))
        self.open_browser, self.started = True, started  # so that launch_browser is called

    def init_handlers(self) -> list[Any]:
        """Voila's, with our channels."""
        ours = {VoilaKernelWebsocketHandler: Channels}
        return [(way, ours.get(of, of), *more) for way, of, *more in super().init_handlers()]

    def launch_browser(self) -> None:
        """Called by Voila when it answers."""
        self.started(self.port)


def show(address: str, folder: Path) -> None:
    """Opens a browser by a file in `folder`: other users can read a browser's command line."""
    file = folder / "start.html"
    file.write_text(f'<meta http-equiv="refresh" content="0;url={address}">', encoding="utf-8")
    webbrowser.open(file.as_uri())
