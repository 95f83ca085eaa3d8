"""Batches by index: an endless row of permutations, of which a batch takes what it has room for.

How many slots of a batch go to carried samples is known on the device only, so the position in the
row is a number on the device too, and the host never asks. An epoch is therefore a number of
images, N // B batches of B, not a pass: the row simply continues in the next epoch.

Letters: N samples, B images of a batch, H slots of a carry.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.core.checks import INT, check_shapes, is_fake
from toastlab.core.errors import BadType, BadValue, StateError, in_range
from toastlab.core.state import check_fits


@dataclass(eq=False)
class Batch:
    """One batch. `past` and the mixing fields are filled in by the method and the trainer.

    Example:
        >>> import torch
        >>> from toastlab import ToastConfig
        >>> labels = torch.tensor([0, 1, 0, 1])
        >>> toast = ToastConfig().build(labels, 2, 4)
        >>> batch = toast.join(torch.zeros(4, 1, 8, 8), labels, torch.arange(4))
        >>> batch.labels.tolist(), int(batch.carried.sum())
        ([0, 1, 0, 1], 0)

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
        said: logits [B, K] and their log-softmax, where a loss made it, for the method's `update`.
        whole: the weight that the method made, all 1. While `weight` is that tensor and nobody has
            written to it, nothing was mixed, which the host knows without a look at the device.
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
    said: tuple[Tensor, Tensor | None] | None = None
    whole: Tensor | None = None

    @property
    def mixed(self) -> bool:
        """Whether images may have been mixed; the long way, which is then gone, serves all."""
        compiled = torch.compiler.is_compiling()  # there, nobody can ask who has written
        return compiled or self.weight is not self.whole or self.weight._version > 0

    @property
    def pure(self) -> Tensor | None:
        """[B] bool, whose image was not mixed with another; None: nobody's was."""
        return self.weight == 1 if self.mixed else None

    def mixed_rows(self, table: Tensor) -> Tensor:
        """Rows [B, K] of a table [K, K] by class, mixed as images were: w t_a + (1 - w) t_b."""
        own = table.index_select(0, self.labels)
        if not self.mixed:
            return own
        return torch.lerp(table.index_select(0, self.partner_labels), own, self.weight[:, None])

    def log_p(self, logits: Tensor) -> Tensor | None:
        """[B, K] the log-softmax of just these logits, if a loss has left it here."""
        return self.said[1] if self.said is not None and self.said[0] is logits else None


