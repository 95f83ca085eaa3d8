"""ELR, early-learning regularisation: keep to what was said early, before wrong labels were learnt.

Source: S. Liu, J. Niles-Weed, N. Razavian, C. Fernandez-Granda, "Early-Learning Regularization
Prevents Memorization of Noisy Labels", NeurIPS 2020.

    t_i <- b t_i + (1 - b) p(z_i)                                               t_i begins as 0
    L = CE(e_y, p(z)) + lambda mean_i log(1 - <t_i, p(z_i)>)

The second term falls as the prediction comes closer to t_i: it is never above 0, and the loss may
be negative. Only p has a gradient; t_i takes in this very prediction before the loss.

Where paper and public code (shengliu66/ELR) differ this is the code: it clamps p to
[1e-4, 1 - 1e-4], in the inner product too, so that the logarithm stays above log 1e-4 and
probabilities beyond get no gradient of the second term; and t_i takes in the clamped p divided by
its sum. Defaults are the code's for CIFAR-10 with symmetric noise (b 0.9 and lambda 1 with
asymmetric noise; on CIFAR-100 b 0.9, lambda 7). ELR+, with two networks and Mixup, is not here.

Mixed images: <t, p> takes both samples' t, mixed as the images were, as ELR+ does; t takes in what
is said of unmixed images only (ELR+ makes a pass of its own for that). Passes: 1. Memory: [N, K].
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from toastlab.core.losses import Loss, soft_cross_entropy, wide
from toastlab.core.settings import ShareBelowOne, Weight
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.memory import Memory

LEAST = 1e-4  # no probability is below it, none above 1 - it


@dataclass(frozen=True)
class ElrConfig(MethodConfig):
    """ELR: a term that holds predictions to their own moving average."""

    name: ClassVar[str] = "elr"

    weight: Weight = 3.0  # Weight lambda of the second term, 0 to 1000.
    keep: ShareBelowOne = 0.7  # Share b of the average that stays at each visit, in [0, 1).


class Elr(Method, config=ElrConfig):
    """ELR; `memory` holds the averages."""

    config: ElrConfig
    memory: Memory

    def make_state(self) -> None:
        """Averages of nothing."""
        self.memory = Memory(self.table.new_zeros(len(self.labels), self.num_classes))

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """CE + lambda mean log(1 - <t, p>); logits are [B, K]."""
        hard = soft_cross_entropy(logits, self.targets(batch)).mean()
        own = self.memory.after(batch, _said(logits), self.config.keep)
        agreement = (self.memory.mixed(batch, own) * _clamped(logits)).sum(1)
        regulariser = (1 - agreement).log().mean()
        total = hard + self.config.weight * regulariser
        return Loss(total, {"stage1": hard.detach(), "regulariser": regulariser.detach()})

    def _note(self, logits: Tensor, batch: Batch) -> None:
        """The averages of unmixed images take in what was said."""
        super()._note(logits, batch)
        self.memory.note(batch, _said(logits), self.config.keep)


def _clamped(logits: Tensor) -> Tensor:
    """p of logits [B, K], no longer of sum 1."""
    return wide(logits).softmax(1).clamp(LEAST, 1 - LEAST)


def _said(logits: Tensor) -> Tensor:
    """What t takes in, float32: p of logits [B, K], clamped, of sum 1 again, without a gradient."""
    p = _clamped(logits.detach())
    return (p / p.sum(1, keepdim=True)).float()
