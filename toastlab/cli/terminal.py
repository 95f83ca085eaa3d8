"""What the command line shows and reads: tables, progress, options, one-line errors."""

import contextlib
import errno
import inspect
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro
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
from toastlab.store.runs import Run
from toastlab.training.ranks import here

USUAL_STORE = "runs"


def console() -> Console:
    """Where results go; made when needed, so that it writes to the stdout of that moment.

    Of several ranks only rank 0 speaks. Brackets are brackets: a folder may be called [red].
    """
    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, markup=False, width=width, quiet=here().rank > 0)


def parse(
    call: Callable[..., None], signature: inspect.Signature, prog: str, args: list[str]
) -> Callable[[], None]:
    """The command with its options, ready to run. tyro's complaints become one line."""

    def keep(**options: Any) -> dict[str, Any]:
        return options

    keep.__doc__ = call.__doc__
    keep.__signature__ = signature  # type: ignore[attr-defined]
    keep.__annotations__ = {n: p.annotation for n, p in signature.parameters.items()}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = tyro.cli(keep, args=args, prog=prog)
    except SystemExit as stop:
        if stop.code:
            raise ValueError(f"{one_line(said.getvalue())} See {prog} --help.") from None
        raise
    return lambda: call(**options)


def existing_store(store: str) -> str:
    """The store that a command looks at. One that is named must be there; nothing is made.

    Raises:
        StoreError: no folder has that name. The usual store may be missing: no run was made yet.
    """
    folder = Path(store)
    if not folder.is_dir() and (store != USUAL_STORE or folder.exists()):
        what = "is a file" if folder.exists() else "does not exist"
        raise StoreError(f"the run store {store!r} {what}; name a folder with --store.")
    return store


def output_file(out: str) -> Path:
    """The file that a command will write; its folder is made.

    Raises:
        ValueError: the folder cannot be made, or a folder has that name.
    """
    try:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        if Path(out).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise ValueError(
            f"cannot write {out!r} ({error.strerror}); choose another file with --out."
        ) from error
    return Path(out)


def one_line(text: str) -> str:
    """tyro's boxed message without the box, and without the advice to read the help."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    plain = " ".join(re.sub(r"[─│╭╮╰╯╶╴]+|-{4,}", " ", plain).split())
    plain = re.sub(
        r"^\s*(Parsing error|Value error|Missing argument(?= Missing))\s*|Error parsing \S+:\s*"
        r"|^\s*(Unrecognized|Required) options",
        "",
        plain,
    )
    plain = re.split(r"\s*For full helptext|\s*Full helptext", plain)[0].strip()
    return plain.rstrip(".") + "."


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
        TextColumn("{task.description}"),
        console=Console(stderr=True, quiet=here().rank > 0),
        speed_estimate_period=window,
    )


def show_run(run: Run) -> None:
    """One run: settings, the last epoch on both held-out splits, where it was made."""
    screen, last, c = console(), run.last, run.config
    table = Table("split", "top-1 %", "top-5 %", "NLL", "ECE %", "Brier", "AURC")
    for split in ("val", "test"):
        one, five, ece = (f"{100 * last[f'{split}_{m}']:.1f}" for m in ("top1", "top5", "ece"))
        nll, brier, aurc = (f"{last[f'{split}_{m}']:.3f}" for m in ("nll", "brier", "aurc"))
        table.add_row(split, one, five, nll, ece, brier, aurc)
    screen.print(f"{c.method}\n{c.data}\n{c.model}, {c.epochs} epochs, seed {c.seed}")
    screen.print(table)
    screen.print(", ".join(f"{k} {v}" for k, v in run.facts.items()))
    screen.print(f"Run {run.key} in {run.folder}")


def comparison_table(title: str, rows: Any) -> Table:
    """A data frame as a table, its first column to the left."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(rows.columns):
        table.add_column(str(column), justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows.itertuples(index=False):
        table.add_row(*(str(v) for v in row))
    return table


def fail(message: str, code: int) -> None:
    """One line on stderr, and out."""
    print(f"toastlab: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)
