"""OLS, online label smoothing: a class's soft target is its mean right prediction, last epoch.

Source: C.-B. Zhang, P.-T. Jiang, Q. Hou, Y. Wei, Q. Han, Z. Li, M.-M. Cheng, "Delving Deep into
Label Smoothing", IEEE TIP 2021.

    L = w CE(e_y, p(z)) + (1 - w) CE(S_y, p(z))
    S_c: mean softmax over the last epoch's correctly classified samples of class c

The public code starts with S = 0, so that its first epoch is w times a cross-entropy: first "zero".
The default "hard" keeps the scale of the loss; "uniform" is label smoothing for one epoch. A class
with no correct sample gets a uniform row. Passes: 1. Memory: [K, K].
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from toastlab.core.settings import Share
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class OlsConfig(MethodConfig):
    """OLS: online label smoothing by the mean right prediction of the class."""

    name: ClassVar[str] = "ols"

    weight: Share = 0.5  # Share w of the hard label, in [0, 1].
    # Soft targets of the first epoch: hard, uniform or zero.
    first: Literal["hard", "uniform", "zero"] = "hard"


class Ols(Method, config=OlsConfig):
    """OLS; `sums` [K, K] and `counts` [K] gather the epoch's right predictions."""

    added_states = ("sums", "counts")  # which are zero where an epoch ends
    config: OlsConfig
    sums: Tensor
    counts: Tensor
    hard: Tensor

    def make_state(self) -> None:
        """The sums, and the targets of the first epoch."""
        self.add_state("sums", torch.zeros_like(self.table), "sum")
        self.add_state("counts", self.table.new_zeros(self.num_classes), "sum")
        self.register_buffer("hard", self.table, persistent=False)
        first = {"hard": self.hard, "zero": torch.zeros_like(self.hard)}
        uniform = torch.full_like(self.hard, 1 / self.num_classes)
        soft = first.get(self.config.first, uniform)
        self.table = torch.lerp(soft, self.hard, self.config.weight)

    def _note(self, logits: Tensor, batch: Batch) -> None:
        """Adds the right predictions of unmixed images to their class."""
        super()._note(logits, batch)
        p = logits.detach().float().softmax(1)
        right = (p.argmax(1) == batch.labels) & (batch.weight == 1)
        # a product with one-hot rows: the same sum on every device, in the same order
        rows = self.hard[batch.labels] * right[:, None]
        self.sums += rows.T @ p
        self.counts += rows.sum(0)

    @torch.no_grad()
    def _finish_epoch(self) -> None:
        """S of the epoch that just ended; a new sum begins."""
        mean = self.sums / self.counts[:, None].clamp(min=1)
        soft = torch.where(self.counts[:, None] > 0, mean, 1 / self.num_classes)
        self.table = torch.lerp(soft, self.hard, self.config.weight)
        self.sums.zero_()
        self.counts.zero_()
