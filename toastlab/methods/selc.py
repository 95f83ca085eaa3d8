"""SELC, self-ensemble label correction: first the labels, then their blend with past predictions.

Source: Y. Lu, W. He, "SELC: Self-Ensemble Label Correction Improves Learning with Noisy Labels",
IJCAI 2022.

    until epoch es:  L = CE(e_y, p(z))
    then:            t_i <- k t_i + (1 - k) p(z_i),  L = CE(t_i, p(z_i))        t_i begins as e_y

t_i takes in this very prediction before the loss, without a gradient, as in the public code.

The public code (MacLLL/SELC) has es in a table by data set and noise rate: of 200 epochs 40, 30, 30
and 40 for CIFAR-10 with 20, 40, 60 and 80 % symmetric noise. Whoever looks it up there has been
told the rate. Here es is one share of the planned epochs, whatever the noise; the default is 40 of
200. It is rounded up, so that any share above 0 leaves the labels alone for an epoch. Without a
plan there is no es: `setup` must be called, and leaving it out is an error.

Mixed images (ours; the source has none): a target is mixed of both samples' t, and t takes in what
is said of unmixed images only. Passes: 1. Memory: [N, K].
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from toastlab.core.losses import Loss, soft_cross_entropy
from toastlab.core.settings import Share
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.memory import Memory


@dataclass(frozen=True)
class SelcConfig(MethodConfig):
    """SELC: labels that past predictions correct, from a share of the epochs on.

    Example:
        >>> import torch
        >>> method = SelcConfig(keep=0.9).build(torch.tensor([0, 1]), 2, 2)
        >>> method.memory.rows.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    name: ClassVar[str] = "selc"

    start: Share = 0.2  # Share of the epochs in which labels stay as they are, in [0, 1].
    keep: Share = 0.9  # Share k of a target that stays at each visit, in [0, 1].


class Selc(Method, config=SelcConfig):
    """SELC. `epoch` counts from 0; `memory` holds the targets."""

    needs_plan = True
    config: SelcConfig
    epoch: Tensor
    memory: Memory

    def make_state(self) -> None:
        """The epoch, and targets that are still the labels."""
        zero = torch.zeros((), dtype=torch.int64, device=self.table.device)
        self.add_state("epoch", zero, "same")
        self.memory = Memory(self.table[self.labels])

    @property
    def keep(self) -> Tensor:
        """[] k of this epoch, on the device; 1 while labels stay as they are."""
        # to nine digits: 0.07 of 100 epochs are 7, which in floating point is a little more
        first = math.ceil(round(self.config.start * self.plan.epochs, 9))
        return torch.where(self.epoch >= first, self.config.keep, 1.0)

    def targets(self, batch: Batch) -> Tensor:
        """[B, K]: the labels as they have been corrected before this visit, mixed as the images."""
        self._check_ready()
        return self.memory.mixed(batch, self.memory.rows[batch.index])

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Mean cross-entropy [] of the logits [B, K] to the targets that they correct first."""
        self._check_ready()
        own = self.memory.after(batch, logits.detach().float().softmax(1), self.keep)
        total = soft_cross_entropy(logits, self.memory.mixed(batch, own)).mean()
        return Loss(total, {"stage1": total.detach()})

    def _note(self, logits: Tensor, batch: Batch) -> None:
        """The targets of unmixed images move towards what was said."""
        super()._note(logits, batch)
        self.memory.note(batch, logits.detach().float().softmax(1), self.keep)

    @torch.no_grad()
    def _finish_epoch(self) -> None:
        """One epoch more."""
        self.epoch += 1
