"""What the command line shows: tables, progress, runs."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from toastlab.core.errors import StoreError

if TYPE_CHECKING:
    from toastlab.store.runs import Run

USUAL_STORE = "runs"


def console() -> Console:
    """Where results go; made when needed, so that it writes to the stdout of that moment.

    Of several ranks only rank 0 speaks. Brackets are brackets, and colons colons: a folder may be
    called [red] or :smile:.
    """
    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, markup=False, emoji=False, width=width, quiet=_silent())


def _silent() -> bool:
    """Whether this is a rank other than 0. Who has not loaded the ranks has not joined any."""
    ranks = sys.modules.get("toastlab.training.ranks")
    return ranks is not None and ranks.here().rank > 0


def existing_store(store: str) -> str:
    """The store that a command looks at. One that is named must be there; nothing is made.

    Raises:
        StoreError: no folder has that name. The usual store may be missing: no run was made yet.
    """
    if not store.strip():
        raise StoreError("the run store has no name; name a folder with --store.")
    folder = Path(store)
    if not folder.is_dir() and (store != USUAL_STORE or folder.exists()):
        what = "is a file" if folder.exists() else "does not exist"
        raise StoreError(f"the run store {store!r} {what}; name a folder with --store.")
    return store


def progress(window: float = 30.0) -> Progress:
    """A bar for long work: share done, time left, and what is happening; fits 80 columns.

    Args:
        window: seconds over which the speed is measured; more than a step takes, or there is no
            time left to be seen.
    """
    return Progress(
        BarColumn(10),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True, quiet=_silent()),
        speed_estimate_period=window,
    )


def show_run(run: "Run") -> None:
    """One run: settings, the last epoch on both held-out splits, where it was made."""
    screen, last, c = console(), run.last, run.config
    rows = []
    for split in ("val", "test"):
        one, five, ece = (f"{100 * last[f'{split}_{m}']:.1f}" for m in ("top1", "top5", "ece"))
        nll, brier, aurc = (f"{last[f'{split}_{m}']:.3f}" for m in ("nll", "brier", "aurc"))
        rows.append((split, one, five, nll, ece, brier, aurc))
    screen.print(f"{c.method}\n{c.data}\n{c.model}, {c.epochs} epochs, seed {c.seed}")
    screen.print(
        plain_table(("split", "top-1 %", "top-5 %", "NLL", "ECE %", "Brier", "AURC"), rows)
    )
    screen.print(", ".join(f"{k} {v}" for k, v in run.facts.items()))
    screen.print(f"Run {run.key} in {run.folder}")


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    return table


def comparison_table(title: str, rows: Any) -> Table:
    """A data frame as a table, its first column to the left."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(rows.columns):
        table.add_column(str(column), justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows.itertuples(index=False):
        table.add_row(*(str(v) for v in row))
    return table
