"""Files that are on the disk when the call returns, and checkpoints that notice damage.

A checkpoint is one file: 64 hex digits, the SHA-256 of what follows, a line break, and what
`torch.save` writes. It is written aside and renamed, and the one before stays beside it. So
whenever a process or a disk fails, one complete checkpoint exists, and a torn one is noticed.
"""

import errno
import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from toastlab.core.errors import BadValue, StoreError
from toastlab.disk.files import regular

log = logging.getLogger(__name__)
HEADER = 65  # bytes: the digest and a line break


def write(path: Path, *parts: Any) -> None:
    """Writes bytes-like `parts` to a file and waits until the disk has them."""
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the disk has a folder's list of names: without it a rename may be lost."""
    if os.name == "nt":  # a folder cannot be opened on Windows, and renames are written through
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not every file system knows how
            raise
    finally:
        os.close(handle)


def previous(path: Path) -> Path:
    """The file of the checkpoint before that of `path`."""
    return path.with_name(path.name + ".previous")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Puts `state` in place of the checkpoint at `path`, which becomes the previous one.

    Raises:
        StoreError: it cannot be written; the earlier checkpoints are untouched.
    """
    content = io.BytesIO()
    torch.save(state, content)
    body = content.getbuffer()
    digest = hashlib.sha256(body).hexdigest().encode()
    try:
        try:
            _put(path, digest, b"\n", body)
        except FileNotFoundError:  # without locks another process may remove the folder just now
            _put(path, digest, b"\n", body)
    except OSError as error:
        raise StoreError(
            f"cannot write the checkpoint {path}: {error.strerror}. Make room or choose another "
            "folder; the same command goes on from the last checkpoint that was written."
        ) from error


def _put(path: Path, *parts: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: without locks (see `locks`) two processes may do this at a time.
    handle, name = tempfile.mkstemp(prefix=path.name, suffix=".new", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        write(aside, *parts)
        with suppress(FileNotFoundError):  # the first one
            path.replace(previous(path))
        aside.replace(path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def load_checkpoint(path: Path, keys: Collection[str]) -> dict[str, Any] | None:
    """The state at `path`, on the CPU; where it is damaged, the previous one; None without either.

    A damaged file is set aside, so that it does not take the place of the previous one.

    Args:
        keys: what a state must have to be one.
    """
    missing = not path.exists()
    for file in (path, previous(path)):
        try:
            state = _read(file, keys)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            log.warning("the checkpoint %s is damaged (%s) and not used", file, error)
            with suppress(OSError):
                file.replace(file.with_name(file.name + ".damaged"))
            missing = False
            continue
        if file != path and not missing:
            log.warning("going on from the checkpoint before, %s", file)
        return state
    if not missing:
        log.warning("no sound checkpoint at %s; starting afresh", path)
    return None


def _read(file: Path, keys: Collection[str]) -> dict[str, Any]:
    content = memoryview(regular(file).read_bytes())
    header, body = bytes(content[:HEADER]), content[HEADER:]
    if header != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise BadValue("its checksum does not hold")
    try:
        # weights_only: a checkpoint is data, and what else it asks to be run is not run
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds of error for damaged bytes
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise BadValue(f"it holds no plain tensors: {why}") from error
    if not isinstance(state, dict) or not set(keys) <= set(state):
        raise BadValue("it is not a checkpoint of toastlab")
    return state
