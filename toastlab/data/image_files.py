"""Folders of image files: one folder per class, or Tiny-ImageNet's layout."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from toastlab.core.errors import DataError
from toastlab.data.decode import decode, is_grey, not_an_image, open_image
from toastlab.data.raw import Raw, RawSplit
from toastlab.disk.files import regular, showable

Channels = Literal["keep", "grey", "rgb"]
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
IGNORED = ("thumbs.db", "desktop.ini")  # as systems leave them behind; hidden files are too
RESIZED_LIMIT = 8 * 2**30  # bytes of all images of a split after a resize


def resized(images: Tensor, size: int, channels: Channels) -> Tensor:
    """Resizes and converts colours where asked; uint8 [N, C, H, W] in and out.

    Raises:
        DataError: resized, they would fill the memory.
    """
    if size and tuple(images.shape[-2:]) != (size, size):
        need = images.shape[0] * images.shape[1] * size**2
        if need > RESIZED_LIMIT:
            raise DataError(
                f"{len(images)} images of {size} x {size} pixels need {need / 2**30:.0f} GiB of "
                "memory; choose a smaller size (--data.size)."
            )
        images = _torchvision().resize(images, [size, size], antialias=True)
    if channels == "grey" and images.shape[1] == 3:
        images = _torchvision().rgb_to_grayscale(images)
    if channels == "rgb" and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()
    return images


def _torchvision() -> Any:
    """Its functions on images, imported where an image is to be changed: it takes seconds."""
    from torchvision.transforms.v2 import functional

    return functional


class Files(Dataset[tuple[Tensor, int]]):
    """Decodes one file per index: an image [C, size, size] uint8, and the index."""

    def __init__(self, paths: tuple[Path, ...], size: int, grey: bool) -> None:
        self.paths, self.size, self.grey = paths, size, grey

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return resized(decode(self.paths[index], self.grey)[None], self.size, "keep")[0], index

    def some(self, index: Sequence[int], threads: int = 1) -> Tensor:
        """Images [b, C, size, size], decoded by threads."""
        # Warnings are switched for the whole process, so here and not in each thread.
        with warnings.catch_warnings(), ThreadPoolExecutor(max(1, threads)) as pool:
            warnings.simplefilter("ignore")
            return torch.stack([image for image, _ in pool.map(self.__getitem__, index)])


def _class_names(root: Path) -> list[str]:
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    for name in names:
        if showable(name) != name:
            raise DataError(
                f"the class folder {showable(root / name)} has a name that cannot be shown "
                "(control characters, or no UTF-8); rename it."
            )
    return names


# torchvision's ImageFolder follows links, in circles too, and leaves out what is no image.
def _labelled_files(folders: list[Path]) -> list[tuple[Path, int]]:
    """All image files below the classes' folders, each with its class; anything else there is an
    error. Links to folders are not followed."""
    files = []
    for label, top in enumerate(folders):
        for folder, below, names in os.walk(top, followlinks=False):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder) / name
                if name.startswith(".") or name.lower() in IGNORED:
                    continue
                if path.suffix.lower() not in IMAGE_ENDINGS:
                    raise not_an_image(path, f"its ending is {path.suffix!r}")
                files.append((path, label))
    return files


def _split(root: Path, files: list[tuple[Path, int]]) -> RawSplit:
    """A split of files with labels below the data set's folder `root`; reads every header, so that
    a bad file is an error before training starts."""
    sizes, grey = [], True
    for path, _ in files:
        with open_image(path) as image:
            sizes.append(image.size)
            grey = grey and is_grey(image)
    return RawSplit(
        np.array([label for _, label in files], dtype=np.int64),
        paths=[path for path, _ in files],
        sizes=sizes,
        grey=grey,
        ids=np.array([path.relative_to(root).as_posix() for path, _ in files], dtype=object),
    )


def read_folder(path: Path) -> Raw:
    """One folder per class, in train/, val/ and test/ or without them."""
    roots = {part: path / part for part in ("train", "val", "test") if (path / part).is_dir()}
    if "train" not in roots:
        roots = {"train": path}
    classes, splits = _class_names(roots["train"]), {}
    if len(classes) < 2:
        raise DataError(f"{roots['train']} needs a folder per class, two at least.")
    for part, root in roots.items():
        if odd := sorted(set(_class_names(root)) ^ set(classes)):
            raise DataError(f"the {part} split has other classes than train: {', '.join(odd[:5])}.")
    for part, root in roots.items():
        files = _labelled_files([root / name for name in classes])
        if not files:
            raise DataError(f"there are no images in {root}; put them in one folder per class.")
        splits[part] = _split(path, files)
    return Raw(splits, tuple(classes), f"Images of the folder {path.name!r}.")


def read_tiny_imagenet(path: Path) -> Raw:
    """Tiny-ImageNet's own layout. Its test split has no labels, so its validation is our test."""
    try:
        ids, lines, notes = (
            regular(path / name).read_text(encoding="utf-8").splitlines()
            for name in ("wnids.txt", "words.txt", "val/val_annotations.txt")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} does not have Tiny-ImageNet's layout: {showable(error)}."
        ) from error
    ids = [*dict.fromkeys(wnid.strip() for wnid in ids if wnid.strip())]
    pairs = [[*line.split("\t"), ""][:2] for line in notes]
    for name in [*ids, *(file for file, _ in pairs)]:
        if Path(name).name != name or name in ("", "..") or showable(name) != name:
            raise DataError(f"{path}: its lists hold {name!r}, which is no name of a file.")
    words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    label = {wnid: i for i, wnid in enumerate(ids)}
    files = _labelled_files([path / "train" / wnid / "images" for wnid in ids])
    if not files or not {wnid for _, wnid in pairs} <= label.keys():
        raise DataError(f"{path}: the annotations name classes that wnids.txt does not have.")
    val = [(path / "val" / "images" / name, label[wnid]) for name, wnid in pairs]
    splits = {"train": _split(path, files), "test": _split(path, val)}
    classes = tuple(showable(words.get(wnid, wnid).split(",")[0]) for wnid in ids)
    return Raw(splits, classes, "Tiny-ImageNet; its validation images are the test split.")
