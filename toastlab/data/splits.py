"""The images and labels of one split: in memory, or left on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from toastlab.core.checks import is_fake
from toastlab.core.errors import DataError, in_range
from toastlab.data.ids import as_ids
from toastlab.data.image_files import Files
from toastlab.data.plausible import check_images


@dataclass(frozen=True, eq=False)
class Split:
    """Images in memory, on one device.

    Example:
        >>> labels = torch.tensor([0, 1, 1])
        >>> split = Split(torch.zeros(3, 1, 8, 8), labels, labels, ids=np.array(["a", "b", "c"]))
        >>> len(split), list(split.images_at(torch.tensor([2])).shape)
        (3, [1, 1, 8, 8])

    Attributes:
        images: [N, C, H, W] uint8 (0..255), or floating point (0..1) and finite.
        labels: [N] int64, the labels trained on, perhaps flipped.
        clean_labels: [N] int64, as the source has them.
        ids: [N] int64 or str, on the host: what leads back to the user's own data, see
            `toastlab.data.ids`. None numbers the rows from 0 on.

    Raises:
        DataError: shapes, dtypes, devices that do not fit, labels below 0, pixels not finite or
            not in 0..1, channels last.
    """

    images: Tensor
    labels: Tensor
    clean_labels: Tensor
    ids: np.ndarray = field(default=None, kw_only=True)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        parts = (self.images, self.labels, self.clean_labels)
        if not all(isinstance(x, Tensor) for x in parts) or len({x.device for x in parts}) > 1:
            raise DataError("images and labels must be tensors, all on the same device.")
        if self.images.ndim != 4 or len(self.images) != len(self.labels):
            raise DataError(
                f"images of shape {tuple(self.images.shape)} and labels of shape "
                f"{tuple(self.labels.shape)} do not fit: give [N, C, H, W] and [N]."
            )
        for x in (self.labels, self.clean_labels):
            if x.dtype != torch.int64 or x.shape != self.images.shape[:1]:
                raise DataError(f"labels are {x.dtype} {tuple(x.shape)}; give int64 [N].")
        object.__setattr__(self, "ids", as_ids(self.ids, len(self)))
        known = len(self) > 0 and not (is_fake(self.labels) or self.labels.is_meta)
        if known and int(self.labels.min()) < 0:
            raise DataError(f"labels begin at {int(self.labels.min())}, but must not be below 0.")
        if not (is_fake(self.images) or self.images.is_meta):
            check_images(self.images)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, batch_size: int, order: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [b, C, H, W] and labels [b] in storage order, or in `order` (indices [n])."""
        in_range("batch size", batch_size, 1)
        if order is None:
            yield from zip(
                self.images.split(batch_size), self.labels.split(batch_size), strict=True
            )
            return
        for index in order.to(self.labels.device).split(batch_size):
            yield self.images_at(index), self.labels[index]

    def images_at(self, index: Tensor) -> Tensor:
        """Images [b, C, H, W] of any samples [b]."""
        # copies whole images: a tenth of the time of images[index] on a CPU
        return self.images.index_select(0, torch.as_tensor(index, device=self.images.device))

    def reader(self, batch_size: int) -> "Split":
        """For a stream: the split itself, since nothing need be read ahead."""
        return self

    def read(self, index: Tensor, count: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """As `Reader.read`: only `index` [B] matters here."""
        return self.images_at(index)

    def restart(self) -> None:
        """As `Reader.restart`: nothing to forget."""


@dataclass(frozen=True, eq=False)
class DiskSplit:
    """Images left on disk: same face as `Split`, but decoded anew at each visit.

    Attributes:
        paths: N image files.
        labels, clean_labels: [N] int64 on the device.
        size: pixels of the square that every image is resized to.
        grey: one channel instead of three.
        workers: processes that decode ahead.
        ids: [N] str or int64, as in `Split`; None takes the paths.
    """

    paths: tuple[Path, ...]
    labels: Tensor
    clean_labels: Tensor
    size: int
    grey: bool
    workers: int
    ids: np.ndarray = field(default=None, kw_only=True)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        ids = [str(path) for path in self.paths] if self.ids is None else self.ids
        object.__setattr__(self, "ids", as_ids(ids, len(self.paths)))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def files(self) -> Files:
        """The files, decoded one by one on the CPU."""
        return Files(self.paths, self.size, self.grey)

    def images_at(self, index: Tensor) -> Tensor:
        """Images of a few samples [b], decoded now by threads; to start processes takes longer."""
        return self.files.some(index.tolist(), self.workers).to(self.labels.device)

    def reader(self, batch_size: int) -> "_AheadReader":
        """For a stream: decodes the row that lies ahead, in pieces of `batch_size`."""
        return _AheadReader(self, batch_size)

    def batches(
        self, batch_size: int, order: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [b, C, size, size] uint8 and labels [b], on the device of the labels."""
        device = self.labels.device
        index = list(range(len(self))) if order is None else order.tolist()
        loader = DataLoader(
            self.files,
            batch_size,
            sampler=index,
            num_workers=self.workers,
            pin_memory=device.type == "cuda",
        )
        try:
            for images, chosen in loader:
                yield images.to(device, non_blocking=True), self.labels[chosen.to(device)]
        except DataError as error:  # of a worker: its traceback, our line the last
            raise DataError(str(error).strip().splitlines()[-1].split("DataError: ")[-1]) from error


class _AheadReader:
    """Decodes the samples that a stream will draw, ahead of time; carried ones, which were in the
    last batch, are not decoded again."""

    def __init__(self, split: DiskSplit, batch_size: int) -> None:
        self.split, self.batch_size = split, batch_size
        self.last: tuple[Tensor, Tensor] | None = None  # index [B] and images of the last batch
        self.restart()

    def restart(self) -> None:
        """Another row lies ahead; the last batch stays."""
        self.ahead: Iterator[tuple[Tensor, Tensor]] | None = None

    def read(self, index: Tensor, count: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """See `toastlab.core.stream.Reader`. Reads `count` on the host: decoding waits longer."""
        if self.ahead is None:
            self.ahead = self.split.batches(self.batch_size, row[int(position) :])
            self.buffer = next(self.ahead)[0]
        carried, new = index.split([int(count), len(index) - int(count)])
        while len(self.buffer) < len(new):
            self.buffer = torch.cat([self.buffer, next(self.ahead)[0]])
        images = torch.cat([self._again(carried), self.buffer[: len(new)]])
        self.buffer = self.buffer[len(new) :]
        self.last = (index, images)
        return images

    def _again(self, index: Tensor) -> Tensor:
        if not len(index):
            return self.buffer[:0]
        if self.last is None:  # just resumed, with a carry from before
            return self.split.images_at(index)
        last_index, last_images = self.last
        return last_images[(index[:, None] == last_index).int().argmax(1)]
