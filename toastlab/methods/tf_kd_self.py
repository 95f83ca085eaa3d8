"""Tf-KD, self-training form: the teacher is the same network, trained before with cross-entropy.

Source: L. Yuan, F. Tay, G. Li, T. Wang, J. Feng, "Revisiting Knowledge Distillation via Label
Smoothing Regularization", CVPR 2020.

    L = (1 - a) CE(e_y, p(z)) + a (m / K) T^2 KL( p(z_teacher; T) || p(z; T) )

The teacher sees the same augmented image, in evaluation mode. Paper and public code differ: the
paper has no m / K, which is m = K here; the code averages the KL over the K classes too and has a
multiplier m, 1 for most networks and 10 or 50 for some. At m = K, a 0.95 and T 6 the term's
gradient is several times a cross-entropy's, and training the teaching MLP diverges. The code's a is
0.95 with a T of 6 for ResNet-18 on CIFAR-100. Passes: 1 and the teacher's 1, after a first
training, which an equal-images budget counts as half of it. Memory: a second network.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from toastlab.errors import check_types, in_range
from toastlab.losses import Loss, past_kl, soft_cross_entropy
from toastlab.methods.base import TEMPERATURES, Method, MethodConfig
from toastlab.stream import Batch


@dataclass(frozen=True)
class TfKdSelfConfig(MethodConfig):
    """Tf-KD, self form: the same network trained before is the teacher."""

    name: ClassVar[str] = "tf-kd-self"
    needs_teacher: ClassVar[bool] = True

    weight: float = 0.95  # Share a of the teacher, in [0, 1].
    temperature: float = 6.0  # Temperature T, 0.01 to 1000.
    # Factor m of the public code on the KL, 0 to 100000; K, the number of classes, is the paper's.
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        in_range("weight", self.weight, 0, 1)
        in_range("temperature", self.temperature, *TEMPERATURES)
        in_range("multiplier", self.multiplier, 0, 1e5)

    def build(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> "TfKdSelf":
        """Tf-KD self; give it its teacher with `teach`."""
        return TfKdSelf(self, labels, num_classes, batch_size, generator)


class TfKdSelf(Method):
    """Tf-KD with a trained teacher."""

    memory = "a second network"
    spent_before = 0.5

    def __init__(
        self,
        config: TfKdSelfConfig,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(labels, num_classes, batch_size, generator)
        self.config = config
        self.teacher: nn.Module | None = None
        self.taught: Tensor | None = None  # [B, K], the teacher's logits of this batch

    @property
    def passes(self) -> int:
        """The student's and the teacher's."""
        return 2 * self.places

    def teach(self, teacher: nn.Module) -> None:
        """The network to learn from; it is not changed any more."""
        self.teacher = teacher.eval().requires_grad_(False)

    def answer(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """The student's logits [B, K]; the teacher's are kept for the loss."""
        if self.teacher is None:
            raise ValueError("tf-kd-self has no teacher yet: call method.teach(network) first.")
        with torch.no_grad():
            self.taught = self.teacher(images)
        return super().answer(model, images, batch)

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """(1 - a) CE + a (m / K) T^2 KL; logits are [B, K]."""
        assert self.taught is not None
        cfg = self.config
        hard = soft_cross_entropy(logits, self.targets(batch)).mean()
        kl = past_kl(logits, self.taught, cfg.temperature).mean()
        scale = cfg.weight * cfg.multiplier / self.num_classes
        total = (1 - cfg.weight) * hard + scale * kl
        return Loss(total, {"stage1": hard.detach(), "distillation": kl.detach()})
