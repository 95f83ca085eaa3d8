"""The panels as an app: Voila inside Jupyter Server, which asks for the token.

Started on its own, Voila serves without one. The page is a notebook of a few lines in a folder of
its own, so that nothing else of this machine is offered beside it.
"""

import json
import os
import tempfile
import warnings
from pathlib import Path

from toastlab.course import course_runs, course_store

PAGE = "toastlab.ipynb"
TEXTS = {
    "ablation": "# toastlab\n\n## What the weights do\n\nTOAST on 2,000 images of Fashion-MNIST, "
    "a small network, 30 epochs, three seeds: every number is of stored real runs. *Train this "
    "setting* trains it now.",
    "samples": "## Which samples are under-trained\n\nA TOAST run on 6,000 images, a fifth of them "
    "with a wrong label.",
}


def page(live: Path, stored: Path) -> dict[str, object]:
    """The notebook behind the page. `live`: folder of live runs; `stored`: of the course's."""
    codes = {
        "ablation": "from toastlab.widgets import AblationPanel, SamplePanel\n"
        f"AblationPanel({str(live)!r})",
        "samples": "from toastlab.course import course_data, course_runs\n"
        f"SamplePanel(course_runs({str(stored)!r})['TOAST'], course_data())",
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


def arguments(folder: Path, port: int, open_browser: bool) -> list[str]:
    """Of Jupyter Server: loopback only, token on, no terminals, Voila as an extension."""
    return [
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.open_browser={open_browser}",
        f"--ServerApp.default_url=/voila/render/{PAGE}",
        "--ServerApp.terminals_enabled=False",
        "--ServerApp.jpserver_extensions={'voila.server_extension': True, 'jupyterlab': False}",
        "--ServerApp.log_level=WARN",
        "--VoilaConfiguration.show_tracebacks=True",
        # a container's only user is often root; without this the server refuses to start there
        *(["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []),
    ]


def serve(live: Path | str, port: int, open_browser: bool) -> None:
    """Serves until interrupted. The course's runs are trained first where they are missing."""
    from jupyter_server.serverapp import ServerApp

    stored = course_store(live)
    course_runs(stored)
    with tempfile.TemporaryDirectory(prefix="toastlab-") as folder:
        content = json.dumps(page(Path(live).resolve(), stored.resolve()))
        (Path(folder) / PAGE).write_text(content, encoding="utf-8")
        warnings.simplefilter("ignore", DeprecationWarning)  # the server's own, of no use here
        ServerApp.launch_instance(arguments(Path(folder), port, open_browser))
