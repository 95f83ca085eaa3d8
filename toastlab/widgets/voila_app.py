"""Voila as the dashboard runs it: its settings, and a few changes. Slow to import."""

import asyncio
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType
from typing import Any

from jupyter_events import EventLogger
from jupyter_server import DEFAULT_STATIC_FILES_PATH
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import HTTPError
from traitlets.config import Config
from voila.app import Voila
from voila.notebook_renderer import NotebookRenderer
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler
from voila.utils import get_page_config

from toastlab.widgets.kernels import LOADING, Line, VisitorKernels
from toastlab.widgets.servers import EVERYWHERE, LOOPBACK
from toastlab.widgets.visitors import Limits

NOTEBOOK = "toastlab.ipynb"
CULL_EVERY = 5  # seconds between two looks for visitors who have gone
REFILL_EVERY = 1000  # milliseconds between two looks whether a page is to be made ahead
PROTOCOL = "v1.kernel.websocket.jupyter.org"
TEMPLATES = ("index.html.j2", "voila/templates/base/page.html")  # the page, and what errors extend
ELSEWHERE = re.compile(r"<link[^>]+https?://[^>]*>")


def settings(
    folder: Path, port: int, word: str, expose: bool, limits: Limits
) -> dict[str, dict[str, Any]]:
    """Of Voila and Jupyter. `folder` holds the page and its templates; `word` is the token."""
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
            "multi_kernel_manager_class": VisitorKernels,
        },
        "VisitorKernels": {
            "places": limits.visitors,
            "spare": limits.spare,
            "gone_after": 60 * limits.gone_after,
        },
        "VoilaExecutor": {"startup_timeout": round(LOADING)},
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


class Page(TornadoVoilaHandler):  # type: ignore[misc]
    """The page, made ahead where there is one, else while its visitor waits.

    Voila's own way to make it has no end if the kernel dies, or takes too long, before the first
    cell: the visitor would wait for ever.
    """

    async def get_generator(self, path: str | None = None) -> AsyncIterator[str]:
        """Its HTML in parts; `path` leads nowhere."""
        if path:
            parts = super().get_generator(path)
        else:
            _ = self.xsrf_token  # sets the cookie that the page sends back when it is closed
            self.set_header("Cache-Control", "no-cache, no-store, must-revalidate")
            parts = (await self.kernel_manager.page()).text()
        async for part in parts:
            yield part


class Dashboard(Voila):  # type: ignore[misc]
    """Voila with some changes: it says its address, takes one protocol only, asks no other host for
    files, has one log of events, makes pages ahead, and ends in an orderly way.

    Args:
        settings: of Voila and Jupyter, by class.
        started: is called with the port, once it answers and the first pages are made.
    """

    template_paths: list[str]

    def __init__(self, settings: dict[str, dict[str, Any]], started: Callable[[int], None]) -> None:
        super().__init__(config=Config(settings))
        self.open_browser, self.started = True, started  # so that launch_browser is called
        # Each kernel would else make one of its own, which is never freed: Python keeps all loggers
        self.event_logger = EventLogger(parent=self)

    def initialize(self, argv: list[str] | None = None) -> None:
        """Voila's; and from now on Ctrl-C ends the loop between two of its steps, as TERM does: in
        the midst of one it could tear off a kernel that starts."""
        self.ioloop = IOLoop.current()
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._handlers = {n: signal.getsignal(n) or signal.SIG_DFL for n in numbers}
        super().initialize(argv)
        for number, handler in self._handlers.items():
            ignored = handler == signal.SIG_IGN  # as under `nohup`, or behind `&`: it stays so
            signal.signal(number, handler if ignored else self._handle_signal_stop)

    def _handle_signal_stop(self, sig: int, frame: FrameType | None) -> None:
        """The first signal; a second one ends at once."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        super()._handle_signal_stop(sig, frame)

    def stop(self) -> None:
        """Ends the kernels, and only then removes their folder, which one that starts reads."""
        self.ioloop.run_sync(self.kernel_manager.shutdown_all)
        super().stop()

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
        """Voila's, with our channels and our page."""
        ours = {VoilaKernelWebsocketHandler: Channels, TornadoVoilaHandler: Page}
        return [(path, ours.get(of, of), *more) for path, of, *more in super().init_handlers()]

    def launch_browser(self) -> None:
        """Called by Voila when it answers, just before its loop begins."""
        IOLoop.current().add_callback(self._warm_up)

    async def _warm_up(self) -> None:
        """Makes the first pages, one on each core since nobody is there yet, says that all is
        ready, and has pages made from then on."""
        kernels = self.kernel_manager
        kernels.make = self._make
        for _ in range(os.cpu_count() or 1):
            kernels.begin()
        if kernels.ahead:
            await asyncio.wait([page.work for page in kernels.ahead])
        if kernels.make is None:  # ended meanwhile
            return
        self.started(self.port)
        self._refilling = PeriodicCallback(kernels.refill, REFILL_EVERY)
        self._refilling.start()

    async def _make(self, kernel: str, parts: list[str]) -> None:
        """A page: its kernel starts, its cells run, its HTML goes to `parts`; see `NewPage`."""
        about = {
            "base_url": self.base_url,
            "settings": self.app.settings,
            "log": self.log,
            "voila_configuration": self.voila_configuration,
        }
        page = NotebookRenderer(
            voila_configuration=self.voila_configuration,
            traitlet_config=self.config,
            notebook_path=NOTEBOOK,
            template_paths=self.template_paths,
            config_manager=self.config_manager,
            contents_manager=self.contents_manager,
            base_url=self.base_url,
            kernel_spec_manager=self.kernel_spec_manager,
            page_config=get_page_config(**about),
            mathjax_config=self.app.settings.get("mathjax_config"),
            mathjax_url=self.app.settings.get("mathjax_url"),
        )
        await page.initialize()
        language = page.notebook.metadata.kernelspec.name
        await self.kernel_manager.start_kernel(kernel_id=kernel, kernel_name=language, path="")
        running = self.kernel_manager.get_kernel(kernel)
        async for part, _ in page.generate_content_generator(kernel, running):
            parts.append(part)
