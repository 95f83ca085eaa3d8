"""Commands behind the notebooks: the stored tables, the stored layouts, the dashboard."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from toastlab.cli.terminal import comparison_table, console, output_file, progress
from toastlab.store.runs import RunStore
from toastlab.studies.catalogue import STUDIES, PeersOptions
from toastlab.studies.study import Options
from toastlab.widgets.dashboard import Limits, serve
from toastlab.widgets.servers import serve_lab


def study(name: str, options: Options, store: str, out: str, device: str, workers: int) -> None:
    """Runs a study under a bar, and shows what came out."""
    steps = STUDIES[name].run(options, store, out, device=device, workers=workers)
    with progress() as bar:
        task = bar.add_task(name, total=None)
        for at in steps:
            bar.update(task, completed=at.done, total=at.total, description=at.text)
    for shown in STUDIES[name].results(options, out):
        console().print(shown if isinstance(shown, str) else comparison_table(*shown))


def page(name: str, out: str) -> None:
    """Writes a study's page."""
    output_file(out).write_text(STUDIES[name].page() or "", encoding="utf-8")
    console().print(out)


def ablation(store: str = "runs", out: str = "data/ablation.csv", workers: int = 0) -> None:
    """Trains the grid behind the ablation panel and writes its table (10 minutes on two cores).

    Args:
        store: Folder of runs; what is there is not trained again.
        out: The table: one row per run.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    study("ablation", Options(), store, out, "auto", workers)


def peers(
    options: Annotated[PeersOptions, arg(name="")],
    store: str = "runs",
    out: str = "data/peers",
    workers: int = 0,
) -> None:
    """Compares all methods on fashion-mini, noisy and clean, at both budgets: the stored tables.

    Args:
        options: What of it.
        store: Folder of runs; what is there is not trained again.
        out: Folder of the tables. Rows of other networks and parts that stand in them stay.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    study("peers", options, store, out, "auto", workers)


def regime(store: str = "runs", out: str = "data/regime", workers: int = 0) -> None:
    """Trains every method in every cell of the regime map and writes its tables (about an hour).

    Args:
        store: Folder of runs; what is there is not trained again.
        out: Folder of the tables.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    study("regime", Options(), store, out, "auto", workers)


def claims(out: str = "docs/claims.md") -> None:
    """Holds the source's claims against the stored comparison and writes the page about it.

    Args:
        out: The page, Markdown.
    """
    page("peers", out)


def layouts(store: str = "data/runs", out: str = "data/layouts.safetensors") -> None:
    """Lays out soft targets and logits by t-SNE for every stored epoch and perplexity (3 minutes).

    Args:
        store: Folder with the two runs of the notebooks; trained there if they are missing.
        out: The file of layouts.
    """
    study("layouts", Options(), store, out, "auto", 0)


def dashboard(
    store: str = "runs",
    port: int = 8866,
    open_browser: bool = True,
    expose: bool = False,
    visitors: int = 32,
    trainings: int = 2,
    gone_after: float = 10.0,
) -> None:
    """Serves the ablation and the under-trained samples as an app without code, on this machine.

    The address that it prints holds the token, without which nobody is served; JUPYTER_TOKEN in the
    environment sets another. Visitors can move the controls and train, nothing else. Ctrl-C ends
    it.

    Args:
        store: Folder for the runs that are trained live.
        port: Port, 1 to 65535; a free one near it if it is taken.
        open_browser: Open the page in the browser.
        expose: Answer other machines, too, over plain HTTP; prints what that means.
        visitors: Pages open at a time, 1 to 1000; each takes about 0.6 GB of memory.
        trainings: Live runs at a time over all visitors, 1 to 1000; the next ones wait.
        gone_after: Minutes without a sign of life, 0.5 to 10080 (a week), after which a visitor's
            process ends.
    """
    limits = Limits(visitors, trainings, gone_after)
    RunStore(store).check_writable()
    _say("Starting the dashboard; the address with its token follows. Ctrl-C ends it.")
    serve(store, port, open_browser, expose, limits, _say)


def lab(
    folder: str = "notebooks", port: int = 8888, open_browser: bool = True, expose: bool = False
) -> None:
    """Opens JupyterLab on the notebooks, on this machine only and behind its token.

    The token also holds when a script starts it; JUPYTER_TOKEN in the environment sets another. A
    notebook computes in one thread, as fits the networks of this course; OMP_NUM_THREADS,
    MKL_NUM_THREADS and OPENBLAS_NUM_THREADS in the environment set other numbers.

    Args:
        folder: What JupyterLab shows.
        port: Port, 1 to 65535; the next free one if it is taken.
        open_browser: Open it in the browser.
        expose: Answer other machines, too, over plain HTTP; prints what that means.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"there is no folder {folder!r}; name one with --folder.")
    _say("Starting JupyterLab; the address with its token follows. Ctrl-C ends it.")
    serve_lab(str(Path(folder).resolve()), port, open_browser, expose, _say)


def _say(text: str) -> None:
    console().print(text, soft_wrap=True)  # an address must not be broken
