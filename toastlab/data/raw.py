"""What a source gives before anything is held out or resized: arrays in memory, or image files."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toastlab.core.errors import DataError
from toastlab.data.ids import as_ids


def as_tensor(name: str, values: Tensor | np.ndarray) -> Tensor:
    """A user's numbers as a tensor; a copy of arrays in an order that PyTorch cannot read.

    Raises:
        DataError: they are no numbers.
    """
    if isinstance(values, np.ndarray):
        values = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="), copy=False)
    try:
        tensor = torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} cannot be read as numbers: {error}.") from error
    if tensor.is_meta:
        raise DataError(f"{name} lie on the device 'meta', where tensors hold nothing.")
    return tensor


def as_labels(values: Tensor | np.ndarray) -> Tensor:
    """A user's labels as [N] int64, N at least 1.

    Raises:
        DataError: they are something else.
    """
    labels = as_tensor("labels", values)
    if labels.is_complex() or not bool((labels == labels.long()).all()):
        raise DataError("labels are not whole numbers; give each image the number of its class.")
    if labels.ndim != 1 or not len(labels):
        raise DataError(f"labels have the shape {tuple(labels.shape)}; give [N], N at least 1.")
    return labels.long()


@dataclass(frozen=True, eq=False)
class RawSplit:
    """One split as the source has it: pixels in memory, or files.

    Attributes:
        labels: [N] int64.
        pixels: [N, C, H, W] uint8, or None.
        paths: N image files, or None.
        sizes: (width, height) of each file.
        grey: every file is grey.
        ids: [N] int64 or str, see `toastlab.data.ids`; None numbers the rows from 0 on.
    """

    labels: np.ndarray
    pixels: np.ndarray | None = None
    paths: list[Path] | None = None
    sizes: list[tuple[int, int]] | None = None
    grey: bool = False
    ids: np.ndarray = field(default=None, kw_only=True)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", as_ids(self.ids, len(self)))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "RawSplit":
        """Some of its rows, in that order."""
        pixels = None if self.pixels is None else self.pixels[rows]
        paths = None if self.paths is None else [self.paths[i] for i in rows]
        sizes = None if self.sizes is None else [self.sizes[i] for i in rows]
        return RawSplit(self.labels[rows], pixels, paths, sizes, self.grey, ids=self.ids[rows])

    def common_size(self) -> int:
        """Pixels of the square that all files share.

        Raises:
            DataError: they do not share one.
        """
        sizes = sorted(set(self.sizes or []))
        if len(sizes) != 1 or sizes[0][0] != sizes[0][1]:
            shown = ", ".join(f"{w} x {h}" for w, h in sizes[:3])
            raise DataError(
                f"the images have {len(sizes)} sizes ({shown}{', ...' if len(sizes) > 3 else ''}); "
                "choose one square size with size=64 (--data.size 64), say."
            )
        return sizes[0][0]


@dataclass(frozen=True, eq=False)
class Raw:
    """A source as read: some of the splits train, val, test; class names; a sentence about it."""

    splits: dict[str, RawSplit]
    classes: tuple[str, ...]
    note: str

    @property
    def grey(self) -> bool:
        """Whether all images have one channel."""
        splits = self.splits.values()
        return all(s.grey if s.pixels is None else s.pixels.shape[1] == 1 for s in splits)
