"""Data sets as tensors on the device: images uint8 [N, C, H, W], labels int64 [N], three splits.

Where pixels come from is in `sources.py`, and which are held out in `holdout.py`; here they are
checked and fingerprinted.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from toastlab.core.errors import DataError, in_range, one_of
from toastlab.core.settings import InnerShare, Range, Seed, Settings, ShareBelowOne
from toastlab.data import sources
from toastlab.data.fingerprint import fingerprint
from toastlab.data.holdout import hold_out, per_class, three_splits
from toastlab.data.image_files import Channels, Files, resized
from toastlab.data.noise import Noise, averaged, flip_labels, flip_where_unsure
from toastlab.data.plausible import check_classes, warn_of_flat
from toastlab.data.raw import RawSplit, as_labels, as_tensor
from toastlab.data.splits import DiskSplit, Split

RESIDENT_LIMIT = 2 * 2**30  # bytes of pixels above which a folder should be streamed
LOOKED_AT = 64  # images of a split on disk that are looked at when it is loaded


@dataclass(frozen=True)
class DataConfig(Settings):
    """Which data set, and what is done to it.

    Example:
        >>> DataConfig(name="digits", noise_rate=1.5)
        Traceback (most recent call last):
        toastlab.core.errors.BadValue: noise rate is 1.5, but must lie in [0, 1).
    """

    name: str = "fashion-mini"  # Name of a data set, as `toastlab data list` shows it.
    path: str = ""  # Its folder; empty: the usual one. Needed for idx, folder, tiny-imagenet.
    # Training images per class, stratified; 0: all of them.
    per_class: Annotated[int, Range(0, 2**31)] = 0
    # Flips go to any other class (symmetric), to the next (pairwise), or lie where a small network
    # is unsure and go to what it takes the image for (feature-dependent).
    noise: Noise = "symmetric"
    # Share of the training labels that are flipped, in [0, 1); 0: clean.
    noise_rate: ShareBelowOne = 0.0
    noise_seed: Seed = 0  # Seed of the flips, 0 to 2^31.
    val_share: InnerShare = 0.1  # Share held out for validation, in (0, 1), if the source has none.
    split_seed: Seed = 0  # Seed of what is held out and of the images per class, 0 to 2^31.
    # Resize to size x size pixels, up to 4096; 0: as stored.
    size: Annotated[int, Range(0, 4096)] = 0
    channels: Channels = "keep"  # Colours: keep, grey or rgb.
    stream: bool = False  # Leave images on disk and decode them as needed (folder, tiny-imagenet).
    # Processes that decode while streaming, 0 to 256; 0: this one.
    workers: Annotated[int, Range(0, 256)] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("data set", self.name, sources.SOURCES)


def _placed(split: Split | DiskSplit, device: torch.device | str) -> Split | DiskSplit:
    names = ["labels", "clean_labels", *(["images"] if isinstance(split, Split) else [])]
    return replace(split, **{name: getattr(split, name).to(device) for name in names})


def images_of(split: Split | DiskSplit, index: np.ndarray) -> np.ndarray:
    """Some images [n, C, H, W] on the CPU, from memory or from disk; index: [n] int64."""
    return torch.cat([x for x, _ in split.batches(256, torch.tensor(index))]).cpu().numpy()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, validation and test split, and what one needs to know of them.

    Example:
        >>> data = load(DataConfig(name="digits"))
        >>> data.num_classes, data.channels, data.image_size, len(data.train)
        (10, 1, 8, 1078)

    Attributes:
        name: of the source.
        classes: K class names.
        fingerprint: SHA-256 over the contents, on disk too, see `toastlab.data.fingerprint`.
        note: where it is from and what was done to it, a sentence or two.
    """

    name: str
    classes: tuple[str, ...]
    train: Split | DiskSplit
    val: Split | DiskSplit
    test: Split | DiskSplit
    fingerprint: str
    note: str

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data set with its tensors on that device; itself where they are on it already.

        Images on disk stay there; they come to the device of their labels as they are decoded.
        """
        if self.train.labels.device == torch.device(device):
            return self
        train, val, test = (_placed(split, device) for split in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)

    @property
    def channels(self) -> int:
        """C, 1 or 3."""
        if isinstance(self.train, Split):
            return int(self.train.images.shape[1])
        return 1 if self.train.grey else 3

    @property
    def image_size(self) -> int:
        """H in pixels."""
        return int(self.train.images.shape[2]) if isinstance(self.train, Split) else self.train.size


def load(config: DataConfig, device: torch.device | str = "cpu") -> Dataset:
    """Reads a data set and puts it on the device.

    Example:
        >>> data = load(DataConfig(name="digits", noise_rate=0.2))
        >>> flipped = data.train.labels != data.train.clean_labels
        >>> f"{float(flipped.float().mean()):.2f}"
        '0.20'

    Raises:
        DataError: files missing, truncated or altered; a class without a training image; images of
            several sizes and no `size`; too much for memory and not `stream`.
    """
    if config.stream and not sources.SOURCES[config.name].files:
        raise DataError(
            f"{config.name!r} cannot be streamed, only folders of images can; set stream=False."
        )
    raw = sources.read(config.name, config.path)
    raw = three_splits(raw, config.val_share, config.split_seed)
    if config.per_class:
        train = raw.splits["train"]
        rows = per_class(train.labels, config.per_class, len(raw.classes), config.split_seed)
        raw.splits["train"] = train.take(rows)
    note, splits, first = [raw.note], {}, raw.splits["train"]
    grey = config.channels == "grey" or (config.channels == "keep" and raw.grey)
    for name, part in raw.splits.items():
        labels = torch.from_numpy(part.labels.astype(np.int64))
        splits[name] = _split(part, labels.to(device), labels.to(device), config, grey)
        if name == "train" and config.noise_rate:
            noisy = _flipped(splits[name], labels, len(raw.classes), config)
            splits[name] = replace(splits[name], labels=noisy.to(device))
    if config.size:
        note.append(f"Resized to {config.size} x {config.size} pixels.")
    if first.paths is not None or config.channels != "keep":
        note.append(f"Images are {'grey' if grey else 'RGB'}.")
    if config.noise_rate:
        flipped = int((splits["train"].labels != splits["train"].clean_labels).sum())
        note.append(f"{flipped} of {len(first)} training labels flipped ({config.noise}).")
    return _finish(config.name, raw.classes, splits, " ".join(note))


def from_tensors(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    classes: tuple[str, ...] | None = None,
    *,
    val_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    name: str = "own",
) -> Dataset:
    """A data set from a user's own arrays, split at random, stratified.

    The `ids` of each split are its row numbers in these arrays: `images[data.train.ids]` are the
    images of `data.train`.

    Example:
        >>> images, labels = torch.rand(40, 8, 8), torch.arange(40) % 2
        >>> data = from_tensors(images, labels, ("even", "odd"))
        >>> [len(split) for split in (data.train, data.val, data.test)]
        [28, 6, 6]

    Args:
        images: [N, C, H, W] or [N, H, W], uint8 0..255 or floats 0..1.
        labels: [N] whole numbers in 0..K-1.
        classes: K names; None numbers them.

    Raises:
        DataError: labels out of range, pixels not finite or not in 0..1, channels last, a class
            without a training image.
    """
    pixels, truth = as_tensor("images", images), as_labels(labels)
    in_range("seed", seed, 0, 2**32 - 1)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    check_classes(truth, None if classes is None else len(classes))
    if classes is None:
        classes = tuple(str(c) for c in range(int(truth.max()) + 1))
    whole = Split(pixels, truth, truth)
    in_range("val share plus test share", val_share + test_share, 0, 1, open_high=True)
    rest, test = hold_out(truth.cpu().numpy(), test_share, seed)
    train, val = hold_out(truth.cpu().numpy()[rest], val_share / (1 - test_share), seed)
    parts = {"train": rest[train], "val": rest[val], "test": test}
    splits: dict[str, Split | DiskSplit] = {}
    for part, rows in parts.items():
        index = torch.from_numpy(rows).to(truth.device)
        splits[part] = Split(whole.images[index], truth[index], truth[index], ids=rows)
    return _finish(name, classes, splits, f"{len(truth)} images of your own, split {seed}.")


def _flipped(
    split: Split | DiskSplit, labels: Tensor, num_classes: int, config: DataConfig
) -> Tensor:
    """The labels [N] to be trained on."""
    how = (num_classes, config.noise_rate, config.noise_seed)
    if config.noise == "feature-dependent":
        images = torch.cat([averaged(x) for x, _ in split.batches(256)])
        return flip_where_unsure(images, labels, *how)
    return flip_labels(labels, num_classes, config.noise, *how[1:])


def _split(
    part: RawSplit, labels: Tensor, clean: Tensor, config: DataConfig, grey: bool
) -> Split | DiskSplit:
    if part.pixels is not None:
        images = resized(torch.from_numpy(part.pixels), config.size, config.channels)
        return Split(images.to(labels.device), labels, clean, ids=part.ids)
    paths, size = tuple(part.paths or ()), config.size or part.common_size()
    if config.stream:
        return DiskSplit(paths, labels, clean, size, grey, config.workers, ids=part.ids)
    need = len(part) * size * size * (1 if grey else 3)
    if need > RESIDENT_LIMIT:
        raise DataError(
            f"{len(part)} images of {size} x {size} need {need / 2**30:.1f} GiB; leave them on "
            "disk with stream=True (--data.stream), or choose a smaller size."
        )
    images = Files(paths, size, grey).some(range(len(paths)))
    return Split(images.to(labels.device), labels, clean, ids=part.ids)


def _finish(
    name: str, classes: tuple[str, ...], splits: dict[str, Split | DiskSplit], note: str
) -> Dataset:
    """Checks that labels and classes agree and images show something; takes the fingerprint."""
    for part, split in splits.items():
        low, high = (int(v) for v in split.labels.aminmax()) if len(split) else (0, 0)
        if low < 0 or high >= len(classes):
            raise DataError(
                f"labels of the {part} split run from {low} to {high}, but there are "
                f"{len(classes)} classes; labels must lie in 0..{len(classes) - 1}."
            )
        if not len(split):
            raise DataError(f"the {part} split of {name!r} is empty.")
    counts = torch.bincount(splits["train"].labels, minlength=len(classes)).tolist()
    if missing := [classes[c] for c, n in enumerate(counts) if not n]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"no training image of class {missing[0]!r}{more}: add images of it, or leave the "
            "class out everywhere."
        )
    train = splits["train"]
    if isinstance(train, Split):
        flat = warn_of_flat(train.images, train.labels, classes)
    else:  # a few of them, since each must be decoded
        rows = torch.linspace(0, len(train) - 1, min(LOOKED_AT, len(train))).long()
        flat = warn_of_flat(train.images_at(rows))
    note = f"{note} {flat}".strip()
    return Dataset(name, classes, **splits, fingerprint=fingerprint(splits), note=note)
