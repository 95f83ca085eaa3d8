"""`toastlab lab` and `toastlab dashboard`: servers on this machine, behind a token."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from toastlab.cli.options import Store
from toastlab.cli.terminal import console
from toastlab.core.errors import BadValue, in_range
from toastlab.store.runs import RunStore
from toastlab.widgets.dashboard import Limits, serve
from toastlab.widgets.servers import PORTS, serve_lab

Port = Annotated[int, arg(help="Port, 1 to 65535; a free one near it if it is taken.")]
Browser = Annotated[bool, arg(help="Open it in the browser.")]
Expose = Annotated[
    bool, arg(help="Answer other machines, too, over plain HTTP; prints what that means.")
]


def lab(
    folder: str = "notebooks",
    port: Port = 8888,
    open_browser: Browser = True,
    expose: Expose = False,
) -> None:
    """Opens JupyterLab on the notebooks, on this machine only and behind its token.

    The token also holds when a script starts it; JUPYTER_TOKEN in the environment sets another. A
    notebook computes in one thread, as fits the networks of this course; OMP_NUM_THREADS,
    MKL_NUM_THREADS and OPENBLAS_NUM_THREADS in the environment set other numbers.

    Args:
        folder: What JupyterLab shows.
    """
    in_range("port", port, *PORTS)
    if not Path(folder).is_dir():
        raise BadValue(f"there is no folder {folder!r}; name one with --folder.")
    _say("Starting JupyterLab; the address with its token follows. Ctrl-C ends it.")
    serve_lab(str(Path(folder).resolve()), port, open_browser, expose, _say)


def dashboard(
    store: Store = "runs",
    port: Port = 8866,
    open_browser: Browser = True,
    expose: Expose = False,
    visitors: int = 32,
    trainings: int = 2,
    gone_after: float = 10.0,
    spare: int = 2,
) -> None:
    """Serves the ablation and the under-trained samples as an app without code.

    Only this machine is answered, and only with the token in the address that it prints;
    JUPYTER_TOKEN in the environment sets another. Visitors can move the controls and train, nothing
    else. Ctrl-C ends it.

    Args:
        visitors: Pages open at a time, 1 to 1000; each takes 0.6 GB of memory for itself (measured
            on Linux, after a training), and 0.4 GB that all of them share.
        trainings: Live runs at a time over all visitors, 1 to 1000; the next ones wait.
        gone_after: Minutes without a connection, 0.5 to 10080 (a week), after which a visitor's
            process ends, also in the midst of a training.
        spare: Pages made ahead, 0 to 1000, in places that are free: who opens one need not wait for
            a process to start.
    """
    in_range("port", port, *PORTS)
    limits = Limits(visitors, trainings, gone_after, spare)
    RunStore(store).check_writable()
    _say("Starting the dashboard; the address with its token follows. Ctrl-C ends it.")
    serve(store, port, open_browser, expose, limits, _say)


def _say(text: str) -> None:
    console().print(text, soft_wrap=True)  # an address must not be broken
