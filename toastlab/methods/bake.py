"""BAKE, batch knowledge ensembling: similar images of the batch agree on a soft target.

Source: Y. Ge, X. Zhang, C. Choi, K. Cheung, P. Zhao, F. Zhu, X. Wang, R. Zhao, H. Li,
"Self-distillation with Batch Knowledge Ensembling Improves ImageNet Classification", 2021.

    L = CE(e_y, p(z)) + lambda T^2 KL( sg Q || p(z; T) )
    Q = (1 - w) (I - w A)^-1 p(Z; T)       A: softmax over the batch of the features' cosines,
                                              an image's own left out

Beside each of B / (M + 1) anchors stand M other images of its class, as in the public code: all
different, or drawn with replacement where the class has fewer than M others. An image that is the
only one of its class, with which the public code fails, stands beside itself. The features are what
the last linear layer takes in. In the public script an "epoch" has as many anchors as there are
samples, so that it passes M + 1 times the images of its own baseline. Passes: M + 1 per anchor.
Memory: [B, B] within a step.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toastlab.core.class_index import ClassIndex
from toastlab.core.errors import BadValue
from toastlab.core.hooks import last_linear, watched
from toastlab.core.losses import Loss, probability_kl, soft_cross_entropy
from toastlab.core.settings import Range, ShareBelowOne, Temperature, Weight
from toastlab.core.stream import Batch, Stream
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.guard import RUN_MODEL, given
from toastlab.methods.plan import Plan


@dataclass(frozen=True)
class BakeConfig(MethodConfig):
    """BAKE: soft targets ensembled over similar images of the batch."""

    name: ClassVar[str] = "bake"

    weight: Weight = 1.0  # Weight lambda of the distillation, 0 to 1000.
    temperature: Temperature = 4.0  # Temperature T, 0.01 to 1000.
    ensemble: ShareBelowOne = 0.5  # Weight w of the other images, in [0, 1).
    # Images M of the same class beside each anchor, 0 to 1000; M + 1 divides B.
    companions: Annotated[int, Range(0, 1000)] = 3


class Bake(Method, config=BakeConfig):
    """BAKE: a batch is its anchors, then all first companions, all second ones, ..."""

    joins = False
    config: BakeConfig
    head: nn.Linear | None

    def make_state(self) -> None:
        """The samples by class; a batch must divide into anchors with their companions."""
        many = self.config.companions
        if self.batch_size % (many + 1):
            raise BadValue(
                f"batch size {self.batch_size} is not a multiple of {many + 1}, an anchor and its "
                f"{many} companions: change --batch-size or --companions."
            )
        self.class_index = ClassIndex(self.labels, self.num_classes, self.generator)
        self._refer("head", None)  # the network's last linear layer
        self.features: Tensor | None = None  # [B, F] of this batch

    @property
    def new_per_batch(self) -> int:
        """The anchors."""
        return self.batch_size // (self.config.companions + 1)

    def setup(self, model: nn.Module, images: Tensor, plan: Plan) -> None:
        """Finds the layer in front of which the features lie."""
        super().setup(model, images, plan)
        self._refer("head", last_linear(model))

    def next_batch(self, stream: Stream) -> Batch:
        """New anchors with M images of their class each."""
        index, images = self._draw_new(stream, self.new_per_batch)
        many = self.config.companions
        others = self.class_index.draw_others(index, self.labels[index], many).flatten()
        images = torch.cat([images, stream.fetch(others)])
        return self._batch(torch.cat([index, others]), images)

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """The logits [B, K]; the features are kept for the loss."""
        head = self.head if self.head is not None else last_linear(model)
        with watched(head) as seen:
            logits = super().run_model(model, images, batch)
        self.features = seen[-1].detach()
        return logits

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """CE + lambda T^2 KL to the ensembled target; logits are [B, K]."""
        cfg, features = self.config, given(self, self.features, RUN_MODEL)
        hard = soft_cross_entropy(logits, self.targets(batch)).mean()
        p = (logits.detach().float() / cfg.temperature).softmax(1)
        soft = ensemble(features, p, cfg.ensemble)
        kl = probability_kl(logits, soft, cfg.temperature).mean()
        total = hard + cfg.weight * kl
        return Loss(total, {"stage1": hard.detach(), "distillation": kl.detach()})

    def _note(self, logits: Tensor, batch: Batch) -> None:
        """Only the anchors count as visited; a companion may be another anchor's too."""
        n, pure = self.new_per_batch, batch.pure
        pure = None if pure is None else pure[:n]
        self.bank.write(batch.index[:n], logits[:n], pure, batch.carried[:n])


def ensemble(features: Tensor, p: Tensor, weight: float) -> Tensor:
    """Q = (1 - w) (I - w A)^-1 P, rows of probabilities.

    Args:
        features: [B, F], B at least 2; p: [B, K] probabilities; weight: w in [0, 1).

    Returns:
        [B, K] float32.
    """
    f = F.normalize(features.float(), dim=1)
    own = torch.eye(len(f), device=f.device)
    closeness = (f @ f.T).masked_fill(own.bool(), -torch.inf).softmax(1)
    # linalg.solve_ex does not ask the device whether it worked; I - w A is never singular
    solved = torch.linalg.solve_ex(own - weight * closeness, p)[0]
    return (1 - weight) * solved
