"""Commands behind the notebooks: the stored tables, the stored layouts, the dashboard."""

from pathlib import Path

from toastlab.bench.text import load_bench
from toastlab.cli.terminal import console, output_file, progress
from toastlab.core.errors import in_range, some_of
from toastlab.course.runs import course_data, course_runs
from toastlab.methods.plan import BUDGETS, Budget
from toastlab.store.runs import RunStore
from toastlab.studies import layouts as embedding
from toastlab.studies.ablation import condense, grid_fingerprints, points, run_grid
from toastlab.studies.claims import page
from toastlab.studies.compare import SEED_COUNTS
from toastlab.studies.peers import (
    MORE_SEEDS,
    NETWORKS,
    PARTS,
    SEEDS,
    load_peers,
    run_peers,
    write_rows,
)
from toastlab.studies.regime import run_map
from toastlab.widgets.dashboard import Limits, serve
from toastlab.widgets.servers import serve_lab


def ablation(store: str = "runs", out: str = "data/ablation.csv", workers: int = 0) -> None:
    """Trains the grid behind the ablation panel and writes its table (10 minutes on two cores).

    Args:
        store: Folder of runs; what is there is not trained again.
        out: The table: one row per run.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    RunStore(store).check_writable()
    file = output_file(out)
    with progress() as bar:
        task = bar.add_task("runs of the grid", total=None)
        for done, total in run_grid(store, workers=workers):
            bar.update(task, completed=done, total=total, description=f"{done} of {total} runs")
    table = condense(store, grid_fingerprints())
    table.to_csv(file, index=False)
    console().print(f"{len(table)} runs of {len(points())} settings: {out}")


def peers(
    models: tuple[str, ...] = ("mlp",),
    parts: tuple[str, ...] = PARTS,
    budgets: tuple[Budget, ...] = BUDGETS,
    seeds: int = SEEDS,
    more_seeds: int = MORE_SEEDS,
    store: str = "runs",
    out: str = "data/peers",
    workers: int = 0,
) -> None:
    """Compares all methods on fashion-mini, noisy and clean, at both budgets: the stored tables.

    Args:
        models: Networks: mlp takes about an hour on two cores; resnet-small, with --parts defaults,
            40 minutes.
        parts: Parts: defaults (of every source), pairwise (noise), augmented (Cutout, Mixup,
            CutMix), tuned (on validation, the same number of trials for every method).
        budgets: Budgets: images (equally many through the network), samples (equally many new
            ones), both; the other parts than defaults have equal images only.
        seeds: How many seeds, 1 to 1000.
        more_seeds: How many seeds of the headline methods (cross-entropy, label smoothing, DLB,
            TOAST), 1 to 1000.
        store: Folder of runs; what is there is not trained again.
        out: Folder of the tables. Rows of other networks and parts that stand in them stay.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    some_of("model", models, NETWORKS)
    some_of("part", parts, PARTS)
    some_of("budget", budgets, BUDGETS)
    in_range("seeds", seeds, *SEED_COUNTS)
    in_range("more seeds", more_seeds, *SEED_COUNTS)
    RunStore(store).check_writable()
    RunStore(out).check_writable()
    for model in models:
        with progress() as bar:
            task = bar.add_task(model, total=None)
            for name, done, total, tables in run_peers(
                model,
                store,
                parts=parts,
                seeds=seeds,
                more=more_seeds,
                budgets=budgets,
                workers=workers,
            ):
                text = f"{model}, {name}: {done} of {total} runs"
                bar.update(task, completed=done, total=total, description=text)
                for which, rows in tables.items():
                    write_rows(Path(out) / f"{which}.csv", rows)
    console().print(f"Tables: {out}")


def regime(store: str = "runs", out: str = "data/regime", workers: int = 0) -> None:
    """Trains every method in every cell of the regime map and writes its tables (about an hour).

    Args:
        store: Folder of runs; what is there is not trained again.
        out: Folder of the tables.
        workers: Runs side by side, up to 1024; 0 chooses by cores.
    """
    RunStore(store).check_writable()
    RunStore(out).check_writable()
    with progress() as bar:
        task = bar.add_task("runs of the map", total=None)
        for done, total, tables in run_map(store, workers=workers):
            bar.update(task, completed=done, total=total, description=f"{done} of {total} runs")
            for which, rows in tables.items():
                rows.to_csv(Path(out) / f"{which}.csv", index=False)
    console().print(f"Tables: {out}")


def claims(out: str = "docs/claims.md") -> None:
    """Holds the source's claims against the stored comparison and writes the page about it.

    Args:
        out: The page, Markdown.
    """
    text = page(load_peers(), load_bench())
    output_file(out).write_text(text, encoding="utf-8")
    console().print(out)


def layouts(store: str = "data/runs", out: str = "data/layouts.safetensors") -> None:
    """Lays out soft targets and logits by t-SNE for every stored epoch and perplexity (3 minutes).

    Args:
        store: Folder with the two runs of the notebooks; trained there if they are missing.
        out: The file of layouts.
    """
    RunStore(store).check_writable()
    file = output_file(out)
    runs = course_runs(store)
    index = embedding.pick(course_data().train.labels.numpy())
    places, trust = {}, {}
    with progress() as bar:
        task = bar.add_task("layouts", total=embedding.count(runs))
        for key, xy, score in embedding.make(runs, index):
            places[key], trust[key] = xy, score
            bar.update(task, advance=1)
    keys = {name: run.key for name, run in runs.items()}
    embedding.save(file, embedding.Layouts(index, keys, places, trust))
    console().print(f"{len(places)} layouts of {len(index)} samples: {out}")


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
