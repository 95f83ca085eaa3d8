"""DLB, distillation from the last mini-batch: every sample comes twice, the second time with
what was said of it the first time.

Source: Y. Shen, L. Xu, Y. Yang, Y. Li, Y. Guo, "Self-Distillation from the Last Mini-Batch for
Consistency Regularization", CVPR 2022.

    L = CE over both halves + a T^2 mean over the repeated half of KL( sg p(z_prev; T) || p(z; T) )

A batch of B is B/2 new images and the B/2 new ones of the batch before, augmented again. The halves
go through the network separately, as in the public code, batch-norm statistics too; `joint` passes
them together. The paper speaks of half the iterations, its code runs them all: with it an epoch of
N samples passes 2 N images. The very first batch has B new images, of which the second half is
repeated. Passes: 2. Memory: the indices and logits of B/2 images.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toastlab.core.losses import Loss, combine, masked_mean, past_kl, soft_cross_entropy
from toastlab.core.settings import Temperature, Weight
from toastlab.core.stream import Batch, Stream
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class DlbConfig(MethodConfig):
    """DLB: every sample twice in a row, distilled from the first time."""

    name: ClassVar[str] = "dlb"

    weight: Weight = 1.0  # Weight a of the distillation, 0 to 1000.
    temperature: Temperature = 3.0  # Temperature T, 0.01 to 1000.
    joint: bool = False  # Both halves in one pass; the public code makes two.

    def build(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> "Dlb":
        """DLB with its state on the labels' device."""
        return Dlb(self, labels, num_classes, batch_size, generator)


class Dlb(Method):
    """DLB; `index` [B/2], `logits` [B/2, K] and `count` [] are what comes again."""

    mixed_carry = "repeat"  # the same mix again, since the past prediction was made of it
    memory = "[B/2] indices, [B/2, K]"
    local = ("generator", "again.")

    def __init__(
        self,
        config: DlbConfig,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(labels, num_classes, batch_size, generator)
        self.config, self.half = config, batch_size // 2
        self.index = torch.zeros(self.half, dtype=torch.int64, device=labels.device)
        self.logits = torch.zeros(self.half, num_classes, device=labels.device)
        self.count = torch.zeros((), dtype=torch.int64, device=labels.device)

    @property
    def new_per_batch(self) -> int:
        """The new half."""
        return self.half

    def steps(self, stream: Stream) -> int:
        """As of `Method`; of mixed images one less, since the first of an epoch repeats nothing."""
        found = super().steps(stream)
        return max(1, found - 1) if self.plan.mixes and self.plan.budget == "samples" else found

    def next_batch(self, stream: Stream) -> Batch:
        """The last batch's new half again, then new samples."""
        index, images = stream.draw(self.index, self.count, self.images_per_batch)
        carried = torch.arange(self.images_per_batch, device=index.device) < self.count
        past = F.pad(self.logits, (0, 0, 0, self.half))
        return self._batch(stream, index, images, carried, past)

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """[B, K], the new half first through the network, then the repeated one."""
        if self.config.joint:
            return super().run_model(model, images, batch)
        new: Tensor = model(images[self.half :])
        again: Tensor = model(images[: self.half])
        return torch.cat([again, new])

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """CE + a T^2 KL over the repeated half; logits are [B, K]."""
        kl = past_kl(logits, batch.past, self.config.temperature)
        hard = soft_cross_entropy(logits, self.targets(batch))
        return combine(hard, masked_mean(kl, batch.carried), self.config.weight)

    @torch.no_grad()
    def update(self, logits: Tensor, batch: Batch) -> None:
        """The new half comes again."""
        super().update(logits, batch)
        self.index = batch.index[self.half :]
        self.logits = logits.detach().float()[self.half :]
        self.count = torch.full_like(self.count, self.half)

    def end_epoch(self) -> None:
        """The new half comes again in the next epoch, unless its mix is forgotten by then."""
        if self.plan.mixes:
            self.count = torch.zeros_like(self.count)

    def state(self) -> dict[str, Tensor]:
        """The tensors of `Method`, and what comes again."""
        mine = {"again.index": self.index, "again.logits": self.logits, "again.count": self.count}
        return super().state() | mine
