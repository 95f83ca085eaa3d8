"""Where the pixels come from: one reader per source, all giving `Raw` arrays or file names.

Nothing that is read here can run code: IDX and images are parsed strictly, and torchvision reads
its pickled CIFAR files only after their checksums hold.
"""

import gzip
import hashlib
import json
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.datasets as tv
from PIL import Image, UnidentifiedImageError
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.datasets.utils import check_integrity
from torchvision.transforms.v2 import functional as F

from toastlab.errors import DataError, one_of

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
IGNORED = ("thumbs.db", "desktop.ini")  # files that systems leave behind; hidden ones go too
MAX_PIXELS = 64 * 2**20  # of one image file; more is a decompression bomb


@dataclass(frozen=True, eq=False)
class RawSplit:
    """One split as the source has it: pixels in memory, or files.

    Attributes:
        labels: [N] int64.
        pixels: [N, C, H, W] uint8, or None.
        paths: N image files, or None.
        sizes: (width, height) of each file.
        grey: every file is grey.
    """

    labels: np.ndarray
    pixels: np.ndarray | None = None
    paths: list[Path] | None = None
    sizes: list[tuple[int, int]] | None = None
    grey: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "RawSplit":
        """Some of its rows, in that order."""
        return RawSplit(
            self.labels[rows],
            None if self.pixels is None else self.pixels[rows],
            None if self.paths is None else [self.paths[i] for i in rows],
            None if self.sizes is None else [self.sizes[i] for i in rows],
            self.grey,
        )

    def common_size(self) -> int:
        """Pixels of the square that all files share.

        Raises:
            DataError: they do not share one.
        """
        sizes = set(self.sizes or [])
        if len(sizes) != 1 or len(set(next(iter(sizes)))) != 1:
            shown = ", ".join(f"{w} x {h}" for w, h in sorted(sizes)[:3])
            raise DataError(
                f"the images have {len(sizes)} sizes ({shown}{', ...' if len(sizes) > 3 else ''}); "
                "choose one square size with size=64 (--data.size 64), say."
            )
        return next(iter(sizes))[0]


@dataclass(frozen=True, eq=False)
class Raw:
    """A source as read: some of the splits train, val, test; class names; a sentence about it."""

    splits: dict[str, RawSplit]
    classes: tuple[str, ...]
    note: str


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
    if path and not Path(path).is_dir():
        raise DataError(f"there is no folder {path!r}.")
    return source.read(Path(path) if path else None)


def downloads() -> Path:
    """Where fetched data sets lie: TOASTLAB_DATA, a checkout's data/downloads, or a user cache."""
    if chosen := os.environ.get("TOASTLAB_DATA"):
        return Path(chosen)
    checkout = Path(__file__).parents[1] / "data"
    if checkout.is_dir():
        return checkout / "downloads"
    return Path.home() / ".cache" / "toastlab"


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
        source.fetch(place)
    except (OSError, RuntimeError, EOFError) as error:
        raise DataError(
            f"could not fetch {name!r} into {place}: {error}. Check connection and disk and try "
            "again; a machine without network can copy that folder from another one."
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


# --- IDX ------------------------------------------------------------------------------------------


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Reads a uint8 IDX file, plain or .gz, of `ndim` dimensions.

    Raises:
        DataError: missing, not IDX, truncated, too long, or not gzip though it is called so.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 + 4 * ndim)
            if len(head) < 4 + 4 * ndim or head[:4] != bytes([0, 0, 8, ndim]):
                raise DataError(f"{path} is not an IDX file of bytes in {ndim} dimensions.")
            shape = struct.unpack(f">{ndim}I", head[4:])
            size = 1
            for length in shape:
                size *= length
            if size > 2**32:
                raise DataError(f"{path} claims {size} bytes of pixels; that is no real data set.")
            body = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}. Get the file again.") from error
    if len(body) != size:
        short = "truncated" if len(body) < size else "longer than its header says"
        raise DataError(f"{path} is {short}. Get the file again.")
    return np.frombuffer(bytearray(body), dtype=np.uint8).reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes a uint8 array as IDX .gz whose bytes depend on its contents only."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(head + np.ascontiguousarray(array, dtype=np.uint8).tobytes())


