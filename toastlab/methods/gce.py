"""GCE, generalised cross-entropy: a loss between cross-entropy and mean absolute error.

Source: Z. Zhang, M. Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with
Noisy Labels", NeurIPS 2018.

    L = mean of (1 - p_y^q) / q        q towards 0: cross-entropy; q = 1: half of |e_y - p| in L1

It is for noisy labels and distils nothing: its gradient is cross-entropy's times p_y^q, so that
labels the network does not believe in pull less. This is the untruncated loss. The paper's
truncated one, which leaves out samples with p_y below k and decides anew between epochs who they
are, is not here; code made public by others (AlanChou/Truncated-Loss) has that one, and has them
decided by the network of the epoch that was best on the test split. q is the paper's.

Mixed images: the loss of each label, in the proportion of the mix. Passes: 1. Memory: nothing.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from toastlab.core.losses import Loss, soft_cross_entropy
from toastlab.core.settings import PositiveShare
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class GceConfig(MethodConfig):
    """GCE: a loss that believes doubtful labels less.

    Example:
        >>> GceConfig(exponent=1.0).exponent
        1.0
    """

    name: ClassVar[str] = "gce"

    exponent: PositiveShare = 0.7  # Exponent q, in (0, 1]; towards 0 it is cross-entropy.


class Gce(Method, config=GceConfig):
    """GCE."""

    config: GceConfig

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Mean (1 - p_y^q) / q [] of the logits [B, K]."""
        other, own = (self._of(logits, y) for y in (batch.partner_labels, batch.labels))
        total = (batch.weight * own + (1 - batch.weight) * other).mean()
        return Loss(total, {"stage1": total.detach()})

    def _of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(1 - p_y^q) / q [B] to labels [B]."""
        q = self.config.exponent
        # p_y^q = exp(q log p_y): its gradient is finite where p_y is so small that it becomes 0
        return -torch.expm1(-q * soft_cross_entropy(logits, self.table[labels])) / q
