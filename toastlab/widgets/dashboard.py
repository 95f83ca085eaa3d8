"""The panels as an app for several visitors: who has the token may move the controls, no more.

Voila on its own, not inside Jupyter Server: it has no files, no terminals, no way to start a kernel
but the page itself, and passes no message to a kernel that would run code. Its own default is no
token; here there is always one. Each visitor has a kernel of his own, which ends with the page.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from toastlab.core.errors import in_range
from toastlab.core.settings import Range, Settings
from toastlab.course.runs import course_runs, course_store
from toastlab.widgets.servers import EVERYWHERE, LOOPBACK, PORTS, spare_threads, token, warning

PAGE = "toastlab.ipynb"
TEXTS = {
    "ablation": "# toastlab\n\n## What the weights do\n\nTOAST on 2,000 images of Fashion-MNIST, "
    "a small network, 30 epochs, three seeds: every number is of stored real runs. *Train this "
    "setting* trains it now.",
    "samples": "## Which samples are under-trained\n\nA TOAST run on 6,000 images, a fifth of them "
    "with a wrong label.",
}
WEEK = 7 * 24 * 60.0  # minutes
CULL_EVERY = 5  # seconds between two looks for visitors who have gone


@dataclass(frozen=True)
class Limits(Settings):
    """What visitors may use together.

    Attributes:
        visitors: pages open at a time, 1 to 1000; each holds a process with PyTorch, 0.6 GB.
        trainings: live runs at a time, 1 to 1000; the next ones wait.
        gone_after: minutes without a connection or a message after which a visitor is gone, from
            0.5, since a page must have the time to come up, to a week.
    """

    visitors: Annotated[int, Range(1, 1000)] = 32
    trainings: Annotated[int, Range(1, 1000)] = 2
    gone_after: Annotated[float, Range(0.5, WEEK)] = 10.0


def page(live: Path, stored: Path, trainings: int) -> dict[str, object]:
    """The notebook behind the page.

    Args:
        live: folder of live runs; stored: of the course's.
        trainings: live runs at a time.
    """
    codes = {
        "ablation": "from toastlab.widgets import AblationPanel, SamplePanel, take_only_controls\n"
        f"ablation = AblationPanel({str(live)!r}, trainings={trainings})\nablation",
        "samples": "from toastlab.course.runs import course_data, course_runs\n"
        f"samples = SamplePanel(course_runs({str(stored)!r})['TOAST'], course_data())\n"
        "take_only_controls(ablation, samples)\nsamples",
    }
    cells: list[dict[str, object]] = []
    for name, text in TEXTS.items():
        cells.append(
            {"cell_type": "markdown", "id": f"{name}-text", "metadata": {}, "source": text}
        )
        code = {"cell_type": "code", "id": name, "metadata": {}, "source": codes[name]}
        cells.append({**code, "execution_count": None, "outputs": []})
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def settings(
    folder: Path, port: int, word: str, expose: bool, limits: Limits
) -> dict[str, dict[str, Any]]:
    """Of Voila and Jupyter. `folder` holds the page and its templates; `word` is the token."""
    from jupyter_server import DEFAULT_STATIC_FILES_PATH
    from tornado.web import HTTPError

    def enter(request: Any, **about: object) -> None:
        """Before a visitor's kernel starts."""
        if len(request.kernel_manager.list_kernel_ids()) >= limits.visitors:
            raise HTTPError(503, reason="All places are taken, try again when somebody has left")
        _ = request.xsrf_token  # sets the cookie that the page sends back when it is closed

    return {
        "Voila": {
            "ip": EVERYWHERE if expose else LOOPBACK,
            "port": port,
            "token": word,
            "root_dir": str(folder),
            "notebook_path": str(folder / PAGE),
            "connection_dir_root": str(folder),
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
        },
        "IdentityProvider": {"cookie_options": {"samesite": "Strict"}},
        "MappingKernelManager": {
            "allow_tracebacks": False,
            "cull_idle_timeout": max(1, round(60 * limits.gone_after)),
            "cull_interval": CULL_EVERY,
        },
    }


def serve(
    live: Path | str,
    port: int,
    open_browser: bool,
    expose: bool = False,
    limits: Limits | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Serves until interrupted. The course's runs are trained first where they are missing.

    Args:
        live: folder of the runs that visitors train.
        port: one of the next is taken if it is not free.
        open_browser: shows the page in the browser.
        expose: answers other machines, too.
        limits: what visitors may use together.
        say: is told the warning, and the address once it answers.

    Raises:
        ValueError: there is no such port.
    """
    in_range("port", port, *PORTS)
    from toastlab.widgets.voila_app import Dashboard, show

    limits = limits or Limits()
    if expose:
        say(warning("can move the controls and train"))
    stored = course_store(live)
    course_runs(stored)
    spare_threads()
    with tempfile.TemporaryDirectory(prefix="toastlab-") as name:
        folder = Path(name)
        content = page(Path(live).resolve(), stored.resolve(), limits.trainings)
        (folder / PAGE).write_text(json.dumps(content), encoding="utf-8")
        word, made = token()

        def started(at: int) -> None:
            address = f"http://{LOOPBACK}:{at}/"
            say(f"{address}?token={word}" if made else f"{address} with the token JUPYTER_TOKEN")
            if open_browser:
                show(f"{address}?token={word}", folder)

        warnings.simplefilter("ignore", DeprecationWarning)  # the server's own, of no use here
        app = Dashboard(settings(folder, port, word, expose, limits), started)
        app.initialize([])
        app.start()
