"""Label smoothing (Szegedy et al., 2016): CE((1 - s) e_y + s / K, p(z))."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from toastlab.core.settings import Share
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class LabelSmoothingConfig(MethodConfig):
    """Label smoothing.

    Example:
        >>> import torch
        >>> method = LabelSmoothingConfig(smoothing=0.1).build(torch.tensor([0, 1]), 2, 2)
        >>> [round(float(x), 2) for x in method.table[0]]
        [0.95, 0.05]
    """

    name: ClassVar[str] = "label-smoothing"

    smoothing: Share = 0.1  # Share s of the target spread evenly over all classes, in [0, 1].


class LabelSmoothing(Method, config=LabelSmoothingConfig):
    """A `Method` whose class targets are smoothed once and for all."""

    config: LabelSmoothingConfig

    def make_state(self) -> None:
        """The smoothed targets."""
        even = torch.full_like(self.table, 1 / self.num_classes)
        self.table = torch.lerp(self.table, even, self.config.smoothing)
