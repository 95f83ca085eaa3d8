"""PS-KD, progressive self-knowledge distillation: the last epoch's prediction softens the target.

Source: K. Kim, B. Ji, D. Yoon, S. Hwang, "Self-Knowledge Distillation with Progressive Refinement
of Targets", ICCV 2021.

    L = CE( (1 - a_t) e_y + a_t p_{last epoch}(x), p(z) )       a_t = a_T (t + 1) / epochs

t counts from 0, and a_t stays at a_T where training goes on beyond the planned epochs. Without a
plan there is no a_t: `setup` must be called, and leaving it out is an error.

Two ways to have the last epoch's prediction: "stored" takes what the network said at the sample's
last visit, in training mode and of another view (no extra pass; the public code keeps these in host
memory, here they lie in the bank on the device), "network" asks a copy of the network as it was at
the end of the last epoch, in evaluation mode, about the same view. In the first epoch the target is
hard. Passes: 1, or 2 with "network". Memory: [N, K], or a second network.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from toastlab.core.settings import Share
from toastlab.core.stream import Batch
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.guard import RUN_MODEL, given
from toastlab.methods.plan import Plan


@dataclass(frozen=True)
class PsKdConfig(MethodConfig):
    """PS-KD: targets softened by the last epoch's predictions."""

    name: ClassVar[str] = "ps-kd"

    final_weight: Share = 0.8  # Share a_T of the past prediction in the last epoch, in [0, 1].
    # Past: the last visit's logits (stored), or a copy of the last epoch's network (network).
    source: Literal["stored", "network"] = "stored"


class PsKd(Method, config=PsKdConfig):
    """PS-KD. `epoch` counts from 0; `extra` holds the copy of the network, if one is kept."""

    needs_plan = True

    config: PsKdConfig
    epoch: Tensor
    model: nn.Module | None

    def make_state(self) -> None:
        """The epoch, and room for the network that is copied."""
        self.add_state("epoch", torch.zeros_like(self.labels[0]), "same")
        self.reads_bank = self.config.source == "stored"
        self._refer("model", None)  # the network that is trained
        self.past: Tensor | None = None  # [B, K] probabilities of this batch, from the copy

    @property
    def passes(self) -> int:
        """The network's, and those of its copy."""
        return self.images_per_batch * (2 if self.config.source == "network" else 1)

    @property
    def weight(self) -> Tensor:
        """[] a_t of this epoch, on the device; never above a_T."""
        done = (self.epoch + 1).clamp(max=self.plan.epochs)
        return self.config.final_weight * done / self.plan.epochs

    def setup(self, model: nn.Module, images: Tensor, plan: Plan) -> None:
        """Notes the epochs and, with source "network", copies the network."""
        super().setup(model, images, plan)
        if self.config.source == "network":
            self._refer("model", model)
            self.extra = copy.deepcopy(model).eval().requires_grad_(False)

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """The network's logits [B, K]; the copy's prediction is kept for the loss."""
        if self.extra is not None:
            with torch.no_grad():
                self.past = self.extra(images).float().softmax(1)
        return super().run_model(model, images, batch)

    def targets(self, batch: Batch) -> Tensor:
        """[B, K]: (1 - a_t) e_y + a_t p_past, mixed as the image was."""
        hard = super().targets(batch)
        if self.config.source == "network":
            past = given(self, self.past, RUN_MODEL)
            # in the first epoch the copy has learnt nothing yet
            return torch.lerp(hard, past, self.weight * (self.epoch > 0))
        own, other = (self._stored(i) for i in (batch.index, batch.partner))
        return torch.lerp(hard, torch.lerp(other, own, batch.weight[:, None]), self.weight)

    def _stored(self, index: Tensor) -> Tensor:
        """[B, K] what the network last said; the hard label of samples it has not seen."""
        hard = self.table[self.labels[index]]
        return torch.where(
            self.bank.seen[index, None], self.bank.logits[index].float().softmax(1), hard
        )

    @torch.no_grad()
    def _finish_epoch(self) -> None:
        """One epoch more; the copy catches up with the network."""
        self.epoch += 1
        if self.extra is not None and self.model is not None:
            self.extra.load_state_dict(self.model.state_dict())
