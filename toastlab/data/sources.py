"""Where the pixels come from: one reader per source, all giving `Raw` arrays or file names.

Nothing that is read here can run code: IDX and images are parsed strictly, and torchvision reads
its pickled CIFAR files only after their checksums hold. torchvision and scikit-learn are imported
where they are used, since that takes seconds.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from toastlab.core.errors import DataError, one_of
from toastlab.data import download, idx, image_files
from toastlab.data.decode import decode
from toastlab.data.raw import Raw, RawSplit
from toastlab.disk.files import embedded, regular, sha256, showable

# Of the embedded data set; each has its checksum.
PARTS, STEMS = ("train", "val", "test"), ("images-idx3", "labels-idx1")
MINI_FILES = tuple(f"{part}-{stem}-ubyte.gz" for part in PARTS for stem in STEMS)


@dataclass(frozen=True)
class Source:
    """One source.

    Attributes:
        read: reads it from a folder.
        folder: gives its usual folder; None: the user has to name one.
        kind: its class in `torchvision.datasets`, if it can be downloaded.
        files: it consists of image files.
    """

    description: str
    read: Callable[[Path], Raw]
    folder: Callable[[], Path] | None = None
    kind: str = ""
    files: bool = False


def read(name: str, path: str = "") -> Raw:
    """Reads a source by name from `path`, or from its usual folder.

    Raises:
        DataError: it is not there, is damaged, or `path` is needed and not given.
        ValueError: no source has that name.
    """
    source = SOURCES[one_of("data set", name, SOURCES)]
    if path and not os.path.isdir(path):
        raise DataError(f"there is no folder {path!r}.")
    if path:
        folder = Path(path)
    elif source.folder:
        folder = source.folder()
    else:
        raise DataError(f"data set {name!r} needs a folder: set path=... (--data.path ...).")
    verify(name, folder)
    return source.read(folder)


def verify(name: str, folder: Path) -> None:
    """Compares the checksums of a source that has some, and decodes nothing.

    Raises:
        DataError: a file is missing or altered.
    """
    if name == "fashion-mini":
        _verify_mini(folder)
    if (kind := SOURCES[name].kind) and (wrong := download.unsound(_torchvision(kind), folder)):
        raise DataError(
            f"{name!r} is not complete in {showable(folder)} ({wrong[0]} is missing or does not "
            f"match its checksum); get it with `toastlab data fetch {name}`."
        )


def downloads() -> Path:
    """Where fetched data sets lie: TOASTLAB_DATA, a checkout's data/downloads, or a user cache."""
    if chosen := os.environ.get("TOASTLAB_DATA"):
        return Path(chosen)
    # Beside an installed package, data/ may belong to any other one.
    root = Path(__file__).parents[2]
    with suppress(OSError, ValueError):
        project = (root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        if 'name = "toastlab"' in project:
            return root / "data" / "downloads"
    return Path.home() / ".cache" / "toastlab"


def fetch(name: str, root: Path | None = None) -> Path:
    """Downloads a data set through torchvision, which checks what it got and shows progress.

    Raises:
        DataError: it cannot be downloaded, there is no connection, or the folder cannot be written.
    """
    source = SOURCES[one_of("data set", name, SOURCES)]
    if not source.kind:
        why = "is part of toastlab" if source.folder else "must be on your disk already"
        raise DataError(f"{name!r} cannot be fetched: it {why}.")
    root = root or downloads()
    try:
        root.mkdir(parents=True, exist_ok=True)
        download.fetch(_torchvision(source.kind), root)
    except download.ERRORS as error:
        raise DataError(
            f"could not fetch {name!r} into {root}: {showable(error)}. Check connection and disk "
            "and try again; a machine without network can copy that folder from another one."
        ) from error
    return root


def check(name: str, path: str = "") -> list[str]:
    """Reads a source whole and says what is in it; errors as of `read`."""
    raw = read(name, path)
    facts = [raw.note, f"{len(raw.classes)} classes: {', '.join(raw.classes[:10])}"]
    for part, split in raw.splits.items():
        for file in split.paths or ():
            decode(file, grey=False)
        what = "files, each decoded"
        if split.pixels is not None:
            what = "x ".join(str(n) for n in split.pixels.shape[1:]) + " pixels"
        facts.append(f"{part}: {len(split)} images, {what}")
    return facts


def available() -> list[tuple[str, str, str]]:
    """Name, description and state of every source: "ready" where its checksums hold, or how to get
    it. Nothing is decoded; `check` does that."""
    return [(name, source.description, _state(name, source)) for name, source in SOURCES.items()]


def _state(name: str, source: Source) -> str:
    if source.folder is None:
        return "give --data.path FOLDER"
    folder = source.folder()
    try:
        if source.kind and not folder.exists():  # known without importing torchvision
            raise DataError("nothing was fetched yet")
        verify(name, folder)
    except DataError:
        return f"toastlab data fetch {name}"
    return "ready"


def mini_folder() -> Path:
    """The embedded data set."""
    return embedded("fashion-mini")


def _verify_mini(folder: Path) -> None:
    try:
        listed = regular(folder / "sha256.json").read_text(encoding="utf-8")
        sums = {name: str(json.loads(listed)[name]) for name in MINI_FILES}
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            f"the embedded data set's list of checksums cannot be read ({showable(error)}); "
            "restore data/fashion-mini from the repository (git checkout -- data)."
        ) from error
    for file, expected in ((folder / name, sums[name]) for name in MINI_FILES):
        if not file.is_file() or sha256(file) != expected:
            state = "was altered or truncated" if file.is_file() else "is missing"
            raise DataError(
                f"{file} {state} (SHA-256 does not match); restore it from the repository "
                "(git checkout -- data) or make it again with data/make_fashion_mini.py."
            )


