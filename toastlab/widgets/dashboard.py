"""The panels as an app for several visitors: who has the token may move the controls, no more.

Voila on its own, not inside Jupyter Server: it offers no files and no terminals, starts a kernel
for its page only, and passes no message to a kernel that would run code. By default it has no
token; here there is always one. Each visitor has a kernel of his own, which ends with the page.
"""

import json
import tempfile
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path

from toastlab.core.errors import in_range
from toastlab.course.runs import course_runs, course_store
from toastlab.widgets.servers import LOOPBACK, PORTS, spare_threads, token, warning
from toastlab.widgets.visitors import Limits as Limits

CELLS: tuple[tuple[str, str], ...] = (  # text, code
    (
        "# toastlab\n\n## What the weights do\n\nTOAST on 2,000 images of Fashion-MNIST, a small "
        "network, 30 epochs, three seeds: every number is of stored real runs. *Train this "
        "setting* trains it now.",
        "from toastlab.core.garbage import nothing_collected\n"
        "with nothing_collected():\n"
        "    from toastlab.widgets import AblationPanel, SamplePanel, take_only_controls\n"
        "ablation = AblationPanel({live!r}, trainings={trainings})\nablation",
    ),
    (
        "## Which samples are under-trained\n\nA TOAST run on 6,000 images, a fifth of them with a "
        "wrong label.",
        "from toastlab.course.runs import course_data, course_runs\n"
        "from toastlab.widgets import Explorer\n"
        "run = course_runs({stored!r})['TOAST']\n"
        "samples, explorer = SamplePanel(run, course_data()), Explorer(run)\n"
        "take_only_controls(ablation, samples, explorer)\nsamples",
    ),
    (
        "## Any sample of that run\n\nPoint at a dot to see its image; draw round dots to see them "
        "below.",
        "explorer",
    ),
)


def notebook(live: Path, stored: Path, trainings: int) -> dict[str, object]:
    """The notebook behind the page.

    Args:
        live: folder of live runs; stored: of the course's.
        trainings: live runs at a time.
    """
    values = {"live": str(live), "stored": str(stored), "trainings": trainings}
    cells: list[dict[str, object]] = []
    for text, code in CELLS:
        cells.append({"cell_type": "markdown", "metadata": {}, "source": text})
        cell = {"cell_type": "code", "metadata": {}, "source": code.format(**values)}
        cells.append({**cell, "execution_count": None, "outputs": []})
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}


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
        say: is called with the warning, and with the address once it answers.

    Raises:
        ValueError: there is no such port.
    """
    in_range("port", port, *PORTS)
    from toastlab.widgets.voila_app import NOTEBOOK, Dashboard, settings

    limits = limits or Limits()
    if expose:
        say(warning("can move the controls and train"))
    stored = course_store(live)
    course_runs(stored)
    spare_threads()
    with tempfile.TemporaryDirectory(prefix="toastlab-") as name:
        folder = Path(name)
        content = notebook(Path(live).resolve(), stored.resolve(), limits.trainings)
        (folder / NOTEBOOK).write_text(json.dumps(content), encoding="utf-8")
        word, made = token()

        def started(at: int) -> None:
            address = f"http://{LOOPBACK}:{at}/"
            say(f"{address}?token={word}" if made else f"{address} with the token JUPYTER_TOKEN")
            if open_browser:  # by a file: other users can read a browser's command line
                start = folder / "start.html"
                refresh = f'<meta http-equiv="refresh" content="0;url={address}?token={word}">'
                start.write_text(refresh, encoding="utf-8")
                webbrowser.open(start.as_uri())

        warnings.simplefilter("ignore", DeprecationWarning)  # the server's own, of no use here
        app = Dashboard(settings(folder, port, word, expose, limits), started)
        app.initialize([])
        app.start()
