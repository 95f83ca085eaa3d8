"""Another image of the same class: drawn on the device, without asking the host."""

import torch
from torch import Tensor

from toastlab.medoids import check_labels


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
        count = self.count[labels]
        lot = torch.rand(labels.shape, generator=self.generator, device=labels.device)
        # the product can round up to the count itself
        place = (lot * count).long().minimum(count - 1)
        return self.order[self.start[labels] + place]
