"""CIFAR and Fashion-MNIST from the network: torchvision names the files and downloads them.

torchvision itself waits for a silent server for ever, and takes some damaged files for sound ones:
CIFAR's class names, and the unpacked files of Fashion-MNIST. Here a stall is an error, and a file
counts only if its MD5 is the one in torchvision's list.

`kind` is a class of `torchvision.datasets`.
"""

import socket
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from toastlab.core.errors import DataError

STALL = 30.0  # seconds without a byte after which a download is given up
# What the network, an archive and the disk can do to a download.
ERRORS = (OSError, RuntimeError, EOFError, ValueError, HTTPException, tarfile.TarError, zlib.error)


@contextmanager
def give_up_stalls() -> Iterator[None]:
    """Within it a connection that is silent for `STALL` seconds raises `TimeoutError`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def folder_of(kind: Any, root: Path) -> Path:
    """Where its files lie."""
    return root / kind.base_folder if hasattr(kind, "meta") else root / kind.__name__ / "raw"


def unsound(kind: Any, root: Path) -> list[str]:
    """Its files that are missing or altered: CIFAR's unpacked ones, Fashion-MNIST's archives."""
    from torchvision.datasets.utils import check_integrity

    if hasattr(kind, "meta"):
        sums = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    else:
        sums = kind.resources
    folder = folder_of(kind, root)
    return [name for name, md5 in sums if not check_integrity(str(folder / name), md5)]


def fetch(kind: Any, root: Path) -> None:
    """Downloads what is missing or altered; one of `ERRORS` where that fails."""
    from torchvision.datasets.utils import download_and_extract_archive, download_url

    with give_up_stalls():
        for name in unsound(kind, root):
            if hasattr(kind, "meta"):  # one archive has them all
                download_and_extract_archive(
                    kind.url, str(root), filename=kind.filename, md5=kind.tgz_md5
                )
                break
            failed: list[Exception] = []
            for mirror in kind.mirrors:
                try:
                    md5 = dict(kind.resources)[name]
                    download_url(f"{mirror}{name}", str(folder_of(kind, root)), name, md5)
                    break
                except ERRORS as error:
                    failed.append(error)
            else:
                raise DataError(f"{name}: {'; '.join(map(str, failed))}")
    if left := unsound(kind, root):
        raise DataError(f"the archive does not hold the right {left[0]}")
