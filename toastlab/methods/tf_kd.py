"""Tf-KD, teacher-free: a hand-made teacher that is right with probability 0.99.

Source: L. Yuan, F. Tay, G. Li, T. Wang, J. Feng, "Revisiting Knowledge Distillation via Label
Smoothing Regularization", CVPR 2020.

    L = (1 - a) CE(e_y, p(z)) + a m KL( u_y || p(z; T) )
    u_y: 0.99 for the true class, the rest shared evenly

Paper and public code differ. The paper speaks of u at temperature T; its code takes softmax(u / T)
of the *probabilities* u, which is almost even, leaves the network's own temperature at 1 and
averages the KL over the classes too, which its multiplier m makes up for (100 for ResNet-18 and 100
classes). Here form "code" is that code, m being relative to the sum over classes (their 100 of 100
classes is our 1); form "paper" softens log u and the logits by T and multiplies by T^2.
Passes: 1. Memory: one target per class.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from toastlab.core.losses import Loss, probability_kl, soft_cross_entropy
from toastlab.core.settings import InnerShare, Multiplier, Share, Temperature
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class TfKdConfig(MethodConfig):
    """Tf-KD, regularisation form: a hand-made teacher."""

    name: ClassVar[str] = "tf-kd"

    weight: Share = 0.1  # Share a of the hand-made teacher, in [0, 1].
    temperature: Temperature = 20.0  # Temperature T, 0.01 to 1000.
    multiplier: Multiplier = 1.0  # Factor m on the KL, 0 to 100000.
    correct: InnerShare = 0.99  # The teacher's probability of the true class, in (0, 1).
    # Form: code (softmax of u / T) or paper (softmax of log u / T, times T^2).
    form: Literal["code", "paper"] = "code"


class TfKd(Method, config=TfKdConfig):
    """Tf-KD; `teacher` [K, K] holds the hand-made teacher's answer for each class."""

    config: TfKdConfig
    teacher: Tensor

    def make_state(self) -> None:
        """The hand-made teacher, which the settings make anew at any time."""
        cfg = self.config
        u = torch.full_like(self.table, (1 - cfg.correct) / max(1, self.num_classes - 1))
        u = torch.where(self.table > 0, cfg.correct, u)
        logits = u if cfg.form == "code" else u.log()
        teacher = (logits / cfg.temperature).softmax(1)
        self.register_buffer("teacher", teacher, persistent=False)

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """(1 - a) CE + a m KL; logits are [B, K]."""
        cfg = self.config
        hard = soft_cross_entropy(logits, self.targets(batch)).mean()
        own = 1.0 if cfg.form == "code" else cfg.temperature
        kl = probability_kl(logits, batch.mixed_rows(self.teacher), own).mean()
        total = (1 - cfg.weight) * hard + cfg.weight * cfg.multiplier * kl
        return Loss(total, {"stage1": hard.detach(), "distillation": kl.detach()})
