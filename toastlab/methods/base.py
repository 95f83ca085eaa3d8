"""The face that every method shows to a training loop, ours or a user's own.

    method = config.build(labels, num_classes, batch_size)
    method.setup(model, some_images, Plan(epochs=30))
    for batch in method.batches(stream):        # one epoch
        logits = method.run_model(model, prepare(batch.images), batch)
        loss = method.loss(logits, batch)
        ... loss.total.backward(), step ...
        method.update(logits, batch)

A method that neither counts the run's epochs nor looks inside the network, TOAST with its defaults
among them, does without `setup`; one that passes each image through the network once and keeps
nothing of the pass does without `run_model`, which is then `model(images)`. A method that needs one
of them, or a teacher, says so at its first batch or loss.

A method is a `MethodConfig` (data: names the run, makes the command line) and a `Method` (state on
the device). A new one is one file with both, and one line in `methods/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from toastlab.core.bank import Bank
from toastlab.core.checks import check_labels
from toastlab.core.losses import Loss, soft_cross_entropy
from toastlab.core.settings import Count, Settings
from toastlab.core.stream import Batch, Stream
from toastlab.training.ranks import Ranks

Budget = Literal["images", "samples"]
BUDGETS = get_args(Budget)
BankType = Literal["float32", "float16"]
# What becomes of carried samples under Mixup and CutMix, see `Mixing`.
MixedCarry = Literal["unmixed", "repeat", "stored"]
BANKS = {"float32": torch.float32, "float16": torch.float16}
# What a user may have left out, as it is written in a loop.
SETUP = "call method.setup(model, images, Plan(epochs=...)) before the first batch"
SET_TEACHER = "call method.set_teacher(network) before the first batch"
RUN_MODEL = "take the logits from method.run_model(model, images, batch)"
Given = TypeVar("Given")


@dataclass(frozen=True)
class Plan(Settings):
    """What a method may have to know of the run.

    Attributes:
        epochs: how many there will be.
        budget: what an epoch is: N "images" through the network (of any pass, with a gradient or
            without), or N "samples" drawn newly, however often the method then looks at them.
        mixes: Mixup or CutMix is on.
        bank: dtype of the stored logits, one of `BANKS`.
        ranks: over how many processes each batch is spread, see `toastlab.training.ranks`.
    """

    epochs: Count = 1
    budget: Budget = "images"
    mixes: bool = False
    bank: BankType = "float32"
    ranks: int = 1


@dataclass(frozen=True)
class MethodConfig(Settings):
    """Settings of a method. `name` is what the command line and the stored runs call it."""

    name: ClassVar[str]
    needs_teacher: ClassVar[bool] = False  # a network trained before, see `Method.set_teacher`

    def build(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Method:
        """The method itself, with its state on the device of `labels` [N]."""
        raise TypeError(f"{type(self).__name__} does not say which method it configures.")


class Method:
    """Cross-entropy to one target per class, with a bank; other methods change what they must.

    Args:
        labels: [N] int64, the labels trained on; their device is the method's.
        num_classes: K.
        batch_size: B, even, 2 to N; on several ranks, what one of them takes of it.
        generator: on that device, for methods that draw lots.

    Raises:
        ValueError: labels out of range, an odd batch size. TypeError: labels that are no int64.

    Attributes:
        mixed_carry: what becomes of carried samples under Mixup and CutMix, see `Mixing`.
        admits_mix: whether it can be trained on mixed images.
        needs_plan: whether it cannot be trained before `setup`.
        memory: what the method keeps for itself, in words and letters.
        spent_before: share of an "images" budget that goes to a teacher.
        local: how the names in `state` begin of what each rank has for itself.
        plan: the run, see `Plan`.
        is_set_up: whether `setup` has told it that plan.
        extra: modules of its own that are trained along, or None.
        bank: the last logits of every sample, see `Bank`.
        table: [K, K] float32, the target of each class; the identity means hard targets.
    """

    mixed_carry: MixedCarry = "unmixed"
    admits_mix: bool = True
    needs_plan: bool = False
    memory: str = "nothing"
    spent_before: float = 0.0
    local: tuple[str, ...] = ("generator",)

    def __init__(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        check_labels(labels, num_classes)
        if not isinstance(batch_size, int) or batch_size < 2 or batch_size % 2:
            raise ValueError(f"batch size is {batch_size!r}, but must be even and at least 2.")
        self.labels, self.num_classes, self.batch_size = labels, num_classes, batch_size
        self.generator = generator
        self.plan, self.is_set_up = Plan(), False
        self.extra: nn.Module | None = None
        self.bank = Bank(len(labels), num_classes, labels.device)
        self.table = torch.eye(num_classes, device=labels.device)

    @property
    def images_per_batch(self) -> int:
        """Images in a batch; B unless the method puts some on top."""
        return self.batch_size

    @property
    def new_per_batch(self) -> int:
        """Places of a batch meant for samples drawn newly, carried ones not counted off."""
        return self.images_per_batch

    @property
    def passes(self) -> int:
        """Images that go through a network in a step, a teacher's passes included."""
        return self.images_per_batch

    @property
    def gradients(self) -> int:
        """Images that go through the network with a gradient in a step."""
        return self.images_per_batch

    def steps(self, stream: Stream) -> int:
        """Steps of an epoch, as the budget has it."""
        if self.plan.budget == "samples":
            return stream.steps(self.new_per_batch)
        return stream.steps(self.passes, 1 - self.spent_before)

    def setup(self, model: nn.Module, images: Tensor, plan: Plan) -> None:
        """Meets the network and the plan before training.

        Args:
            model: as it will be trained; images: [b, C, H, W] float32, a few, as it gets them.

        Raises:
            ValueError: the method cannot work with them.
        """
        if plan.mixes and not self.admits_mix:
            raise ValueError(
                f"{type(self).__name__} cannot be trained on mixed images: set mix to none."
            )
        self.plan, self.is_set_up = plan, True
        if self.bank.logits.dtype != BANKS[plan.bank]:
            self.bank.store_as(BANKS[plan.bank])

    def lacks(self) -> str:
        """What must be called before the first batch and has not been, or nothing."""
        return SETUP if self.needs_plan and not self.is_set_up else ""

    def _check_ready(self) -> None:
        """Asked for every batch and every target; looks at nothing on the device.

        Raises:
            ValueError: the method lacks something.
        """
        if missing := self.lacks():
            raise ValueError(f"{type(self).__name__} cannot be trained yet: {missing}.")

    def _given(self, thing: Given | None, call: str) -> Given:
        """A thing that a call of the user's leaves behind.

        Raises:
            ValueError: it is not there; the message names the call.
        """
        if thing is None:
            raise ValueError(f"{type(self).__name__} cannot go on: {call}.")
        return thing

    def compile(self) -> None:
        """Has the loss compiled by `torch.compile`, as `TrainConfig.compile` has the network."""
        self.loss = torch.compile(self.loss)  # type: ignore[method-assign]

    def set_teacher(self, teacher: nn.Module) -> None:
        """Takes a network trained before; only methods whose config `needs_teacher` do."""
        raise TypeError(f"{type(self).__name__} has no teacher.")

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """The network's logits [B, K] for the batch's images [B, C, H, W], augmented, float32."""
        logits: Tensor = model(images)
        return logits

    def batches(self, stream: Stream) -> Iterator[Batch]:
        """One epoch of batches, and what the method does at its end."""
        stream.start_epoch()
        self.bank.start_epoch()
        for _ in range(self.steps(stream)):
            yield self.next_batch(stream)
        self.end_epoch()

    def next_batch(self, stream: Stream) -> Batch:
        """`images_per_batch` samples; here all new, none carried."""
        nobody = torch.zeros((), dtype=torch.int64, device=self.labels.device)
        index, images = stream.draw(nobody[None], nobody, self.images_per_batch)
        return self._batch(stream, index, images)

    def _batch(
        self,
        stream: Stream,
        index: Tensor,
        images: Tensor,
        carried: Tensor | None = None,
        past: Tensor | None = None,
        visits: Tensor | None = None,
    ) -> Batch:
        self._check_ready()
        labels, b = stream.labels[index], len(index)
        if carried is None:
            carried = torch.zeros_like(index, dtype=torch.bool)
        if past is None:
            past = torch.zeros(b, self.num_classes, device=index.device)
        return Batch(
            index=index,
            images=images,
            labels=labels,
            carried=carried,
            past=past,
            visits=torch.zeros_like(index) if visits is None else visits,
            partner=index,
            partner_labels=labels,
            weight=torch.ones(b, device=index.device),
        )

    def targets(self, batch: Batch) -> Tensor:
        """[B, K] float32: each sample's class target, mixed as its image was.

        Raises:
            ValueError: `setup` or `set_teacher` has been left out, and the method needs it.
        """
        self._check_ready()
        return mixed_rows(self.table, batch)

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Mean cross-entropy [] of the logits [B, K] to `targets`."""
        total = soft_cross_entropy(logits, self.targets(batch)).mean()
        return Loss(total, {"stage1": total.detach()})

    @torch.no_grad()
    def update(self, logits: Tensor, batch: Batch) -> None:
        """Takes note of the logits [B, K] of the step that just ended."""
        self.bank.write(batch.index, logits, batch.weight == 1, batch.carried)

    def gather(self, ranks: Ranks, shards: Sequence[Tensor]) -> None:
        """Puts together what the ranks noted in an epoch: after its last step, before `end_epoch`.

        Args:
            shards: R x [n] int64, the samples that each rank drew.
        """
        for rows in self.bank.state().values():
            ranks.all_gather_shards(rows, shards)

    def end_epoch(self) -> None:
        """Called once after the last batch of an epoch."""

    def report(self) -> dict[str, float]:
        """Numbers about the epoch that just ended, for its row of metrics."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Tensors that the next epoch depends on, for a checkpoint."""
        state = {f"bank.{k}": v for k, v in self.bank.state().items()}
        state["table"] = self.table
        if self.extra is not None:
            state |= {f"extra.{k}": v for k, v in self.extra.state_dict().items()}
        if self.generator is not None:
            state["generator"] = self.generator.get_state()
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """Continues from `state`; what it lacks stays as it is."""
        for name, tensor in self.state().items():
            if name not in state:
                continue
            if name == "generator":
                assert self.generator is not None
                self.generator.set_state(state[name].cpu())
            else:
                tensor.copy_(state[name])


def mixed_rows(table: Tensor, batch: Batch) -> Tensor:
    """Rows of a table [K, K] by class, mixed as the images were: w t_a + (1 - w) t_b; [B, K]."""
    return torch.lerp(table[batch.partner_labels], table[batch.labels], batch.weight[:, None])
