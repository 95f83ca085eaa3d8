"""Batches by index: an endless row of permutations, of which a batch takes what it has room for.

How many places of a batch go to carried samples is known on the device only, so the place in the
row is a number on the device too, and the host never asks. An epoch is therefore a number of
images, N // B batches of B, not a pass: the row simply continues in the next epoch.

Letters: N samples, B places of a batch, H places of a carry.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses import FakeTensor

from toastlab.core.checks import INT, check_shapes
from toastlab.core.errors import in_range
from toastlab.data.dataset import DiskSplit, Split


@dataclass(eq=False)
class Batch:
    """One batch. `past` and the mixing fields are filled in by the method and the trainer.

    Attributes:
        index: [B] int64, positions in the training split.
        images: [B, C, H, W], as stored (uint8), not yet augmented.
        labels: [B] int64.
        carried: [B] bool, samples that come with a past prediction.
        past: [B, K] float32, those predictions (logits); other rows mean nothing.
        visits: [B] int64, how many times in a row each was carried.
        partner: [B] int64, with whom each image was mixed; itself where it was not.
        partner_labels: [B] int64.
        weight: [B] float32, the image's own share in the mix; 1 where it was not mixed.
    """

    index: Tensor
    images: Tensor
    labels: Tensor
    carried: Tensor
    past: Tensor
    visits: Tensor
    partner: Tensor
    partner_labels: Tensor
    weight: Tensor


class Stream:
    """Draws batches from a training split, on the split's device.

    Args:
        split: resident (`Split`) or on disk (`DiskSplit`).
        batch_size: B, even, 2 to N.
        seed: of the order of the samples.
        shard: [n] int64, of which samples of the split to draw, where `ranks` share it; None: all.
        ranks: how many streams draw from the split, each from its shard.

    Raises:
        ValueError: a batch size that is odd, below 2 or above N.
    """

    def __init__(
        self,
        split: Split | DiskSplit,
        batch_size: int,
        seed: int = 0,
        shard: Tensor | None = None,
        ranks: int = 1,
    ) -> None:
        n = len(split) // ranks
        self.shard, self.ranks = shard, ranks
        if not isinstance(batch_size, int) or batch_size < 2 or batch_size % 2 or batch_size > n:
            raise ValueError(
                f"batch size is {batch_size}, but must be even (half of it can be carried), at "
                f"least 2 and at most the {n} training samples."
                + (f" (Of one of {ranks} ranks.)" if ranks > 1 else "")
            )
        self.split, self.labels, self.batch_size = split, split.labels, batch_size
        self.generator: torch.Generator | None = None
        if not isinstance(
            self.labels, FakeTensor
        ):  # a fake device has no random numbers of its own
            self.generator = torch.Generator(self.labels.device)
        self._loader: _InOrder | None = None
        self._last: tuple[Tensor, Tensor] | None = None
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begins a new row of permutations."""
        if self.generator is not None:
            self.generator.manual_seed(seed)
        self.order = torch.cat([self._permutation(), self._permutation()])  # [2n]
        self.pointer = torch.zeros((), dtype=torch.int64, device=self.labels.device)

    def _permutation(self) -> Tensor:
        device, n = self.labels.device, len(self.split if self.shard is None else self.shard)
        places = torch.randperm(n, generator=self.generator, device=device)
        return places if self.shard is None else self.shard[places]

    def steps(self, places: int, share: float = 1.0) -> int:
        """Batches of `places` images in an epoch: as many as make up `share` x N, rounded down,
        on all ranks together."""
        in_range("places", places, 1)
        in_range("share", share, 0, 1)
        return max(1, int(share * len(self.split)) // (places * self.ranks))

    def fetch(self, index: Tensor) -> Tensor:
        """Images [b, C, H, W] uint8 of any samples [b]; of a split on disk they are decoded now."""
        check_shapes(index=(index, INT, "b"))
        if isinstance(self.split, Split):
            return self.split.images[index]
        return self.split.read(index)

    def start_epoch(self) -> None:
        """Drops a permutation that is used up and appends a new one, without asking whether."""
        n = len(self.order) // 2
        used = self.pointer >= n
        self.order = torch.where(used, torch.cat([self.order[n:], self._permutation()]), self.order)
        self.pointer = self.pointer - n * used
        self._loader = None  # another row lies ahead

    def draw(self, carried_index: Tensor, count: Tensor, places: int) -> tuple[Tensor, Tensor]:
        """The next batch: the carried samples first, then new ones from the row.

        Args:
            carried_index: [H] int64; count: [] int64, how many of them are meant.
            places: how many images the batch has.

        Returns:
            index [places] int64 and images [places, C, H, W] uint8.

        Raises:
            ValueError, TypeError: arguments that do not belong together.
            IndexError: more than N new samples since `start_epoch`, on a CPU.
        """
        check_shapes(carried_index=(carried_index, INT, "H"), count=(count, INT, ""))
        in_range("places", places, max(1, len(carried_index)))
        slot = torch.arange(places, device=count.device)
        fresh = self.order[self.pointer + (slot - count).clamp(min=0)]
        padded = F.pad(carried_index, (0, places - len(carried_index)))
        index = torch.where(slot < count, padded, fresh)
        if isinstance(self.split, Split):
            images = self.split.images[index]
        else:
            images = self._decode(index, count)
        self.pointer = self.pointer + places - count
        return index, images

    def _decode(self, index: Tensor, count: Tensor) -> Tensor:
        """Images of a split on disk. Reads `count` on the host: decoding files waits longer."""
        assert isinstance(self.split, DiskSplit)
        if self._loader is None:
            rest = self.order[int(self.pointer) :]
            self._loader = _InOrder(self.split, rest, self.batch_size)
        carried, fresh = index.split([int(count), len(index) - int(count)])
        images = torch.cat([self._again(carried), self._loader.take(len(fresh))])
        self._last = (index, images)
        return images

    def _again(self, index: Tensor) -> Tensor:
        """Images of carried samples, kept on the device since the last batch, not decoded again."""
        assert isinstance(self.split, DiskSplit)
        if self._last is None:  # just resumed, with a carry from before
            if len(index):
                return self.fetch(index)
            assert self._loader is not None
            return self._loader.buffer[:0]
        last_index, last_images = self._last
        return last_images[(index[:, None] == last_index).int().argmax(1)]

    def state(self) -> dict[str, Tensor]:
        """Everything the next batch depends on, for a checkpoint at the end of an epoch."""
        assert self.generator is not None
        state = {"order": self.order, "pointer": self.pointer}
        return {**state, "generator": self.generator.get_state()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continues from `state`."""
        assert self.generator is not None
        self.order.copy_(state["order"])
        self.pointer.copy_(state["pointer"])
        self.generator.set_state(state["generator"].cpu())
        self._loader = None


class _InOrder:
    """Decodes a known row of samples ahead of time and hands it out in pieces of any size."""

    def __init__(self, split: DiskSplit, order: Tensor, batch_size: int) -> None:
        self.chunks: Iterator[tuple[Tensor, Tensor]] = split.batches(batch_size, order)
        self.buffer = next(self.chunks)[0]

    def take(self, count: int) -> Tensor:
        while len(self.buffer) < count:
            self.buffer = torch.cat([self.buffer, next(self.chunks)[0]])
        images, self.buffer = self.buffer[:count], self.buffer[count:]
        return images
