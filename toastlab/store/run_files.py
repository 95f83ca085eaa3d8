"""The files of a run: written with their checksums, and read only if they are what was written.

`sha256.json` has the SHA-256 of every other file of the folder. It is compared whenever a file is
read, so that a bit that changed on disk is an error and not a result. Runs of earlier versions have
no such file and are read as they are. It guards against accidents, not against forgery.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from toastlab.core.errors import BadValue, StoreError
from toastlab.disk.durable import sync_folder, write
from toastlab.disk.files import regular, sha256, showable

FILES = ("config.json", "facts.json", "metrics.csv", "arrays.safetensors", "weights.safetensors")
SUMS = "sha256.json"
T = TypeVar("T")


def write_files(folder: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Writes files by name, each on the disk before the next, and last the list of checksums.

    Raises:
        OSError: one cannot be written.
    """
    sums = {}
    for name, content in contents:
        write(folder / name, content)
        sums[name] = hashlib.sha256(content).hexdigest()
    write(folder / SUMS, json.dumps(sums, indent=1).encode())
    folder.chmod(0o755)  # mkdtemp makes it private
    sync_folder(folder)


def inside(path: Path) -> Path:
    """A path in a store that may be read and written: links could lead out of it.

    Raises:
        StoreError: it is a symbolic link.
    """
    if path.is_symlink():
        raise StoreError(f"{showable(path)} is a symbolic link; put a copy in its place.")
    return path


def json_of(file: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(file.read_text(encoding="utf-8"))


def metrics_of(file: Path) -> pd.DataFrame:
    """The table of a run's epochs; through strings, as not every pandas reads floats to the bit."""
    return pd.read_csv(file, dtype=str).astype(np.float64)


def read(file: Path, parse: Callable[[Path], T]) -> T:
    """What `parse` makes of a run's file, if its checksum holds or the run has none.

    Raises:
        StoreError: it is missing, altered, or not what it should be.
    """
    try:
        sums = file.parent / SUMS
        if sums.exists() and dict(json_of(regular(sums))).get(file.name) != sha256(file):
            raise BadValue(f"its SHA-256 is not the one in {SUMS}")
        return parse(regular(file))
    except MemoryError:  # not the file's fault
        raise
    except Exception as error:  # each reader has errors of its own
        raise StoreError(
            f"{showable(file)} is damaged ({showable(error)}). Remove the run's folder, and the "
            "same command trains it again."
        ) from error
