"""Tf-KD, self-training form: the teacher is the same network, trained before with cross-entropy.

Source: L. Yuan, F. Tay, G. Li, T. Wang, J. Feng, "Revisiting Knowledge Distillation via Label
Smoothing Regularization", CVPR 2020.

    L = (1 - a) CE(e_y, p(z)) + a (m / 100) T^2 KL( p(z_teacher; T) || p(z; T) )

The teacher sees the same augmented image, in evaluation mode. The public code averages the KL over
the batch and over the K classes and multiplies it by m; all its settings are for the 100 classes of
CIFAR-100, so that there m / K is m / 100. Here 100 stays where K is another: m then weighs the KL
against the cross-entropy as it did where it was chosen. (With m / K, the default would be ten times
as heavy at K = 10; the teaching MLP diverged with it on clean labels, in the second epoch of seeds
0 to 2.) The paper's formula has no m; m = 100 gives it.

The defaults are the three numbers of the public code for ResNet-18 on CIFAR-100: a 0.95, T 6, m 50.
Its other networks with an m have T 20 and a 0.95, m 1 (MobileNetV2, ShuffleNetV2), a 0.9, m 50
(DenseNet-121), a 0.4, m 50 (GoogLeNet) or a 0.9, m 100 (ResNeXt-29). Passes: 1 and the teacher's 1,
after a first training, which an equal-images budget counts as half of it. Memory: a second network.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from toastlab.core.losses import Loss, past_kl, soft_cross_entropy
from toastlab.core.settings import Multiplier, Share, Temperature
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.guard import RUN_MODEL, SET_TEACHER, given

CLASSES = 100  # CIFAR-100's, over which the public code's mean goes and for which its m was chosen


@dataclass(frozen=True)
class TfKdSelfConfig(MethodConfig):
    """Tf-KD, self form: the same network trained before is the teacher."""

    name: ClassVar[str] = "tf-kd-self"
    needs_teacher: ClassVar[bool] = True

    weight: Share = 0.95  # Share a of the teacher, in [0, 1].
    temperature: Temperature = 6.0  # Temperature T, 0.01 to 1000.
    # Factor m of the public code on the KL, for its 100 classes, 0 to 100000; 100 is the paper's.
    multiplier: Multiplier = 50.0


class TfKdSelf(Method, config=TfKdSelfConfig):
    """Tf-KD with a trained teacher."""

    spent_before = 0.5

    config: TfKdSelfConfig
    teacher: nn.Module | None

    def make_state(self) -> None:
        """No teacher yet."""
        self._refer("teacher", None)  # not this module's own: it comes back with `set_teacher`
        self.taught: Tensor | None = None  # [B, K], the teacher's logits of this batch

    @property
    def passes(self) -> int:
        """The student's and the teacher's."""
        return 2 * self.images_per_batch

    def lacks(self) -> str:
        """The teacher, until there is one."""
        return SET_TEACHER if self.teacher is None else super().lacks()

    def set_teacher(self, teacher: nn.Module) -> None:
        """The network to learn from; it is not changed any more."""
        self._refer("teacher", teacher.eval().requires_grad_(False))

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """The student's logits [B, K]; the teacher's are kept for the loss."""
        teacher = given(self, self.teacher, SET_TEACHER)
        with torch.no_grad():
            self.taught = teacher(images)
        return super().run_model(model, images, batch)

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """(1 - a) CE + a (m / 100) T^2 KL; logits are [B, K]."""
        cfg = self.config
        hard = soft_cross_entropy(logits, self.targets(batch)).mean()
        taught = given(self, self.taught, RUN_MODEL)
        kl = past_kl(logits, taught, cfg.temperature).mean()
        scale = cfg.weight * cfg.multiplier / CLASSES
        total = (1 - cfg.weight) * hard + scale * kl
        return Loss(total, {"stage1": hard.detach(), "distillation": kl.detach()})
