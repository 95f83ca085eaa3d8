"""The rows of one class, a block at a time, so that a fixed budget of memory is enough.

Letters: n rows of a matrix z [N, K].
"""

from collections.abc import Iterator

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
        z: [N, K] floating point; index: [n] int64, rows of it, n >= 1.
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
        self.step = min(len(index), memory // (64 * k))
        self.tile = TILE if z.device.type == "cpu" else int((memory / 64) ** 0.5)
        self.tile = max(FEWEST, min(self.tile, self.step))
        self._centre: Tensor | None = None
        self._held: tuple[torch.dtype, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def fits(self) -> bool:
        """Whether all rows, widened to 8 bytes, take at most a quarter of the budget."""
        return 32 * len(self.index) * self.z.shape[1] <= self.memory

    @property
    def centre(self) -> Tensor:
        """[K], the mean up to rounding. Distances do not move with it, and rounding shrinks."""
        if self._centre is None:
            wide = torch.promote_types(self.z.dtype, torch.float32)
            total = torch.zeros(self.z.shape[1], dtype=wide, device=self.z.device)
            for block in self.blocks(wide):
                total += block.sum(0)
            self._centre = total / len(self)
        return self._centre

    def centred(self, dtype: torch.dtype, step: int = 0, start: int = 0) -> Iterator[Tensor]:
        """The rows from `start` on less the `centre`, `step` at a time: [step, K] of `dtype`.

        They are kept if they all fit, and made again if not.

        Args:
            step: 0 takes as many as fit.
        """
        step = step or self.step
        if not self.fits:
            yield from (self._less(i, dtype) for i in self.index[start:].split(step))
            return
        if self._held is None or self._held[0] != dtype:
            wide = torch.promote_types(self.z.dtype, dtype)
            x = self.z.index_select(0, self.index).to(wide)
            if self._centre is None:
                self._centre = x.mean(0)
            self._held = (dtype, x.sub_(self._centre).to(dtype))
        yield from self._held[1][start:].split(step)

    def some(self, near: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows at positions `near` [m], less the centre: [m, K] of `dtype`."""
        if self._held is not None and self._held[0] == dtype:
            return self._held[1].index_select(0, near)
        return self._less(self.index[near], dtype)

    def blocks(self, dtype: torch.dtype, step: int = 0) -> Iterator[Tensor]:
        """The rows as they are, `step` at a time or as many as fit: [step, K] of `dtype`."""
        for index in self.index.split(min(step or self.step, self.step)):
            yield self.z.index_select(0, index).to(dtype)

    def _less(self, index: Tensor, dtype: torch.dtype) -> Tensor:
        wide = torch.promote_types(self.z.dtype, dtype)
        return self.z.index_select(0, index).to(wide).sub_(self.centre).to(dtype)
