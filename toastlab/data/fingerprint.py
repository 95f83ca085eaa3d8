"""What a data set's contents are called: a SHA-256, by which runs are named.

Of images in memory it is taken over pixels and labels; of files on disk over the files' own bytes,
so that a file that was replaced by another of the same name and size is noticed. That reads every
file once. A file's sum is then remembered, with its size and the times of its last changes, in a
folder of the user's (`TOASTLAB_CACHE`, or toastlab-sums below the usual place of caches), and taken
from there for as long as those stay the same.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from toastlab.data.decode import not_an_image
from toastlab.data.splits import DiskSplit, Split
from toastlab.disk.files import regular, sha256

# Seconds for which a file must have been left alone before its sum is remembered: in a shorter time
# it could be changed again without its times telling.
SETTLED = 2.0
READERS = 8  # files read at a time
Known = dict[str, list[object]]  # path below the root -> size, two times in ns, SHA-256


def fingerprint(splits: Mapping[str, Split | DiskSplit]) -> str:
    """SHA-256, in hex, of all splits: names, contents, labels.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256()
    on_disk = [s for s in splits.values() if not isinstance(s, Split)]
    sums = file_sums([path for split in on_disk for path in split.paths])
    for part, split in splits.items():
        digest.update(f"{part} {len(split)}".encode())
        if isinstance(split, Split):
            digest.update(f"{split.images.dtype}{tuple(split.images.shape)}".encode())
            digest.update(split.images.cpu().contiguous().numpy().tobytes())
        else:
            lines = (f"{p.parent.name}/{p.name} {sums[p]}" for p in split.paths)
            text = "\n".join([f"{split.size} {split.grey}", *lines])
            digest.update(text.encode("utf-8", "surrogatepass"))
        digest.update(split.labels.cpu().numpy().tobytes())
        digest.update(split.clean_labels.cpu().numpy().tobytes())
    return digest.hexdigest()


def file_sums(paths: Sequence[Path]) -> dict[Path, str]:
    """The SHA-256 of each file, from memory where its size and times are those of before.

    Raises:
        DataError: a file cannot be read.
    """
    if not paths:
        return {}
    whole = [Path(os.path.abspath(path)) for path in paths]
    root = Path(os.path.commonpath([path.parent for path in whole]))
    names = [path.relative_to(root).as_posix() for path in whole]
    place = _place(root)
    known = _remembered(place)
    sums, learnt = {}, dict(known)
    with ThreadPoolExecutor(READERS) as pool:
        looked = pool.map(_sum, paths, map(known.get, names))
        for path, name, (total, entry) in zip(paths, names, looked, strict=True):
            sums[path] = total
            if entry is not None:
                learnt[name] = entry
    if learnt != known:
        _remember(place, learnt)
    return sums


def _sum(path: Path, known: list[object] | None) -> tuple[str, list[object] | None]:
    """A file's sum, and what is to be remembered of it, if anything."""
    try:
        before = _times(path)
        if known is not None and known[:3] == before:
            return str(known[3]), None
        total = sha256(path)
        settled = time.time_ns() - max(before[1:]) > SETTLED * 1e9
        return total, [*before, total] if settled and _times(path) == before else None
    except OSError as error:
        raise not_an_image(path, error) from error


def _times(path: Path) -> list[int]:
    """Size in bytes, and when content and anything else of the file were last changed."""
    state = os.stat(regular(path))
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _place(root: Path) -> Path | None:
    """The file in which the sums of a folder are remembered; None: nowhere."""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16] + ".json"
    if chosen := os.environ.get("TOASTLAB_CACHE"):
        return Path(chosen) / name
    with suppress(RuntimeError):  # a user without a home
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(caches) / "toastlab-sums" / name
    return None


def _remembered(place: Path | None) -> Known:
    """What is remembered; nothing where it cannot be read or is something else."""
    if place is None:
        return {}
    try:
        known = json.loads(regular(place).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {name: entry for name, entry in entries if _is_entry(entry)}


def _is_entry(entry: object) -> bool:
    if not (isinstance(entry, list) and len(entry) == 4 and isinstance(entry[3], str)):
        return False
    return len(entry[3]) == 64 and all(type(number) is int for number in entry[:3])


def _remember(place: Path | None, known: Known) -> None:
    """Puts it in place in one go; where that cannot be done the files are read again next time."""
    if place is None:
        return
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=place.name, suffix=".new", dir=place.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file)
            os.replace(aside, place)
        except OSError:
            os.unlink(aside)
            raise
