"""Label smoothing (Szegedy et al., 2016): CE((1 - s) e_y + s / K, p(z))."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from toastlab.core.settings import Share
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class LabelSmoothingConfig(MethodConfig):
    """Label smoothing."""

    name: ClassVar[str] = "label-smoothing"

    smoothing: Share = 0.1  # Share s of the target spread evenly over all classes, in [0, 1].

    def build(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Method:
        """A `Method` whose class targets are smoothed once and for all."""
        method = Method(labels, num_classes, batch_size, generator)
        method.table = torch.lerp(
            method.table, torch.full_like(method.table, 1 / num_classes), self.smoothing
        )
        return method
