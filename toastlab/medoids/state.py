"""The medoids that a method has in use, as part of its state."""

import torch
from torch import Tensor

from toastlab.core.state import Stateful
from toastlab.medoids.exact import Medoids


class MedoidState(Stateful):
    """The medoids in use, as buffers by the names of `Medoids`."""

    index: Tensor
    logits: Tensor

    def __init__(self, num_classes: int, device: torch.device) -> None:
        super().__init__()
        none = torch.full((num_classes,), -1, dtype=torch.int64, device=device)
        self.add_state("index", none, "same")
        self.add_state("logits", torch.zeros(num_classes, num_classes, device=device), "same")

    def take(self, medoids: Medoids, kept: Tensor | None = None) -> None:
        """Uses these from now on, but for the classes `kept` [K] bool, which stay as they are."""
        index, logits = medoids.index, medoids.logits.float()
        if kept is not None:
            index = torch.where(kept, self.index, index)
            logits = torch.where(kept[:, None], self.logits, logits)
        self.index, self.logits = index, logits

    @property
    def exists(self) -> Tensor:
        """[K] bool: the class has a medoid."""
        return self.index >= 0
