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
from toastlab.core.state import Stateful
from toastlab.core.stream import Batch, Stream
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class DlbConfig(MethodConfig):
    """DLB: every sample twice in a row, distilled from the first time."""

    name: ClassVar[str] = "dlb"

    weight: Weight = 1.0  # Weight a of the distillation, 0 to 1000.
    temperature: Temperature = 3.0  # Temperature T, 0.01 to 1000.
    joint: bool = False  # Both halves in one pass; the public code makes two.


class Again(Stateful):
    """What comes again: `index` [H] int64, `logits` [H, K]; `count` [] of them, 0 or H = B/2."""

    index: Tensor
    logits: Tensor
    count: Tensor

    def __init__(self, size: int, num_classes: int, device: torch.device) -> None:
        super().__init__()
        self.size = size
        whole = {"dtype": torch.int64, "device": device}
        self.add_state("index", torch.zeros(size, **whole), "own")  # type: ignore[call-overload]
        self.add_state("logits", torch.zeros(size, num_classes, device=device), "own")
        self.add_state("count", torch.zeros((), **whole), "own")  # type: ignore[call-overload]


class Dlb(Method, config=DlbConfig):
    """DLB; `again` is the half that comes again."""

    mixed_carry = "repeat"  # the same mix again, since the past prediction was made of it
    joins = False
    config: DlbConfig

    def make_state(self) -> None:
        """Nothing comes again in the first batch."""
        self.again = Again(self.batch_size // 2, self.num_classes, self.labels.device)

    @property
    def new_per_batch(self) -> int:
        """The new half."""
        return self.again.size

    def steps(self, stream: Stream) -> int:
        """As of `Method`; of mixed images one less, since the first of an epoch repeats nothing."""
        steps = super().steps(stream)
        return max(1, steps - 1) if self.plan.mixes and self.plan.budget == "samples" else steps

    def next_batch(self, stream: Stream) -> Batch:
        """The last batch's new half again, then new samples."""
        again = self.again
        index, images = stream.draw(again.index, again.count, self.images_per_batch)
        carried = torch.arange(self.images_per_batch, device=index.device) < again.count
        past = F.pad(again.logits, (0, 0, 0, again.size))
        return self._batch(index, images, carried, past)

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """[B, K], the new half first through the network, then the repeated one."""
        if self.config.joint:
            return super().run_model(model, images, batch)
        new: Tensor = model(images[self.again.size :])
        repeated: Tensor = model(images[: self.again.size])
        return torch.cat([repeated, new])

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """CE + a T^2 KL over the repeated half; logits are [B, K]."""
        kl = past_kl(logits, batch.past, self.config.temperature)
        hard = soft_cross_entropy(logits, self.targets(batch))
        return combine(hard, masked_mean(kl, batch.carried), self.config.weight)

    def _note(self, logits: Tensor, batch: Batch) -> None:
        """The new half comes again."""
        super()._note(logits, batch)
        size = self.again.size
        self.again.index = batch.index[size:]
        self.again.logits = logits.detach().float()[size:]
        self.again.count = torch.full_like(self.again.count, size)

    def _finish_epoch(self) -> None:
        """The new half comes again in the next epoch, unless its mix is forgotten by then."""
        if self.plan.mixes:
            self.again.count = torch.zeros_like(self.again.count)
