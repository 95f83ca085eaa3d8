"""Voila, but for three things: it tells its address, speaks one protocol, and asks nobody else for
files. Slow to import."""

import re
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.web import HTTPError
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

PROTOCOL = "v1.kernel.websocket.jupyter.org"
PAGES = ("index.html.j2", "voila/templates/base/page.html")  # the page, and what errors extend
ELSEWHERE = re.compile(r"<link[^>]+https?://[^>]*>")


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

    template_paths: list[str]

    def __init__(self, settings: dict[str, dict[str, Any]], started: Callable[[int], None]) -> None:
        super().__init__(config=Config(settings))
        self.open_browser, self.started = True, started  # so that launch_browser is called

    def setup_template_dirs(self) -> None:
        """Voila's templates, without the style sheets that they ask of another host: the icons in
        them are in Voila's own files, too, and a page is to work where there is no network."""
        super().setup_template_dirs()
        ours = Path(self.root_dir) / "templates"
        for name in PAGES:
            theirs = next(p for p in (Path(d) / name for d in self.template_paths) if p.exists())
            (ours / name).parent.mkdir(parents=True, exist_ok=True)
            text = ELSEWHERE.sub("", theirs.read_text(encoding="utf-8"))
            (ours / name).write_text(text, encoding="utf-8")
        self.template_paths = [str(ours), *self.template_paths]

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
