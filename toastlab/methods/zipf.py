"""Zipf's label smoothing: wrong classes get what Zipf's law gives their rank among the logits.

Source: J. Liang, L. Li, Z. Bing, B. Zhao, Y. Tang, B. Lin, H. Fan, "Efficient One Pass
Self-distillation with Zipf's Label Smoothing", ECCV 2022.

    L = CE(e_y, p(z)) + lambda mean over right predictions of KL( zipf || softmax of z without z_y )
    zipf_c = (1 / r_c) / sum of 1 / r over the classes but y        r_c: rank of z_c, the largest 1

Ranks have no gradient; equal logits share the better rank. This is the form that ranks by the
image's own logits. The public code (megvii-research/zipfls) has others besides, and the figures of
its README come from one of them: ranks by votes of local features.

The code ranks all classes and leaves the label's rank out afterwards, so that of a right prediction
the others have the ranks 2..K (ranks "all", the default; "others" ranks only them, from 1). It can
take the KL over right predictions or over all; the commands in its README take all, while here the
default is `only_right`. The mean is over those taken, not over the batch; without any it is 0.
lambda is that of its commands for CIFAR-100 (1 for Tiny-ImageNet).

It refuses mixed images, which have two right classes. Passes: 1. Memory: nothing.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from toastlab.core.losses import Loss, masked_mean, probability_kl, soft_cross_entropy
from toastlab.core.settings import Weight
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class ZipfConfig(MethodConfig):
    """Zipf's label smoothing: wrong classes weighed by their rank among the logits."""

    name: ClassVar[str] = "zipf"

    weight: Weight = 0.1  # Weight lambda of the distillation, 0 to 1000.
    # Ranks among all classes, as the public code has it, or among the others than the label.
    ranks: Literal["all", "others"] = "all"
    only_right: bool = True  # Distil right predictions only; else all of them.


class Zipf(Method, config=ZipfConfig):
    """Zipf's label smoothing."""

    admits_mix = False  # which of two mixed classes would be left out?
    config: ZipfConfig

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """CE + lambda KL over right predictions; logits are [B, K]."""
        hard = soft_cross_entropy(logits, self.targets(batch)).mean()
        others = _without(logits, batch.labels)
        ranked = logits if self.config.ranks == "all" else others
        inverse = 1 / _ranks(others.detach(), ranked.detach())
        kl = probability_kl(others, inverse / inverse.sum(1, keepdim=True))
        right = logits.detach().argmax(1) == batch.labels
        distilled = masked_mean(kl, right if self.config.only_right else torch.ones_like(right))
        total = hard + self.config.weight * distilled
        return Loss(total, {"stage1": hard.detach(), "distillation": distilled.detach()})


def _without(logits: Tensor, labels: Tensor) -> Tensor:
    """[B, K - 1]: each row of logits [B, K] without that of its label [B]."""
    column = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, column + (column >= labels[:, None]))


def _ranks(of: Tensor, among: Tensor) -> Tensor:
    """[B, n] float32: 1 + how many of `among` [B, m] are larger than each of `of` [B, n]."""
    rising = (-among).sort(1).values.contiguous()
    return 1 + torch.searchsorted(rising, (-of).contiguous()).float()
