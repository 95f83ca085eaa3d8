"""Rows of one class or several, a block at a time, so that a fixed budget of memory is enough.

Letters: C classes, n rows of each, K columns.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from toastlab.core.errors import BadValue

# Bytes for blocks of rows and of distances together.
MEMORY = 256 * 2**20
FEWEST = 64  # rows of a block, at least
# On a CPU the rows of a block, and the numbers in it, at most: what stays in its cache, which is
# what the speed of products and of what follows them depends on. Where all pairs are no more
# numbers than that, they are one block.
TILE, PART = 448, 2**19
GROUP_BYTES = 2**22  # and bytes of the classes that are worked on together, in float32
PAIR_BYTES = 16  # of a distance between two rows, and of its copy, in float64
ROW_BYTES = 176  # Most that is kept of a row beside its K columns: some twenty numbers.


def deciding_dtype(device: torch.device) -> torch.dtype:
    """The most precise dtype of a device: the sums that decide have it."""
    return torch.float32 if device.type == "mps" else torch.float64


def least_memory(k: int) -> int:
    """Bytes without which rows of K columns cannot be worked on."""
    return 64 * FEWEST * (k + FEWEST)


def check_memory(memory: int, k: int) -> None:
    """Raises ValueError if it is too little for a block of `FEWEST` rows of K columns."""
    if memory < least_memory(k):
        raise BadValue(
            f"memory is {memory} bytes, but medoids among {k} classes need at least "
            f"{least_memory(k)}."
        )


class Rows:
    """Rows of classes of one size, as they are or less their class's mean.

    Args:
        z: [N, K] floating point.
        index: [C, n] int64, rows of it, n >= 1.
        memory: bytes for all that is held at a time.
        dtype: of the blocks.
        pairs: whether all distances between two blocks of every class are held, too.
    """

    def __init__(
        self, z: Tensor, index: Tensor, memory: int, dtype: torch.dtype, pairs: bool = False
    ) -> None:
        self.z, self.index, self.memory, self.dtype = z, index, memory, dtype
        (c, self.n), k = index.shape, z.shape[1]
        # A block is gathered, widened to 8 bytes and moved: up to four copies at a time, with
        # another four for a second block or for the distances between both.
        row, pair = 64, 64
        if pairs:  # and the numbers may be narrower
            row, pair = 8 * max(z.element_size(), dtype.itemsize), PAIR_BYTES * c
        step = min(memory // (row * c * k), int((memory / pair) ** 0.5))
        if z.device.type == "cpu":
            tile = self.n if c * self.n**2 <= PART else TILE
            step = min(step, tile, PART // (c * k))
        self.step = max(FEWEST, step)  # rows of each class in a block
        # Whether all rows, widened to 8 bytes, take at most a quarter of the budget.
        self.fits = 32 * index.numel() * k <= memory
        self._all: Tensor | None = None  # less the mean, if they fit
        self._mean: Tensor | None = None  # [C, 1, K]

    def at(self, positions: Tensor) -> Tensor:
        """The rows at `positions` [C, m] of their class: [C, m, K]."""
        return self._take(self.index.gather(1, positions), self.dtype)

    def blocks(self) -> Iterator[Tensor]:
        """All rows: [C, step, K] at a time."""
        for index in self.index.split(self.step, 1):
            yield self._take(index, self.dtype)

    def centred_at(self, positions: Tensor) -> Tensor:
        """The rows at `positions` [C, m] less the mean: [C, m, K]."""
        return self._centred(self.index.gather(1, positions))

    def centred(self, start: int = 0) -> Iterator[Tensor]:
        """The rows from `start` on less the mean: [C, step, K] at a time.

        They are held if they all fit, and made again if not. Distances do not move with the mean,
        so it need not be precise; rounding shrinks.
        """
        if self.fits:
            if self._all is None:
                self._all = self._centred(self.index)
            yield from self._all[:, start:].split(self.step, 1)
        else:
            for index in self.index[:, start:].split(self.step, 1):
                yield self._centred(index)

    def _centred(self, index: Tensor) -> Tensor:
        wide = torch.promote_types(self.z.dtype, self.dtype)
        x = self._take(index, wide)
        if self._mean is None and index is self.index:
            self._mean = x.mean(1, keepdim=True)
        elif self._mean is None:
            parts = [self._take(i, wide).sum(1) for i in self.index.split(self.step, 1)]
            self._mean = torch.stack(parts).sum(0)[:, None] / self.n
        return x.sub_(self._mean).to(self.dtype)

    def _take(self, index: Tensor, dtype: torch.dtype) -> Tensor:
        return self.z.index_select(0, index.flatten()).to(dtype).unflatten(0, index.shape)


def padded(members: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of several classes side by side, for `Rows`, and which of them count.

    A smaller class begins again where it ends, which leaves its mean and its median about right.

    Args:
        members: of each class its rows, [n] int64, n >= 1.

    Returns:
        index: [C, n of the largest] int64. real: [C, n] bool.
    """
    sizes = torch.tensor([len(m) for m in members], device=members[0].device)[:, None]
    position = torch.arange(max(map(len, members)), device=sizes.device)
    index = torch.cat(list(members))[sizes.cumsum(0) - sizes + position % sizes]
    return index, position < sizes


def alike_in_size(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Groups of classes, largest first, so that `padded` adds at most a fourth to each group.

    Args:
        sizes: of the classes; most: rows of a group together, unless it is one class.
    """
    group: list[int] = []
    filled = 0  # rows of the group that count
    for c in sorted(range(len(sizes)), key=lambda c: -sizes[c]):
        rows = (len(group) + 1) * sizes[group[0] if group else c]
        if group and (rows > most or 4 * rows > 5 * (filled + sizes[c])):
            yield group
            group, filled = [], 0
        group.append(c)
        filled += sizes[c]
    if group:
        yield group
