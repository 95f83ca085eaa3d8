"""CS-KD, class-wise self-knowledge distillation: another image of the class is the teacher.

Source: S. Yun, J. Park, K. Lee, J. Shin, "Regularizing Class-wise Predictions via Self-knowledge
Distillation", CVPR 2020.

    L = CE(e_y, p(z)) + lambda T^2 KL( sg p(z'; T) || p(z; T) )        x' another image of class y

The partner goes through the network in training mode, so it moves batch-norm statistics; it may be
the anchor itself, as in the public code. Passes: 1 with a gradient, 1 without. Memory: nothing.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from toastlab.core.class_index import ClassIndex
from toastlab.core.losses import Loss, past_kl, soft_cross_entropy
from toastlab.core.settings import Temperature, Weight
from toastlab.core.stream import Batch, Stream
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class CsKdConfig(MethodConfig):
    """CS-KD: agreement with another image of the same class."""

    name: ClassVar[str] = "cs-kd"

    weight: Weight = 1.0  # Weight lambda of the distillation, 0 to 1000.
    temperature: Temperature = 4.0  # Temperature T, 0.01 to 1000.


class CsKd(Method, config=CsKdConfig):
    """CS-KD: a batch is B anchors, then their B partners."""

    admits_mix = False  # which of two mixed classes would the partner be of?

    joins = False
    config: CsKdConfig

    def make_state(self) -> None:
        """The samples by class, for partners."""
        self.class_index = ClassIndex(self.labels, self.num_classes, self.generator)

    @property
    def images_per_batch(self) -> int:
        """B anchors and B partners."""
        return 2 * self.batch_size

    @property
    def new_per_batch(self) -> int:
        """The anchors."""
        return self.batch_size

    @property
    def gradients(self) -> int:
        """The anchors."""
        return self.batch_size

    def next_batch(self, stream: Stream) -> Batch:
        """New anchors, and an image of the same class for each."""
        index, images = self._draw_new(stream, self.batch_size)
        partner = self.class_index.draw(self.labels[index])
        images = torch.cat([images, stream.fetch(partner)])
        return self._batch(torch.cat([index, partner]), images)

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """[2B, K]: the anchors' logits with a gradient, the partners' without."""
        anchors, partners = images.chunk(2)
        logits: Tensor = model(anchors)
        with torch.no_grad():
            taught: Tensor = model(partners)
        return torch.cat([logits, taught])

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """CE of the anchors + lambda T^2 KL to their partners; logits are [2B, K]."""
        cfg, half = self.config, self.batch_size
        own, other = logits[:half], logits[half:]
        hard = soft_cross_entropy(own, self.targets(batch)[:half]).mean()
        kl = past_kl(own, other, cfg.temperature).mean()
        total = hard + cfg.weight * kl
        return Loss(total, {"stage1": hard.detach(), "distillation": kl.detach()})

    def _note(self, logits: Tensor, batch: Batch) -> None:
        """Only the anchors count as visited."""
        half = self.batch_size
        self.bank.write(batch.index[:half], logits[:half], None, batch.carried[:half])
