"""Rows of one class or several, a block at a time, so that a fixed budget of memory is enough.

Letters: n rows of a matrix z [N, K], or n of each of C classes.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

# Bytes for blocks of rows and of distances together.
MEMORY = 256 * 2**20
# Rows and columns of a block of distances: small enough to stay in a CPU's cache, which is what
# the speed of the pairwise pass depends on. A GPU takes what the budget allows.
TILE = 320
FEWEST = 64  # rows of a block, at least


def least_memory(k: int) -> int:
    """Bytes without which rows of K columns cannot be worked on."""
    return 64 * FEWEST * (k + FEWEST)


class Rows:
    """Some rows of a matrix, read in blocks that fit in a budget.

    Args:
        z: [N, K] floating point; index: [n] int64, rows of it, n >= 1; or [C, n] for C times n.
        memory: bytes for all that is held at a time.

    Raises:
        ValueError: too little memory for a block of `FEWEST` rows.
    """

    def __init__(self, z: Tensor, index: Tensor, memory: int = MEMORY) -> None:
        k = z.shape[1]
        if memory < least_memory(k):
            raise ValueError(
                f"memory is {memory} bytes, but medoids among {k} classes need at least "
                f"{least_memory(k)}."
            )
        self.z, self.index, self.memory = z, index, memory
        # A block is gathered, widened to 8 bytes and moved: up to four copies at a time, with
        # another four for a second block and what is made of both.
        self.step = max(1, min(len(self), memory * len(self) // (64 * k * index.numel())))
        self.tile = TILE if z.device.type == "cpu" else int((memory / 64) ** 0.5)
        self.tile = max(FEWEST, min(self.tile, self.step))
        self._centre: Tensor | None = None
        self._held: tuple[torch.dtype, Tensor] | None = None

    def __len__(self) -> int:
        return self.index.shape[-1]

    @property
    def fits(self) -> bool:
        """Whether all rows, widened to 8 bytes, take at most a quarter of the budget."""
        return 32 * self.index.numel() * self.z.shape[1] <= self.memory

    @property
    def centre(self) -> Tensor:
        """[1, K] or [C, 1, K], the mean up to rounding. Distances do not move with it, and
        rounding shrinks."""
        if self._centre is None:
            wide = torch.promote_types(self.z.dtype, torch.float32)
            parts = [block.sum(-2, keepdim=True) for block in self.blocks(wide)]
            self._centre = torch.stack(parts).sum(0) / len(self)
        return self._centre

    def centred(self, dtype: torch.dtype, step: int = 0, start: int = 0) -> Iterator[Tensor]:
        """The rows from `start` on less the `centre`, `step` at a time: [.., step, K] of `dtype`.

        They are kept if they all fit, and made again if not.

        Args:
            step: 0 takes as many as fit.
        """
        step = step or self.step
        if not self.fits:
            yield from (self._less(i, dtype) for i in self.index[..., start:].split(step, -1))
            return
        if self._held is None or self._held[0] != dtype:
            wide = torch.promote_types(self.z.dtype, dtype)
            x = self._at(self.index, wide)
            if self._centre is None:
                self._centre = x.mean(-2, keepdim=True)
            self._held = (dtype, x.sub_(self._centre).to(dtype))
        yield from self._held[1][..., start:, :].split(step, -2)

    def some(self, near: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows at positions `near` [.., m], less the centre: [.., m, K] of `dtype`."""
        return self._less(self.index.gather(-1, near), dtype)

    def blocks(self, dtype: torch.dtype, step: int = 0) -> Iterator[Tensor]:
        """The rows as they are, `step` at a time or as many as fit: [.., step, K] of `dtype`."""
        for index in self.index.split(min(step or self.step, self.step), -1):
            yield self._at(index, dtype)

    def _at(self, index: Tensor, dtype: torch.dtype) -> Tensor:
        return self.z.index_select(0, index.flatten()).to(dtype).unflatten(0, index.shape)

    def _less(self, index: Tensor, dtype: torch.dtype) -> Tensor:
        wide = torch.promote_types(self.z.dtype, dtype)
        return self._at(index, wide).sub_(self.centre).to(dtype)


def padded(members: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of several classes side by side, for `Rows`, and which of them count.

    A smaller class begins again where it ends, which leaves its mean and its median about right.

    Args:
        members: of each class its rows, [n] int64, n >= 1.

    Returns:
        index: [C, n of the largest] int64. real: [C, n] bool.
    """
    sizes = torch.tensor([len(m) for m in members], device=members[0].device)[:, None]
    place = torch.arange(max(map(len, members)), device=sizes.device)
    index = torch.cat(list(members))[sizes.cumsum(0) - sizes + place % sizes]
    return index, place < sizes


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
