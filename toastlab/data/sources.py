"""Where the pixels come from: one reader per source, all giving `Raw` arrays or file names.

Nothing that is read here can run code: IDX and images are parsed strictly, and torchvision reads
its pickled CIFAR files only after their checksums hold.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torchvision.datasets as tv
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from toastlab.core.errors import DataError, one_of
from toastlab.data import download as remote
from toastlab.data import idx, image_files
from toastlab.data.idx import FASHION_CLASSES, read_split
from toastlab.data.image_files import decode, read_tiny_imagenet
from toastlab.data.raw import Raw, RawSplit
from toastlab.disk.files import embedded, regular, sha256, showable

# Of the embedded data set; each has its checksum.
MINI_FILES = tuple(
    f"{part}-{stem}-ubyte.gz"
    for part in ("train", "val", "test")
    for stem in ("images-idx3", "labels-idx1")
)


@dataclass(frozen=True)
class Source:
    """How to read one source. `fetch` downloads it; `files`: it consists of image files."""

    description: str
    read: Callable[[Path | None], Raw]
    fetch: Callable[[Path], object] | None = None
    files: bool = False
    needs_path: bool = False


def read(name: str, path: str = "") -> Raw:
    """Reads a source by name from `path`, or from the usual place.

    Raises:
        DataError: it is not there, is damaged, or `path` is needed and not given.
        ValueError: no source has that name.
    """
    source = SOURCES[one_of("data set", name, SOURCES)]
    if source.needs_path and not path:
        raise DataError(f"data set {name!r} needs a folder: set path=... (--data.path ...).")
    if path and not os.path.isdir(path):
        raise DataError(f"there is no folder {path!r}.")
    return source.read(Path(path) if path else None)


def downloads() -> Path:
    """Where fetched data sets lie: TOASTLAB_DATA, a checkout's data/downloads, or a user cache."""
    if chosen := os.environ.get("TOASTLAB_DATA"):
        return Path(chosen)
    if (checkout := _checkout(Path(__file__).parents[2])) is not None:
        return checkout / "data" / "downloads"
    return Path.home() / ".cache" / "toastlab"


def _checkout(root: Path) -> Path | None:
    """The folder, if it is toastlab's repository. A folder of installed packages is not: what is
    called data/ there may be anybody's."""
    project = root / "pyproject.toml"
    try:
        ours = 'name = "toastlab"' in project.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return root if ours else None


def fetch(name: str, root: Path | None = None) -> Path:
    """Downloads a data set through torchvision, which checks what it got and shows progress.

    Raises:
        DataError: it cannot be downloaded, there is no connection, or the folder cannot be written.
    """
    source = SOURCES[one_of("data set", name, SOURCES)]
    if source.fetch is None:
        ways = "is part of toastlab" if not source.needs_path else "must be on your disk already"
        raise DataError(f"{name!r} cannot be fetched: it {ways}.")
    place = root or downloads()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with remote.impatient():
            source.fetch(place)
    except remote.ERRORS as error:
        raise DataError(
            f"could not fetch {name!r} into {place}: {showable(error)}. Check connection and disk "
            "and try again; a machine without network can copy that folder from another one."
        ) from error
    return place


def check(name: str, path: str = "") -> list[str]:
    """Reads a source whole and says what was found; errors as of `read`."""
    raw = read(name, path)
    facts = [raw.note, f"{len(raw.classes)} classes: {', '.join(raw.classes[:10])}"]
    for part, split in raw.splits.items():
        if split.paths is not None:
            for file in split.paths:
                decode(file, grey=False)
            kind = "files, each decoded"
        else:
            assert split.pixels is not None
            kind = "x ".join(str(n) for n in split.pixels.shape[1:]) + " pixels"
        facts.append(f"{part}: {len(split)} images, {kind}")
    return facts


def available() -> list[tuple[str, str, str]]:
    """Name, description and state ("ready", or how to get it) of every source."""
    rows = []
    for name, source in SOURCES.items():
        state = "give --data.path FOLDER"
        if not source.needs_path:
            try:
                source.read(None)
                state = "ready"
            except DataError:
                state = f"toastlab data fetch {name}"
        rows.append((name, source.description, state))
    return rows


def mini_folder() -> Path:
    """The embedded data set."""
    return embedded("fashion-mini")


