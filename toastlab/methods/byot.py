"""BYOT, be your own teacher: exits on the way through the network learn from its end.

Source: L. Zhang, J. Song, A. Gao, J. Chen, C. Bao, K. Ma, "Be Your Own Teacher: Improve the
Performance of Convolutional Neural Networks via Self Distillation", ICCV 2019.

    L = (1 - a) sum over end and exits of CE + a T^2 sum over exits of KL( sg p(z; T) || p(z_e; T) )
        + b sum over exits of || f_e - sg f ||^2

This is the loss of a well-known re-implementation (luanyunteng/pytorch-be-your-own-teacher, commit
8045079), from which also come the three defaults, the T^2, the weight 1 - a on the end's own CE and
the sums of b's term over batch and features. (It leaves out entries where both features are at most
0; after a ReLU that is the same.) The code that the authors released later (ArchipLab-LinfengZhang/
pytorch-self-distillation-final, commit 47ca93b) differs: the end's CE has weight 1, there is no
T^2, the feature term is a norm, not its square, behind an adapter layer, and a, T and b are 0.3, 3
and 0.03.

Our exits are smaller than the paper's bottlenecks: one 3 x 3 convolution of stride 2 to the width
of the last features, batch norm, ReLU, the mean over the pixels, a linear layer; for flat features
a linear layer, ReLU, and a linear layer. Only the end is used afterwards: the network itself stays
as it is. Passes: 1, through a larger network. Memory: the exits.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from toastlab.core.errors import BadValue
from toastlab.core.hooks import exits, last_linear, watched
from toastlab.core.losses import Loss, past_kl, soft_cross_entropy
from toastlab.core.settings import Share, Temperature, Weight
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.guard import RUN_MODEL, SETUP, given
from toastlab.methods.plan import Plan


@dataclass(frozen=True)
class ByotConfig(MethodConfig):
    """BYOT: exits inside the network, taught by its end."""

    name: ClassVar[str] = "byot"

    weight: Share = 0.1  # Share a of the distillation, in [0, 1].
    temperature: Temperature = 3.0  # Temperature T, 0.01 to 1000.
    feature_weight: Weight = 1e-6  # Weight b of the features' distance, 0 to 1000.
    exits: str = ""  # Modules to put exits behind, with commas; empty: those of our networks.


class Byot(Method, config=ByotConfig):
    """BYOT; `extra` holds the exits."""

    needs_plan = True

    config: ByotConfig
    head: nn.Linear | None

    def make_state(self) -> None:
        """Nothing yet: the exits are built by `setup`."""
        self._refer("head", None)  # the network's last linear layer
        self.stages: list[nn.Module] = []
        self.end: Tensor | None = None  # [B, F], this batch's last features
        self.answers: list[tuple[Tensor, Tensor]] = []  # of each exit: features [B, F], logits

    def setup(self, model: nn.Module, images: Tensor, plan: Plan) -> None:
        """Builds the exits for what the stages put out.

        Raises:
            ValueError: it is not known where, or there is no such module.
        """
        super().setup(model, images, plan)
        named = dict(model.named_modules())
        wanted = [n.strip() for n in self.config.exits.split(",") if n.strip()] or exits(model)
        missing = [n for n in wanted if n not in named]
        if missing:
            raise BadValue(f"the network has no module {missing[0]!r} to put an exit behind.")
        head, self.stages = last_linear(model), [named[n] for n in wanted]
        self._refer("head", head)
        training = model.training
        with torch.no_grad(), watched(head, self.stages) as seen:
            model.eval().forward(images)  # not a compiled call, which may not see the hooks
        model.train(training)
        with images.device:
            self.extra = nn.ModuleList(
                _exit(out, head.in_features, self.num_classes) for out in seen[:-1]
            )

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """The end's logits [B, K]; those of the exits are kept for the loss."""
        parts = given(self, self.extra, SETUP).children()
        with watched(given(self, self.head, SETUP), self.stages) as seen:
            logits = super().run_model(model, images, batch)
        self.end = seen[-1].detach()
        self.answers = []
        for part, out in zip(parts, seen[:-1], strict=True):
            body, classify = part.children()
            features = body(out)
            self.answers.append((features, classify(features)))
        return logits

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """The sum above; logits are [B, K]."""
        cfg, targets = self.config, self.targets(batch)
        end = given(self, self.end, RUN_MODEL).float()
        hard = soft_cross_entropy(logits, targets).mean()
        labelled, taught, hint = hard, hard.new_zeros(()), hard.new_zeros(())
        for features, out in self.answers:
            labelled = labelled + soft_cross_entropy(out, targets).mean()
            taught = taught + past_kl(out, logits, cfg.temperature).mean()
            hint = hint + (features.float() - end).square().sum()
        # the hint is a sum over the batch, where the gradients are a mean over the ranks
        scale = cfg.feature_weight * self.plan.ranks
        total = (1 - cfg.weight) * labelled + cfg.weight * taught + scale * hint
        return Loss(total, {"stage1": hard.detach(), "distillation": taught.detach()})

    def _note(self, logits: Tensor, batch: Batch) -> None:
        super()._note(logits, batch)
        self.end, self.answers = None, []  # they would keep the activations of the step


def _exit(out: Tensor, width: int, num_classes: int) -> nn.Module:
    """Features [B, width] and logits from a stage's output, [B, C, H, W] or [B, F]."""
    body: nn.Module
    if out.ndim == 4:
        body = nn.Sequential(
            nn.Conv2d(out.shape[1], width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
    else:
        body = nn.Sequential(nn.Linear(out.shape[1], width), nn.ReLU())
    return nn.Sequential(body, nn.Linear(width, num_classes))
