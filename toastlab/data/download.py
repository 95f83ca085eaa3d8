"""Data sets from the network: torchvision downloads and checks; a stall is an error, and what an
earlier try left damaged is fetched again.

torchvision itself waits for a silent server for ever, and takes some of what is damaged for whole:
CIFAR's class names, and the unpacked files of Fashion-MNIST.
"""

import socket
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from torchvision.datasets.utils import (
    check_integrity,
    download_and_extract_archive,
    download_url,
)

STALL = 30.0  # seconds without a byte after which a download is given up
# What the network, an archive and the disk can do to a download.
ERRORS = (OSError, RuntimeError, EOFError, ValueError, HTTPException, tarfile.TarError, zlib.error)


@contextmanager
def impatient() -> Iterator[None]:
    """Within it a connection that is silent for `STALL` seconds raises `TimeoutError`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def unsound(folder: Path, sums: list[tuple[str, str]]) -> list[str]:
    """The files, given with their MD5, that are missing or altered."""
    return [name for name, md5 in sums if not check_integrity(str(folder / name), md5)]


def cifar_sums(kind: Any) -> list[tuple[str, str]]:
    """Every file of a CIFAR class of torchvision with its MD5, the class names among them."""
    meta = (kind.meta["filename"], kind.meta["md5"])
    return [*map(tuple, [*kind.train_list, *kind.test_list]), meta]


def fashion_folder(root: Path) -> Path:
    """Where Fashion-MNIST's archives lie."""
    return root / "FashionMNIST" / "raw"


def cifar(kind: Any) -> Callable[[Path], None]:
    """What downloads that class's data into a folder; one of `ERRORS` where it cannot."""

    def fetch(root: Path) -> None:
        folder = root / kind.base_folder
        if unsound(folder, cifar_sums(kind)):
            download_and_extract_archive(
                kind.url, str(root), filename=kind.filename, md5=kind.tgz_md5
            )
        if left := unsound(folder, cifar_sums(kind)):
            raise RuntimeError(f"the archive does not hold the right {left[0]}")

    return fetch


def fashion(kind: Any) -> Callable[[Path], None]:
    """The same for Fashion-MNIST: four archives, each from the first mirror that has it."""

    def fetch(root: Path) -> None:
        folder = fashion_folder(root)
        for name, md5 in kind.resources:
            failed: list[Exception] = []
            for mirror in kind.mirrors:
                try:
                    download_url(f"{mirror}{name}", str(folder), name, md5)
                    break
                except ERRORS as error:
                    failed.append(error)
            else:
                raise RuntimeError(f"{name}: {'; '.join(map(str, failed))}")

    return fetch
