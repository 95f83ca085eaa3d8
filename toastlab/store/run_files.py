"""The files of a run: written with their checksums, and read only if they are what was written.

`sha256.json` has the SHA-256 of every other file of the folder. It is compared whenever a file is
read, so that a bit that changed on disk is an error and not a result. Runs of earlier versions have
no such file and are read as they are. It guards against accidents, not against forgery.

One thing may be changed by hand: `data.path` in config.json, since images move. For it there is one
more SHA-256, of the settings with an empty path.
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
CONFIG = "config.json"
SUMS = "sha256.json"
PATHLESS = "config.json with an empty data.path"  # its name among the checksums
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
        if name == CONFIG:
            sums[PATHLESS] = _pathless(json.loads(content))
    write(folder / SUMS, as_json(sums))
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


def as_json(content: Any, ascii: bool = True) -> bytes:
    """A JSON file as runs have it; `ascii`: other letters are written as escapes."""
    return json.dumps(content, indent=1, ensure_ascii=ascii).encode()


def _pathless(stored: Any) -> str:
    """The SHA-256 of a run's settings, whatever their `data.path`."""
    config = dict(stored["config"])
    config["data"] = {**config["data"], "path": ""}
    return hashlib.sha256(as_json({**stored, "config": config})).hexdigest()


def settings_of(folder: Path) -> Any:
    """What a run's config.json holds, if it is what was written, but for `data.path`.

    Raises:
        ValueError: it is not; or it is no JSON. OSError: it is missing, or no file.
    """
    file, sums = regular(folder / CONFIG), folder / SUMS
    content = file.read_bytes()
    stored = json.loads(content)
    if not sums.exists():
        return stored
    named = dict(json_of(regular(sums)))
    if hashlib.sha256(content).hexdigest() == named.get(CONFIG):
        return stored
    as_written = content.strip() in (as_json(stored), as_json(stored, ascii=False))
    # without the second checksum, as in earlier versions, one can know only of runs without a path
    if not as_written or _pathless(stored) != named.get(PATHLESS, named.get(CONFIG)):
        raise BadValue(f"the SHA-256 of {CONFIG} is not the one in {SUMS}")
    return stored


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