def _read_mini(folder: Path) -> Raw:
    splits = {part: idx.read_split(folder, part) for part in PARTS}
    note = "A stratified subset of Fashion-MNIST (Zalando SE, MIT)."
    return Raw(splits, idx.FASHION_CLASSES, note)


def _read_digits(folder: Path) -> Raw:
    """From scikit-learn, wherever that lies."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)
    rows = np.arange(len(labels))
    train, rest = train_test_split(rows, test_size=0.4, random_state=0, stratify=labels)
    val, test = train_test_split(rest, test_size=0.5, random_state=0, stratify=labels[rest])
    whole = RawSplit(labels.astype(np.int64), pixels)
    splits = {"train": whole.take(train), "val": whole.take(val), "test": whole.take(test)}
    note = "scikit-learn's digits (UCI), 8 x 8 pixels, 0..16 scaled to 0..255, split 60/20/20."
    return Raw(splits, tuple(str(c) for c in range(10)), note)


def _torchvision(kind: str) -> Any:
    import torchvision.datasets

    return getattr(torchvision.datasets, kind)


def _read_cifar(kind: str, root: Path) -> Raw:
    splits = {}
    for part in ("train", "test"):
        try:  # torchvision looks at the checksums again before it unpickles
            data = _torchvision(kind)(root, train=part == "train")
        except (RuntimeError, OSError, EOFError, ValueError) as error:
            raise DataError(f"{kind} cannot be read in {root}: {showable(error)}.") from error
        pixels = np.ascontiguousarray(np.asarray(data.data).transpose(0, 3, 1, 2))
        splits[part] = RawSplit(np.asarray(data.targets, dtype=np.int64), pixels)
    return Raw(splits, tuple(data.classes), f"{kind} through torchvision.")


def _read_fashion_mnist(root: Path) -> Raw:
    """From the archives, since only of those the checksums are known."""
    folder = download.folder_of(_torchvision("FashionMNIST"), root)
    stems = {"train": "train", "test": "t10k"}
    splits = {part: idx.read_split(folder, stem, packed=True) for part, stem in stems.items()}
    return Raw(splits, idx.FASHION_CLASSES, "FashionMNIST through torchvision.")


SOURCES: dict[str, Source] = {
    "fashion-mini": Source(
        "10,000 images of Fashion-MNIST, 28 x 28 grey, embedded",
        _read_mini,
        lambda: mini_folder(),
    ),
    "digits": Source("1,797 handwritten digits, 8 x 8 grey, from scikit-learn", _read_digits, Path),
    "fashion-mnist": Source(
        "70,000 images of clothing, 28 x 28 grey, 10 classes",
        _read_fashion_mnist,
        downloads,
        "FashionMNIST",
    ),
    "cifar10": Source(
        "60,000 photographs, 32 x 32 RGB, 10 classes",
        partial(_read_cifar, "CIFAR10"),
        downloads,
        "CIFAR10",
    ),
    "cifar100": Source(
        "60,000 photographs, 32 x 32 RGB, 100 classes",
        partial(_read_cifar, "CIFAR100"),
        downloads,
        "CIFAR100",
    ),
    "idx": Source("your IDX files, as MNIST and its kin have them", idx.read_folder),
    "tiny-imagenet": Source(
        "Tiny-ImageNet's folder, 64 x 64 RGB, 200 classes",
        image_files.read_tiny_imagenet,
        files=True,
    ),
    "folder": Source("your images, one folder per class", image_files.read_folder, files=True),
}
