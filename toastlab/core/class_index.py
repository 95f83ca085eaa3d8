"""Other images of the same class: drawn on the device, without asking the host.

Letters: N samples, K classes, b samples asked for, M images for each of them.
"""

import torch
from torch import Tensor

from toastlab.core.checks import INT, check_labels, check_shapes
from toastlab.core.errors import in_range
from toastlab.core.state import Stateful


class ClassIndex(Stateful):
    """The samples by class.

    Args:
        labels: [N] int64; num_classes: K.
        generator: on the labels' device.

    Raises:
        ValueError: labels out of range. TypeError: labels that are no int64.
    """

    order: Tensor  # [N], class by class
    count: Tensor  # [K]
    start: Tensor  # [K]

    def __init__(
        self, labels: Tensor, num_classes: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        check_labels(labels, num_classes)
        self.generator = generator
        zeros = torch.zeros(num_classes, dtype=torch.int64, device=labels.device)
        count = zeros.index_add(0, labels, torch.ones_like(labels))
        # all follow from the labels: no state
        self.register_buffer("order", torch.argsort(labels, stable=True), persistent=False)
        self.register_buffer("count", count, persistent=False)
        self.register_buffer("start", count.cumsum(0) - count, persistent=False)

    def draw(self, labels: Tensor) -> Tensor:
        """One sample of each of these classes [b], with replacement; it may be any of the class."""
        return self.order[self.start[labels] + self._below(self.count[labels])]

    def draw_others(self, index: Tensor, labels: Tensor, many: int) -> Tensor:
        """M other samples of the class for each of these, all sets of M equally likely.

        No sample is its own companion. The M of one sample are M different ones; where its class
        has fewer than M others, they are drawn with replacement. The only sample of a class has no
        others and gets itself.

        Args:
            index: [b] int64, the samples; labels: [b] int64, theirs; many: M >= 0.

        Returns:
            [M, b] int64.
        """
        in_range("companions", many, 0)
        check_shapes(index=(index, INT, "b"), labels=(labels, INT, "b"))
        others = self.count[labels] - 1
        enough = others >= many
        turn = torch.arange(many, device=labels.device)[:, None]
        # As cards are dealt from a deck of the others: the t-th card comes from one of the slots
        # t, t + 1, ...; into the slot that it leaves goes the card that lay in slot t.
        early = turn * enough
        slot = self._below(others - early).clamp(min=0) + early
        left = torch.where(enough, slot, -1)  # with replacement no slot becomes empty
        dealt = list(slot)
        for t in range(1, many):
            for before in reversed(range(t)):
                dealt[t] = torch.where(dealt[t] == left[before], before, dealt[t])
        start = self.start[labels]
        drawn = self.order[start + torch.stack(dealt)] if many else index[None][:0]
        # the deck lacks the last of the class; it lies in the slot of the sample itself
        return torch.where(drawn == index, self.order[start + others], drawn)

    def _below(self, count: Tensor) -> Tensor:
        """Whole numbers, evenly from 0 up to but not including `count`; below 0 where that is 0."""
        drawn = torch.rand(count.shape, generator=self.generator, device=count.device)
        # the product can round up to the count itself
        return (drawn * count).long().minimum(count - 1)
