"""MNIST's file format, IDX: parsed strictly, written so that equal contents give equal bytes."""

import gzip
import math
import struct
import zlib
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from toastlab.core.errors import DataError
from toastlab.data.raw import Raw, RawSplit
from toastlab.disk.files import BLOCK, regular, showable

FASHION_CLASSES: tuple[str, ...] = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
FASHION_CLASSES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
LIMIT = 2**31  # bytes of one file, unpacked: more than any data set that has this format


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Reads a uint8 IDX file, plain or .gz, of `ndim` dimensions.

    Raises:
        DataError: missing, not IDX, truncated, too long, or not gzip though it is called so.
    """
    try:
        with gzip.open(regular(path)) if path.suffix == ".gz" else regular(path).open("rb") as file:
            head = file.read(4 + 4 * ndim)
            if len(head) < 4 + 4 * ndim or head[:4] != bytes([0, 0, 8, ndim]):
                raise DataError(f"{path} is not an IDX file of bytes in {ndim} dimensions.")
            shape = struct.unpack(f">{ndim}I", head[4:])
            size = math.prod(shape)
            if not size:
                raise DataError(f"{path} is empty: its header says {shape}.")
            if size > LIMIT:
                raise DataError(f"{path} claims {size} bytes of pixels; that is no real data set.")
            # Block by block, since a header may claim more than there is.
            blocks = iter(partial(file.read, BLOCK), b"")
            body = bytearray().join(islice(blocks, size // BLOCK + 2))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {showable(error)}. Get the file again.") from error
    if len(body) != size:
        short = "truncated" if len(body) < size else "longer than its header says"
        raise DataError(f"{path} is {short}. Get the file again.")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes a uint8 array as IDX .gz whose bytes depend on its contents only."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(head + np.ascontiguousarray(array, dtype=np.uint8).tobytes())


def read_split(folder: Path, prefix: str, packed: bool = False) -> RawSplit:
    """Images and labels of one split, "train" or "t10k" say, plain or .gz; `packed`: only .gz.

    Raises:
        DataError: a file is not there, or as of `read_idx`.
    """

    def read(stem: str, ndim: int) -> np.ndarray:
        plain, archive = folder / stem, folder / f"{stem}.gz"
        if not (plain.exists() or archive.exists()):
            raise DataError(
                f"there is no {stem} (or {stem}.gz) in {showable(folder)}; IDX data are four files "
                "with MNIST's names: name their folder (--data.path)."
            )
        return read_idx(plain if plain.exists() and not packed else archive, ndim)

    images = read(f"{prefix}-images-idx3-ubyte", 3)
    labels = read(f"{prefix}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise DataError(f"{folder} has {len(images)} {prefix} images but {len(labels)} labels.")
    return RawSplit(labels.astype(np.int64), images[:, None])


def read_folder(path: Path) -> Raw:
    """MNIST's four files, by their usual names."""
    splits = {"train": read_split(path, "train"), "test": read_split(path, "t10k")}
    count = 1 + max(int(s.labels.max(initial=0)) for s in splits.values())
    fashion = "fashion" in path.resolve().name.lower() and count == len(FASHION_CLASSES)
    classes = FASHION_CLASSES if fashion else tuple(str(c) for c in range(count))
    return Raw(splits, classes, f"IDX files in {path.name!r}, as stored.")
