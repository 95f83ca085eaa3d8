"""Voila as the dashboard runs it: its settings, and a few changes. Slow to import."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_events import EventLogger
from jupyter_server import DEFAULT_STATIC_FILES_PATH
from tornado.web import HTTPError
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from toastlab.widgets.kernels import Line, VisitorKernels
from toastlab.widgets.servers import EVERYWHERE, LOOPBACK
from toastlab.widgets.visitors import Limits

NOTEBOOK = "toastlab.ipynb"
CULL_EVERY = 5  # seconds between two looks for visitors who have gone
PROTOCOL = "v1.kernel.websocket.jupyter.org"
TEMPLATES = ("index.html.j2", "voila/templates/base/page.html")  # the page, and what errors extend
ELSEWHERE = re.compile(r"<link[^>]+https?://[^>]*>")


def settings(
    folder: Path, port: int, word: str, expose: bool, limits: Limits
) -> dict[str, dict[str, Any]]:
    """Of Voila and Jupyter. `folder` holds the page and its templates; `word` is the token."""

    def enter(request: Any, **about: object) -> None:
        """Before a visitor's kernel starts."""
        _ = request.xsrf_token  # sets the cookie that the page sends back when it is closed

    return {
        "Voila": {
            "ip": EVERYWHERE if expose else LOOPBACK,
            "port": port,
            "token": word,
            "root_dir": str(folder),
            "notebook_path": str(folder / NOTEBOOK),
            "connection_dir_root": str(folder),
            "kernel_websocket_connection_class": Line,
            "config_file_paths": [],  # none from the folder one happens to be in: they may be code
            "tornado_settings": {
                "xsrf_cookies": True,
                "allow_remote_access": expose,
                "local_hostnames": ["localhost"],
                "static_path": DEFAULT_STATIC_FILES_PATH,  # of the pages that say what is refused
                "static_url_prefix": "/voila/static/",
            },
            "log_level": logging.ERROR,
        },
        "VoilaConfiguration": {
            "file_allowlist": [],
            "allow_template_override": "NO",
            "allow_theme_override": "NO",
            "show_tracebacks": False,
            "prelaunch_hook": enter,
            "multi_kernel_manager_class": VisitorKernels,
        },
        "VisitorKernels": {"places": limits.visitors, "gone_after": 60 * limits.gone_after},
        "KernelManager": {"autorestart": False},  # one that died would come back without its guard
        "IdentityProvider": {"cookie_options": {"samesite": "Strict"}},
        "MappingKernelManager": {
            "allow_tracebacks": False,
            "cull_idle_timeout": max(1, round(60 * limits.gone_after)),
            "cull_interval": CULL_EVERY,
        },
    }


class Channels(VoilaKernelWebsocketHandler):  # type: ignore[misc]
    """The websocket to a kernel, for pages that use today's protocol.

    Voila 0.5 reads pictures sent by the older protocol as if it were the newer, and never ends: one
    visitor would stop the server.
    """

    async def get(self, *args: Any, **named: Any) -> None:
        spoken = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if PROTOCOL not in [word.strip() for word in spoken.split(",")]:
            raise HTTPError(400, f"speak {PROTOCOL}")
        await super().get(*args, **named)


class Dashboard(Voila):  # type: ignore[misc]
    """Voila with some changes: it says its address, takes one protocol only, asks no other host for
    files, and has one log of events.

    Args:
        settings: of Voila and Jupyter, by class.
        started: is called with the port, once it answers.
    """

    template_paths: list[str]

    def __init__(self, settings: dict[str, dict[str, Any]], started: Callable[[int], None]) -> None:
        super().__init__(config=Config(settings))
        self.open_browser, self.started = True, started  # so that launch_browser is called
        # Each kernel would else make one of its own, which is never freed: Python keeps all loggers
        self.event_logger = EventLogger(parent=self)

    def setup_template_dirs(self) -> None:
        """Voila's templates, without style sheets from another host: Voila's own files have their
        icons, too, and a page must work without a network."""
        super().setup_template_dirs()
        ours = Path(self.root_dir) / "templates"
        for name in TEMPLATES:
            theirs = next(p for p in (Path(d) / name for d in self.template_paths) if p.exists())
            (ours / name).parent.mkdir(parents=True, exist_ok=True)
            text = ELSEWHERE.sub("", theirs.read_text(encoding="utf-8"))
            (ours / name).write_text(text, encoding="utf-8")
        self.template_paths = [str(ours), *self.template_paths]

    def init_handlers(self) -> list[Any]:
        """Voila's, with our channels."""
        ours = {VoilaKernelWebsocketHandler: Channels}
        return [(path, ours.get(of, of), *more) for path, of, *more in super().init_handlers()]

    def launch_browser(self) -> None:
        """Called by Voila when it answers."""
        self.started(self.port)
