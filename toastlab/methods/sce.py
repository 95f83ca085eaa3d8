"""SCE, symmetric cross-entropy: cross-entropy and its reverse, which wrong labels move less.

Source: Y. Wang, X. Ma, Z. Chen, Y. Luo, J. Yi, J. Bailey, "Symmetric Cross Entropy for Robust
Learning with Noisy Labels", ICCV 2019.

    L = a CE(e_y, p) + b RCE,    RCE = - sum_k p_k log e_yk

log 0 is a negative constant A, and so RCE = -A (1 - p_y). It is for noisy labels and distils
nothing. The paper calls the method SL, and names A; the public code (YisenWang/
symmetric_cross_entropy_for_noisy_labels) clamps e_y to at least 1e-4, so A = log 1e-4 = -9.21, as
here. a and b are its values for CIFAR-10 (6 and 0.1 for CIFAR-100).

That code also clamps p to at least 1e-7 in CE, which takes the gradient from labels believed less;
HanxunH/SCELoss-Reproduce clamps p in RCE too, and takes the clamped e_y for CE as well. Here CE is
the usual one.

Mixed images: the loss of each label, in the proportion of the mix; clamping mixed labels would not
be that. Passes: 1. Memory: nothing.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from toastlab.core.losses import Loss, soft_cross_entropy, wide
from toastlab.core.settings import InnerShare, Weight
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class SceConfig(MethodConfig):
    """SCE: cross-entropy and reverse cross-entropy."""

    name: ClassVar[str] = "sce"

    weight: Weight = 0.1  # Weight a of cross-entropy, 0 to 1000.
    reverse_weight: Weight = 1.0  # Weight b of reverse cross-entropy, 0 to 1000.
    least: InnerShare = 1e-4  # What stands for 0 in the logarithm of the target, in (0, 1).


class Sce(Method, config=SceConfig):
    """SCE."""

    config: SceConfig

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """a CE + b RCE; logits are [B, K]."""
        cfg, targets = self.config, self.targets(batch)
        hard = soft_cross_entropy(logits, targets).mean()
        believed = (targets * wide(logits).softmax(1)).sum(1)  # p_y
        reverse = -math.log(cfg.least) * (1 - believed).mean()
        total = cfg.weight * hard + cfg.reverse_weight * reverse
        return Loss(total, {"stage1": hard.detach(), "reverse": reverse.detach()})
