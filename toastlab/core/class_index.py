"""Other images of the same class: drawn on the device, without asking the host.

Letters: N samples, K classes, b samples asked for, M images for each of them.
"""

import torch
from torch import Tensor

from toastlab.core.checks import INT, check_labels, check_shapes
from toastlab.core.errors import in_range


class Classmates:
    """The samples by class.

    Args:
        labels: [N] int64; num_classes: K.
        generator: on the labels' device.

    Raises:
        ValueError: labels out of range. TypeError: labels that are no int64.
    """

    def __init__(
        self, labels: Tensor, num_classes: int, generator: torch.Generator | None = None
    ) -> None:
        check_labels(labels, num_classes)
        self.generator = generator
        self.order = torch.argsort(labels, stable=True)  # [N], class by class
        counts = torch.zeros(num_classes, dtype=torch.int64, device=labels.device)
        self.count = counts.index_add(0, labels, torch.ones_like(labels))  # [K]
        self.start = self.count.cumsum(0) - self.count  # [K]

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
        # As cards are dealt from a deck of the others: the t-th card comes from one of the places
        # t, t + 1, ...; into the place that it leaves goes the card that lay in place t.
        early = turn * enough
        place = self._below(others - early).clamp(min=0) + early
        left = torch.where(enough, place, -1)  # with replacement nobody leaves a place
        dealt = list(place)
        for t in range(1, many):
            for before in reversed(range(t)):
                dealt[t] = torch.where(dealt[t] == left[before], before, dealt[t])
        start = self.start[labels]
        found = self.order[start + torch.stack(dealt)] if many else index[None][:0]
        # the deck lacks the last of the class; it lies in the place of the sample itself
        return torch.where(found == index, self.order[start + others], found)

    def _below(self, count: Tensor) -> Tensor:
        """Whole numbers, evenly from 0 up to but not including `count`; below 0 where that is 0."""
        lot = torch.rand(count.shape, generator=self.generator, device=count.device)
        # the product can round up to the count itself
        return (lot * count).long().minimum(count - 1)
