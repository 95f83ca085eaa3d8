"""Plain cross-entropy to hard targets: the baseline. CE(e_y, p(z))."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class CrossEntropyConfig(MethodConfig):
    """Plain cross-entropy; nothing to set."""

    name: ClassVar[str] = "cross-entropy"

    def build(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Method:
        """Hard targets are what `Method` starts with."""
        return Method(labels, num_classes, batch_size, generator)
