"""Files read with care: only regular files are opened, and their names can always be printed."""

import errno
import hashlib
import os
import stat
import unicodedata
from pathlib import Path
from tempfile import TemporaryFile

BLOCK = 2**20  # bytes read at a time
UNSHOWN = ("Cc", "Cs", "Zl", "Zp")  # control characters, no characters at all, line breaks


def regular(path: Path) -> Path:
    """The path, if it is a file: reading a pipe or a terminal could wait without end.

    Raises:
        OSError: it does not exist, is no file, or its links lead in a circle.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise OSError(errno.EINVAL, f"{what}, not a file", str(path))
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex; `OSError` as of `regular`."""
    digest = hashlib.sha256()
    with open(regular(path), "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def showable(text: object) -> str:
    r"""The text in one line: bytes that are not UTF-8, line breaks and control characters as \x..

    Names of files may hold any of them, and would break a line, a terminal or the encoding.
    """
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in UNSHOWN else c for c in str(text))


def try_writing(folder: Path) -> None:
    """Makes the folder if need be and tries to write there; `OSError` where it cannot be done."""
    folder.mkdir(parents=True, exist_ok=True)
    TemporaryFile(dir=folder).close()


def embedded(name: str) -> Path:
    """Data that come with toastlab: beside the code if installed, in data/ of a checkout."""
    installed = Path(__file__).parents[1] / "_data" / name
    return installed if installed.exists() else Path(__file__).parents[2] / "data" / name
