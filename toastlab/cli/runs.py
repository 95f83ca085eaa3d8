"""`toastlab runs`: what a store holds, and removing some of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from toastlab.cli.options import Store
from toastlab.cli.terminal import console, existing_store, plain_table, show_run
from toastlab.disk.files import showable
from toastlab.store.collect import Item, garbage, named, remove
from toastlab.store.runs import RunStore

COLUMNS = ("run", "method", "data", "noise", "model", "epochs", "seed", "top-1 %", "NLL")
DryRun = Annotated[bool, arg(help="Only say what would be removed; remove nothing.")]


def runs_list(store: Store = "runs") -> None:
    """The finished runs of a store."""
    rows = []
    for run in RunStore(existing_store(store)).list():
        c, top1, nll = run.config, run.last["test_top1"], run.last["test_nll"]
        names = [run.key, c.method.name, c.data.name, f"{c.data.noise_rate:g}", c.model]
        rows.append([*names, str(c.epochs), str(c.seed), f"{100 * top1:.1f}", f"{nll:.3f}"])
    console().print(plain_table(COLUMNS, rows) if rows else f"No finished runs in {store!r}.")


def runs_show(key: Positional[str], store: Store = "runs") -> None:
    """One run: settings, last epoch, where it was made.

    Args:
        key: Name of the run, or how its name begins.
    """
    show_run(RunStore(existing_store(store)).open(key))


def runs_rm(
    keys: Annotated[Positional[tuple[str, ...]], arg(metavar="KEY ...")],
    store: Store = "runs",
    dry_run: DryRun = False,
) -> None:
    """Removes runs by name; they can only be trained again.

    toastlab runs rm 3f9a --dry-run

    toastlab runs rm 3f9a 07c1

    If one of the names fits no run, or several, nothing is removed.

    Args:
        keys: Names of runs, or how each begins, as `toastlab runs list` shows them.
    """
    _remove(named(Path(existing_store(store)), keys), dry_run)


def runs_gc(
    store: Store = "runs",
    dry_run: DryRun = False,
    interrupted: bool = False,
    damaged: bool = False,
) -> None:
    """Removes what killed processes left; finished runs and what is in use stay.

    toastlab runs gc --dry-run

    toastlab runs gc --interrupted --damaged

    That is: what was being written more than a day ago, checkpoints of runs that are finished,
    damaged checkpoints that were set aside, and places of trainings that have ended.

    Args:
        interrupted: Also interrupted runs. The same command would go on from their checkpoint; it
            then begins afresh.
        damaged: Also finished runs with a damaged file, or that this version cannot read, as
            `toastlab doctor` finds them. They can only be trained again.
    """
    if not _remove(garbage(Path(existing_store(store)), interrupted, damaged), dry_run):
        console().print("Nothing to remove.")


def _remove(items: Iterable[Item], dry_run: bool) -> int:
    """Removes them, or only says so; how many there were."""
    screen, count, size = console(), 0, 0
    for item in list(items):
        gone = dry_run or remove(item)
        word = ("would remove" if dry_run else "removed") if gone else "in use, left alone:"
        text = f"{word} {showable(item.path)}, {item.why} ({item.size / 1e6:.1f} MB)"
        screen.print(text, soft_wrap=True)
        count, size = count + 1, size + item.size * gone
    if count:
        screen.print(f"{size / 1e6:.1f} MB {'would be' if dry_run else 'are'} free again.")
    return count