class Reader(Protocol):
    """Reads the images of one batch after the other."""

    def read(self, index: Tensor, count: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """Images [B, C, H, W] of the next batch, on the device.

        Args:
            index: [B] int64, whose; the first `count` [] were in the last batch already, the others
                are the next ones of `row`.
            row: [2N] int64, the order in which samples come, from `position` [] on.
        """

    def restart(self) -> None:
        """The row that lies ahead is another one from now on."""


class ImageSource(Protocol):
    """Where a stream's images come from: memory, files, whatever has these."""

    @property
    def labels(self) -> Tensor:
        """[N] int64; their device is where images go."""

    def __len__(self) -> int:
        """N."""

    def images_at(self, index: Tensor) -> Tensor:
        """Images [b, C, H, W] of any samples [b], now."""

    def reader(self, batch_size: int) -> Reader:
        """For batches in a row, which may read ahead."""


class Stream:
    """Draws batches from a training split, on the split's device.

    Example:
        >>> import torch
        >>> from toastlab import from_tensors
        >>> data = from_tensors(torch.rand(40, 1, 8, 8), torch.arange(40) % 2)
        >>> stream = Stream(data.train, batch_size=8)
        >>> none = torch.tensor(0)
        >>> index, images = stream.draw(none[None], none, 8)
        >>> list(images.shape), len(set(index.tolist()))
        ([8, 1, 8, 8], 8)

    Args:
        source: a split, in memory or on disk, or your own, see `ImageSource`.
        batch_size: B, even, 2 to N.
        seed: of the order of the samples.
        shard: [n] int64, of which samples of the split to draw, where `ranks` share it; None: all.
        ranks: how many streams draw from the split, each from its shard.

    Raises:
        ValueError: a batch size that is odd, below 2 or above N. TypeError: no source of images.
    """

    def __init__(
        self,
        source: ImageSource,
        batch_size: int,
        seed: int = 0,
        shard: Tensor | None = None,
        ranks: int = 1,
    ) -> None:
        if missing := [n for n in ("labels", "images_at", "reader") if not hasattr(source, n)]:
            raise BadType(
                f"a {type(source).__name__} is no source of images, it has no {missing[0]}: give a "
                "split, as data.train; for a loader of your own there is method.join."
            )
        n = len(source) // ranks
        self.shard, self.ranks = shard, ranks
        if not isinstance(batch_size, int) or batch_size < 2 or batch_size % 2 or batch_size > n:
            raise BadValue(
                f"batch size is {batch_size}, but must be even (half of it can be carried), at "
                f"least 2 and at most the {n} training samples."
                + (f" (Of one of {ranks} ranks.)" if ranks > 1 else "")
            )
        self.source, self.labels, self.batch_size = source, source.labels, batch_size
        self.generator: torch.Generator | None = None
        if not is_fake(self.labels):  # a fake device has no random numbers of its own
            self.generator = torch.Generator(self.labels.device)
        self._reader = source.reader(batch_size)
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begins a new row of permutations."""
        if self.generator is not None:
            self.generator.manual_seed(seed)
        self.order = torch.cat([self._permutation(), self._permutation()])  # [2n]
        self.pointer = torch.zeros((), dtype=torch.int64, device=self.labels.device)

    def _permutation(self) -> Tensor:
        device, n = self.labels.device, len(self.source if self.shard is None else self.shard)
        order = torch.randperm(n, generator=self.generator, device=device)
        return order if self.shard is None else self.shard[order]

    def steps(self, images: int, share: float = 1.0) -> int:
        """Batches of `images` in an epoch: as many as make up `share` x N, rounded down, on all
        ranks together."""
        in_range("images", images, 1)
        in_range("share", share, 0, 1)
        return max(1, int(share * len(self.source)) // (images * self.ranks))

    def fetch(self, index: Tensor) -> Tensor:
        """Images [b, C, H, W] uint8 of any samples [b]; of a split on disk they are decoded now."""
        check_shapes(index=(index, INT, "b"))
        return self.source.images_at(index)

    def start_epoch(self) -> None:
        """Drops a permutation that is used up and appends a new one, without asking whether."""
        n = len(self.order) // 2
        used = self.pointer >= n
        self.order = torch.where(used, torch.cat([self.order[n:], self._permutation()]), self.order)
        self.pointer = self.pointer - n * used
        self._reader.restart()

    def draw(self, carried_index: Tensor, count: Tensor, images: int) -> tuple[Tensor, Tensor]:
        """The next batch: the carried samples first, then new ones from the row.

        Args:
            carried_index: [H] int64; count: [] int64, how many of them are meant.
            images: B, how many the batch has.

        Returns:
            index [B] int64 and images [B, C, H, W] uint8.

        Raises:
            ValueError, TypeError: arguments that do not belong together.
            IndexError: more than N new samples since `start_epoch`, on a CPU.
        """
        check_shapes(carried_index=(carried_index, INT, "H"), count=(count, INT, ""))
        in_range("images", images, max(1, len(carried_index)))
        slot = torch.arange(images, device=count.device)
        begin = self.pointer - count  # the first new sample, in slot `count`, is at the pointer
        new = self.order[begin + torch.maximum(slot, count)]
        padded = F.pad(carried_index, (0, images - len(carried_index)))
        index = torch.where(slot < count, padded, new)
        pixels = self._reader.read(index, count, self.order, self.pointer)
        self.pointer = begin + images
        return index, pixels

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of everything the next batch depends on, for a checkpoint at the end of an epoch.

        Raises:
            StateError: a stream of fake tensors draws nothing and has no state.
        """
        if self.generator is None:
            raise StateError("a stream of fake tensors has no state; make it of real ones.")
        state = {"order": self.order.clone(), "pointer": self.pointer.clone()}
        return {**state, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continues from `state`.

        Raises:
            StateError: it is of another stream; nothing was changed.
        """
        check_fits("Stream", state, self.state_dict())
        self.order = state["order"].to(self.order.device, copy=True)
        self.pointer = state["pointer"].to(self.pointer.device, copy=True)
        if self.generator is not None:
            self.generator.set_state(state["generator"].cpu())
        self._reader = self.source.reader(self.batch_size)