def _fashion_mini(path: Path | None) -> Raw:
    folder = path or mini_folder()
    try:
        listed = regular(folder / "sha256.json").read_text(encoding="utf-8")
        sums = {name: str(json.loads(listed)[name]) for name in MINI_FILES}
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            f"the embedded data set's list of checksums cannot be read ({showable(error)}); "
            "restore data/fashion-mini from the repository (git checkout -- data)."
        ) from error
    for name, expected in sums.items():
        file = folder / name
        found = sha256(file) if file.is_file() else "missing"
        if found != expected:
            state = "is missing" if found == "missing" else "was altered or truncated"
            raise DataError(
                f"{file} {state} (SHA-256 does not match); restore it from the repository "
                "(git checkout -- data) or make it again with data/make_fashion_mini.py."
            )
    splits = {part: read_split(folder, part) for part in ("train", "val", "test")}
    return Raw(splits, FASHION_CLASSES, "A stratified subset of Fashion-MNIST (Zalando SE, MIT).")


def _digits(path: Path | None) -> Raw:
    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)
    rows = np.arange(len(labels))
    train, rest = train_test_split(rows, test_size=0.4, random_state=0, stratify=labels)
    val, test = train_test_split(rest, test_size=0.5, random_state=0, stratify=labels[rest])
    whole = RawSplit(labels.astype(np.int64), pixels)
    splits = {"train": whole.take(train), "val": whole.take(val), "test": whole.take(test)}
    note = "scikit-learn's digits (UCI), 8 x 8 pixels, 0..16 scaled to 0..255, split 60/20/20."
    return Raw(splits, tuple(str(c) for c in range(10)), note)


def _incomplete(name: str, root: Path, why: object) -> DataError:
    return DataError(
        f"{name!r} is not complete in {root} ({showable(why)}); get it with "
        f"`toastlab data fetch {name}`."
    )


def _cifar(name: str, kind: Any) -> Callable[[Path | None], Raw]:
    def reader(path: Path | None) -> Raw:
        root = path or downloads()
        # torchvision looks at the checksums again before it unpickles
        if wrong := remote.unsound(root / kind.base_folder, remote.cifar_sums(kind)):
            raise _incomplete(name, root, f"{wrong[0]} is missing or altered")
        try:
            sets = {part: kind(root, train=part == "train") for part in ("train", "test")}
        except (RuntimeError, OSError, EOFError, ValueError) as error:
            raise _incomplete(name, root, error) from error
        splits = {}
        for part, found in sets.items():
            pixels = np.asarray(found.data).transpose(0, 3, 1, 2)
            labels = np.asarray(found.targets, dtype=np.int64)
            splits[part] = RawSplit(labels, np.ascontiguousarray(pixels))
        return Raw(splits, tuple(sets["train"].classes), f"{kind.__name__} through torchvision.")

    return reader


def _fashion_mnist(path: Path | None) -> Raw:
    """Read from the archives, since only of those the checksums are known."""
    root, name = path or downloads(), "fashion-mnist"
    folder = remote.fashion_folder(root)
    if wrong := remote.unsound(folder, tv.FashionMNIST.resources):
        raise _incomplete(name, root, f"{wrong[0]} is missing or does not match its checksum")
    parts = {"train": "train", "test": "t10k"}
    splits = {part: read_split(folder, stem, packed=True) for part, stem in parts.items()}
    return Raw(splits, FASHION_CLASSES, "FashionMNIST through torchvision.")


def _at(reader: Callable[[Path], Raw]) -> Callable[[Path | None], Raw]:
    """A reader for which `read` has made sure that there is a path."""
    return lambda path: reader(path or Path())


SOURCES: dict[str, Source] = {
    "fashion-mini": Source("10,000 images of Fashion-MNIST, 28 x 28 grey, embedded", _fashion_mini),
    "digits": Source("1,797 handwritten digits, 8 x 8 grey, from scikit-learn", _digits),
    "fashion-mnist": Source(
        "70,000 images of clothing, 28 x 28 grey, 10 classes",
        _fashion_mnist,
        remote.fashion(tv.FashionMNIST),
    ),
    "cifar10": Source(
        "60,000 photographs, 32 x 32 RGB, 10 classes",
        _cifar("cifar10", tv.CIFAR10),
        remote.cifar(tv.CIFAR10),
    ),
    "cifar100": Source(
        "60,000 photographs, 32 x 32 RGB, 100 classes",
        _cifar("cifar100", tv.CIFAR100),
        remote.cifar(tv.CIFAR100),
    ),
    "idx": Source(
        "your IDX files, as MNIST and its kin have them", _at(idx.read_folder), needs_path=True
    ),
    "tiny-imagenet": Source(
        "Tiny-ImageNet's folder, 64 x 64 RGB, 200 classes",
        _at(read_tiny_imagenet),
        files=True,
        needs_path=True,
    ),
    "folder": Source(
        "your images, one folder per class",
        _at(image_files.read_folder),
        files=True,
        needs_path=True,
    ),
}
