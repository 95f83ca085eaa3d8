"""`toastlab study`: what is asked in the studies, and, when told to, their runs and pages."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from toastlab.cli.options import Device, Store, Together, Workers
from toastlab.cli.overview import columns
from toastlab.cli.terminal import comparison_table, console, progress
from toastlab.core.errors import BadValue, one_of
from toastlab.studies.catalogue import STUDIES

EXAMPLES = {
    "peers": "peers --models mlp --parts defaults --seeds 3 --more-seeds 3 --out my-peers",
    "recipe": "recipe ps-kd-300 --models resnet18 --methods toast ps-kd --device cuda",
}


def study_list() -> None:
    """What each study asks and how long it takes; trains nothing."""
    rows = {s.name: f"{s.question} How long: {s.duration}." for s in STUDIES.values()}
    paged = ", ".join(s.name for s in STUDIES.values() if s.page_out)
    text = (
        f"{columns(rows)}\n\nNothing is trained before you say so: toastlab study run ablation\n"
        f"Options, such as fewer seeds: toastlab study run peers --help\n"
        f"From stored tables, at once: toastlab study page NAME, for {paged}."
    )
    console().print(text, soft_wrap=True)


def study_run(name: str) -> Callable[..., None]:
    """Trains the runs of a study and writes its tables; says first how long.

    Returns:
        The command of that study, with the study's own options.
    """
    study = STUDIES[one_of("study", name, STUDIES)]

    def run(
        options: Annotated[study.options, arg(name="")],  # type: ignore[name-defined]
        store: Store = study.store,
        out: Annotated[str, arg(help="Where the tables go.")] = study.out,
        device: Device = "auto",
        workers: Workers = 0,
        together: Together = False,
        yes: Annotated[bool, arg(help="Begin without asking.")] = False,
    ) -> None:
        screen = console()
        screen.print(f"{study.question}\nHow long: {study.duration}.", soft_wrap=True)
        if not yes and sys.stdin.isatty() and sys.stdout.isatty():
            screen.print("Begin? [y/N] ", end="")
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                return screen.print("Nothing was trained.")
        with progress() as bar:
            task = bar.add_task("starting", total=None)
            steps = study.run(
                options, store, out, device=device, workers=workers, together=together
            )
            for step in steps:
                bar.update(task, completed=step.done, total=step.total, description=step.text)
        for result in study.results(options, out):
            text = isinstance(result, str)
            screen.print(result if text else comparison_table(*result), soft_wrap=text)

    run.__doc__ = f"""Trains the runs of a study, which asks: {study.question}

    How long: {study.duration}. On a terminal it asks before it begins. What is in the store is not
    trained again: the same command goes on where it stopped.

    toastlab study run {EXAMPLES.get(name, name)}"""
    return run


def study_page(name: Positional[str], out: str = "") -> None:
    """Writes the page about a study from its stored tables; trains nothing.

    toastlab study page peers

    Args:
        name: Name of a study that has a page: peers, readings, scores or recipe.
        out: The page, Markdown; empty: its place in docs/.
    """
    study = STUDIES[
        one_of("study with a page", name, [n for n, s in STUDIES.items() if s.page_out])
    ]
    path, text = Path(out or study.page_out), study.page()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "", encoding="utf-8")
    except OSError as error:
        raise BadValue(
            f"cannot write {str(path)!r} ({error.strerror}); choose another file with --out."
        ) from error
    console().print(str(path))
