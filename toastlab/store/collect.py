"""Removing runs, and what a store no longer needs: each with a look at it first."""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from toastlab.core.errors import StoreError
from toastlab.disk.files import showable
from toastlab.disk.locks import Lease, clear, held
from toastlab.store.doctor import DAY, damage, run_folders
from toastlab.store.run_files import inside

KEY = re.compile("[0-9a-f]{16}")
GONE = ".removed-"  # how the name of a run's folder begins while its files are being removed


@dataclass(frozen=True)
class Item:
    """Something in a store that can be removed.

    Attributes:
        path: a folder, or a file in a folder of a run under way.
        why: what it is.
        size: of all its files, in bytes.
    """

    path: Path
    why: str
    size: int


def named(root: Path, keys: Sequence[str]) -> list[Item]:
    """The runs of these names, or of names that begin so; damaged ones, too.

    Raises:
        StoreError: a key fits none or several, or a link; then nothing is to be removed.
    """
    if not keys:
        raise StoreError("no run is named; `toastlab runs list` shows what is there.")
    chosen: dict[Path, None] = {}
    for key in keys:
        # compared as text: "../x" or "*" would name what is no run of this store
        fits = [p for p in _runs(root) if key and p.name.startswith(key)]
        if len(fits) != 1:
            raise StoreError(
                f"{len(fits)} runs in {root} begin with {showable(repr(key))}; "
                "`toastlab runs list` shows what is there. Nothing was removed."
            )
        chosen[inside(fits[0])] = None
    return [Item(path, "a run", _size(path)) for path in chosen]


def garbage(root: Path, interrupted: bool = False, damaged: bool = False) -> Iterator[Item]:
    """What no run needs and no living process holds.

    Args:
        interrupted: also runs that were interrupted: the same command would go on from their
            checkpoint, and then begins afresh.
        damaged: also finished runs of which a file is damaged, or that this version cannot read:
            they can only be trained again.
    """
    for folder in sorted(root.glob(f"{GONE}*")):
        yield from _item(folder, "of a run whose removal was interrupted")
    for folder in sorted(root.glob(".writing-*")):
        if time.time() - folder.lstat().st_mtime > DAY:
            yield from _item(folder, "half-written, older than a day")
    for folder in sorted(root.glob(".slot-*")):
        if held(folder) is False:
            yield from _item(folder, "the place of a training that has ended")
    for folder in sorted(root.glob(".partial-*")):
        if held(folder) is not False:
            continue  # somebody trains there, or nobody can know
        finished = (root / folder.name.removeprefix(".partial-")).exists()
        if finished or interrupted:
            what = "checkpoints of a finished run" if finished else "an interrupted run"
            yield from _item(folder, what)
            continue
        for file in sorted([*folder.glob("*.new"), *folder.glob(".writing-*")]):
            yield from _item(file, "half-written by a process that is gone")
        for file in sorted(folder.glob("*.damaged")):
            yield from _item(file, "a damaged checkpoint")
    for folder in _runs(root) if damaged else []:
        if not folder.is_symlink() and damage(folder):
            yield from _item(folder, "a damaged run")


def _runs(root: Path) -> list[Path]:
    """The folders that are called as runs are; a user's own folders are none of our business."""
    return [p for p in run_folders(root) if KEY.fullmatch(p.name)]


def _item(path: Path, why: str) -> Iterator[Item]:
    if not path.is_symlink():
        yield Item(path, why, _size(path))


def remove(item: Item) -> bool:
    """Removes it, unless a process has begun to use it since; whether it is gone.

    A run is first renamed in one go, so that nobody finds half of it.

    Raises:
        StoreError: the store cannot be written.
    """
    path = item.path
    try:
        if path.parent.name.startswith(".partial-"):
            return _remove_in_partial(path)
        if path.name.startswith((".partial-", ".slot-")):
            return clear(path)
        if not path.name.startswith("."):
            path = path.rename(path.with_name(f"{GONE}{path.name}-{uuid4().hex[:8]}"))
        shutil.rmtree(path)
    except FileNotFoundError:  # somebody else removes it, too
        return True
    except OSError as error:
        raise StoreError(f"cannot remove {showable(item.path)}: {error.strerror}.") from error
    return True


def _remove_in_partial(path: Path) -> bool:
    lease = Lease(path.parent)
    try:
        if not (lease.take() and lease.sole):
            return False
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    finally:
        lease.free()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    total = 0
    for file in files:
        try:
            total += file.lstat().st_size if not file.is_dir() else 0
        except FileNotFoundError:  # removed just now
            continue
    return total