def _idx_split(folder: Path, prefix: str) -> RawSplit:
    def find(stem: str) -> Path:
        plain = folder / stem
        return plain if plain.exists() else folder / f"{stem}.gz"

    images = read_idx(find(f"{prefix}-images-idx3-ubyte"), 3)
    labels = read_idx(find(f"{prefix}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels):
        raise DataError(f"{folder} has {len(images)} {prefix} images but {len(labels)} labels.")
    return RawSplit(labels.astype(np.int64), images[:, None])


def _idx(path: Path | None) -> Raw:
    assert path is not None
    splits = {"train": _idx_split(path, "train"), "test": _idx_split(path, "t10k")}
    count = 1 + max(int(s.labels.max(initial=0)) for s in splits.values())
    fashion = "fashion" in path.resolve().name.lower() and count == len(FASHION_CLASSES)
    classes = FASHION_CLASSES if fashion else tuple(str(c) for c in range(count))
    return Raw(splits, classes, f"IDX files in {path.name!r}, as stored.")


def mini_folder() -> Path:
    """The embedded data: beside the code if installed, in data/ of a checkout."""
    installed = Path(__file__).parent / "_data" / "fashion-mini"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "data" / "fashion-mini"


def _fashion_mini(path: Path | None) -> Raw:
    folder = path or mini_folder()
    try:
        sums: dict[str, str] = json.loads((folder / "sha256.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"the embedded data set's list of checksums cannot be read ({error}); restore "
            "data/fashion-mini from the repository (git checkout -- data)."
        ) from error
    for name, expected in sums.items():
        file = folder / name
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"
        if found != expected:
            state = "is missing" if found == "missing" else "was altered or truncated"
            raise DataError(
                f"{file} {state} (SHA-256 does not match); restore it from the repository "
                "(git checkout -- data) or make it again with data/make_fashion_mini.py."
            )
    splits = {part: _idx_split(folder, part) for part in ("train", "val", "test")}
    return Raw(splits, FASHION_CLASSES, "A stratified subset of Fashion-MNIST (Zalando SE, MIT).")


# --- libraries ------------------------------------------------------------------------------------


def _digits(path: Path | None) -> Raw:
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


def _torchvision(name: str, kind: type) -> Callable[[Path | None], Raw]:
    def reader(path: Path | None) -> Raw:
        root = path or downloads()
        try:
            _check_fashion(kind, root)
            sets = {part: kind(root, train=part == "train") for part in ("train", "test")}
        except (RuntimeError, OSError, EOFError, ValueError) as error:
            raise DataError(
                f"{name!r} is not complete in {root} ({str(error).splitlines()[0]}); get it with "
                f"`toastlab data fetch {name}`."
            ) from error
        splits = {}
        for part, found in sets.items():
            pixels = np.asarray(found.data)
            pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
            labels = np.asarray(found.targets, dtype=np.int64)
            splits[part] = RawSplit(labels, np.ascontiguousarray(pixels))
        return Raw(splits, tuple(sets["train"].classes), f"{kind.__name__} through torchvision.")

    return reader


def _check_fashion(kind: Any, root: Path) -> None:
    """torchvision checks CIFAR's files when it opens them, but not Fashion-MNIST's."""
    if kind is not tv.FashionMNIST:
        return
    for archive, md5 in tv.FashionMNIST.resources:
        file = root / "FashionMNIST" / "raw" / archive
        if not check_integrity(str(file), md5):
            raise RuntimeError(f"{archive} is missing or does not match its checksum")


def _fetcher(kind: type) -> Callable[[Path], object]:
    return lambda root: [kind(root, train=part, download=True) for part in (True, False)]


# --- folders of images ----------------------------------------------------------------------------


def decode(path: Path, grey: bool) -> Tensor:
    """One image file as uint8 [C, H, W], C = 1 if `grey` else 3.

    Raises:
        DataError: it is not an image, is truncated, or is a decompression bomb.
    """
    image = _open_image(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF blocks are no reason to speak up
            converted = image.convert("L" if grey else "RGB")
    except (OSError, ValueError, SyntaxError, struct.error, MemoryError) as error:
        raise _not_an_image(path, str(error)) from error
    finally:
        image.close()
    return torch.as_tensor(F.pil_to_tensor(converted))


def _open_image(path: Path) -> Image.Image:
    """Opens a file and reads its header only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise _not_an_image(path, str(error)) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise _not_an_image(path, f"{image.width} x {image.height} pixels is too large")
    return image


def _not_an_image(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is not a readable image ({why}); repair it, or move it out of the data set."
    )


def _class_folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _image_files(folder: Path) -> list[Path]:
    """All image files below a class folder; anything else there is an error. Links to folders are
    not followed, so that none can lead in a circle."""
    found: list[Path] = []
    for place, below, names in os.walk(folder, followlinks=False):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or name.lower() in IGNORED:
                continue
            path = Path(place) / name
            if path.suffix.lower() not in IMAGE_ENDINGS:
                raise _not_an_image(path, f"its ending is {path.suffix!r}")
            found.append(path)
    return found


def _files(paths: list[Path], labels: list[int]) -> RawSplit:
    """A split of files; reads every header, so that a bad file is found before training starts."""
    sizes, grey = [], True
    for path in paths:
        with _open_image(path) as image:
            sizes.append(image.size)
            grey = grey and image.mode in ("1", "L", "I", "I;16", "F", "LA")
    return RawSplit(np.asarray(labels, dtype=np.int64), paths=paths, sizes=sizes, grey=grey)


def _tree(root: Path, classes: list[str]) -> RawSplit:
    paths, labels = [], []
    for label, name in enumerate(classes):
        files = _image_files(root / name)
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise DataError(f"there are no images in {root}; put them in one folder per class.")
    return _files(paths, labels)


def _folder(path: Path | None) -> Raw:
    assert path is not None
    parts = [p for p in ("train", "val", "test") if (path / p).is_dir()]
    if "train" not in parts:
        parts = []
    roots = {p: path / p for p in parts} or {"train": path}
    names = {p: [c.name for c in _class_folders(root)] for p, root in roots.items()}
    classes = names["train"]
    if len(classes) < 2:
        raise DataError(f"{roots['train']} needs a folder per class, two at least.")
    for part, found in names.items():
        if found != classes:
            odd = sorted(set(found) ^ set(classes))
            raise DataError(f"the {part} split has other classes than train: {', '.join(odd[:5])}.")
    splits = {part: _tree(root, classes) for part, root in roots.items()}
    return Raw(splits, tuple(classes), f"Images of the folder {path.name!r}.")


def _tiny_imagenet(path: Path | None) -> Raw:
    """Tiny-ImageNet's own layout. Its test split has no labels, so its validation is our test."""
    assert path is not None
    try:
        ids = (path / "wnids.txt").read_text(encoding="utf-8").split()
        lines = (path / "words.txt").read_text(encoding="utf-8").splitlines()
        notes = (path / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} does not have Tiny-ImageNet's layout: {error}.") from error
    words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    label = {wnid: i for i, wnid in enumerate(ids)}
    paths, labels = [], []
    for wnid in ids:
        files = _image_files(path / "train" / wnid / "images")
        paths += files
        labels += [label[wnid]] * len(files)
    pairs = [line.split("\t")[:2] for line in notes]
    unknown = [row for row in pairs if len(row) < 2 or row[1] not in label]
    if unknown or not paths:
        raise DataError(f"{path}: the annotations name classes that wnids.txt does not have.")
    splits = {
        "train": _files(paths, labels),
        "test": _files(
            [path / "val" / "images" / name for name, _ in pairs], [label[w] for _, w in pairs]
        ),
    }
    classes = tuple(words.get(wnid, wnid).split(",")[0] for wnid in ids)
    return Raw(splits, classes, "Tiny-ImageNet; its validation images are the test split.")


SOURCES: dict[str, Source] = {
    "fashion-mini": Source("10,000 images of Fashion-MNIST, 28 x 28 grey, embedded", _fashion_mini),
    "digits": Source("1,797 handwritten digits, 8 x 8 grey, from scikit-learn", _digits),
    "fashion-mnist": Source(
        "70,000 images of clothing, 28 x 28 grey, 10 classes",
        _torchvision("fashion-mnist", tv.FashionMNIST),
        _fetcher(tv.FashionMNIST),
    ),
    "cifar10": Source(
        "60,000 photographs, 32 x 32 RGB, 10 classes",
        _torchvision("cifar10", tv.CIFAR10),
        _fetcher(tv.CIFAR10),
    ),
    "cifar100": Source(
        "60,000 photographs, 32 x 32 RGB, 100 classes",
        _torchvision("cifar100", tv.CIFAR100),
        _fetcher(tv.CIFAR100),
    ),
    "idx": Source("your IDX files, as MNIST and its kin have them", _idx, needs_path=True),
    "tiny-imagenet": Source(
        "Tiny-ImageNet's folder, 64 x 64 RGB, 200 classes",
        _tiny_imagenet,
        files=True,
        needs_path=True,
    ),
    "folder": Source("your images, one folder per class", _folder, files=True, needs_path=True),
}
