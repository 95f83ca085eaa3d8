"""The face that every method shows to a training loop.

In a loop of your own, with a `DataLoader` whose data set also yields the index of each sample:

    toast = ToastConfig().build(labels, num_classes, batch_size)
    for images, labels, index in loader:              # one epoch
        batch = toast.join(images, labels, index)     # the carried samples come along
        logits = model(batch.images)
        loss = toast(logits, batch)                   # a scalar; takes note of the logits
        ... loss.backward(), step ...
    toast.end_epoch()

Ours, which every method can be trained in, knows where the images are and draws them itself:

    method.setup(model, some_images, Plan(epochs=30))
    for batch in method.batches(stream):              # one epoch, its end included
        logits = method.run_model(model, prepare(batch.images), batch)
        loss = method.loss(logits, batch)             # a total and its parts
        ... loss.total.backward(), step ...
        method.update(logits, batch)

Most methods do without `setup`, as TOAST with its defaults does, and `run_model` is `model(images)`
where each image passes once and nothing of the pass is kept. A method that needs one of them, or a
teacher, says so at its first batch or loss.

A method is a `MethodConfig` (data: names the run, makes the command line) and a `Method` (an
`nn.Module`: its state lies in buffers). A new one is one file with both, and one line in
`methods/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from toastlab.core.bank import Bank
from toastlab.core.checks import INT, check_labels, check_shapes
from toastlab.core.errors import BadType, BadValue
from toastlab.core.losses import Loss, soft_cross_entropy
from toastlab.core.settings import Settings
from toastlab.core.state import Drawing
from toastlab.core.stream import Batch, Stream
from toastlab.methods.guard import SETUP, LoopGuard, check_stream
from toastlab.methods.merge import merge_by_visits
from toastlab.methods.plan import BANKS, MixedCarry, Plan


@dataclass(frozen=True)
class MethodConfig(Settings):
    """Settings of a method. `name` is what the command line and the stored runs call it.

    Example:
        >>> from toastlab import CrossEntropyConfig
        >>> type(CrossEntropyConfig().build(torch.tensor([0, 1]), 2, 2)).__name__
        'CrossEntropy'
    """

    name: ClassVar[str]
    needs_teacher: ClassVar[bool] = False  # a network trained before, see `Method.set_teacher`
    method: ClassVar[Any]  # its class, which says so itself: class Dlb(Method, config=DlbConfig)

    def build(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> Method:
        """The method itself, with its state on the device of `labels` [N]; see `Method`."""
        if not hasattr(self, "method"):
            raise BadType(f"{type(self).__name__} does not say which method it configures.")
        return self.method(labels, num_classes, batch_size, self, generator)  # type: ignore[no-any-return]


class Method(Drawing):
    """Cross-entropy to one target per class, with a bank; other methods change what they must.

    Called with the logits of a batch it gives the loss [] and, in training mode, takes note of
    them; `parts` then holds the loss's terms, detached.

    Example:
        >>> method = Method(torch.tensor([0, 1]), num_classes=2, batch_size=2)
        >>> batch = method.join(torch.zeros(2, 8), method.labels, torch.arange(2))
        >>> float(method(torch.zeros(2, 2), batch)) == float(torch.tensor(2.0).log())
        True

    Args:
        labels: [N] int64, the labels trained on; their device is the method's.
        num_classes: K.
        batch_size: B, even, 2 to N; on several ranks, what one of them takes of it.
        config: the settings; None takes the defaults.
        generator: on that device, for methods that draw at random.

    Raises:
        ValueError: labels out of range, an odd batch size. TypeError: labels that are no int64.

    Attributes:
        mixed_carry: what becomes of carried samples under Mixup and CutMix, see `Mixing`.
        admits_mix: whether it can be trained on mixed images.
        joins: whether a batch is what a loader brings and what was carried, see `join`.
        needs_plan: whether it cannot be trained before `setup`.
        reads_bank: whether its targets or its carry depend on the bank; else that is for analysis.
        spent_before: share of an "images" budget that goes to a teacher.
        added_states: names in its `state_dict` that checkpoints of before lack; they begin anew.
        plan: the run, see `Plan`.
        is_set_up: whether `setup` has told it that plan.
        guard: sees to it that a loop of your own leaves nothing out, see `LoopGuard`.
        extra: modules of its own that are trained along, or None.
        bank: the last logits of every sample, see `Bank`.
        table: [K, K] float32, the target of each class; the identity means hard targets.
    """

    mixed_carry: MixedCarry = "unmixed"
    admits_mix: bool = True
    joins: bool = True
    needs_plan: bool = False
    reads_bank: bool = False
    spent_before: float = 0.0
    added_states: tuple[str, ...] = ()
    settings: ClassVar[type[MethodConfig]] = MethodConfig
    labels: Tensor
    table: Tensor
    extra: nn.Module | None

    def __init_subclass__(cls, config: type[MethodConfig] | None = None) -> None:
        if config is not None:
            cls.settings, config.method = config, cls

    def __init__(
        self,
        labels: Tensor,
        num_classes: int,
        batch_size: int,
        config: MethodConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_labels(labels, num_classes)
        if not isinstance(batch_size, int) or batch_size < 2 or batch_size % 2:
            raise BadValue(f"batch size is {batch_size!r}, but must be even and at least 2.")
        self.config: Any = self.settings() if config is None else config
        self.register_buffer("labels", labels, persistent=False)  # they are the data's, not state
        self.num_classes, self.batch_size = num_classes, batch_size
        self.generator = generator
        self.plan, self.is_set_up = Plan(), False
        self.extra = None
        self.bank = Bank(len(labels), num_classes, labels.device)
        self.add_state("table", torch.eye(num_classes, device=labels.device), "same")
        self.parts: dict[str, Tensor] = {}
        self.guard = LoopGuard(type(self).__name__, labels)
        self.make_state()

    def make_state(self) -> None:
        """What a method keeps beside bank and table is made here."""

    @property
    def images_per_batch(self) -> int:
        """Images in a batch; B unless the method puts some on top."""
        return self.batch_size

    @property
    def new_per_batch(self) -> int:
        """Images of a batch meant for samples drawn newly, carried ones not counted off."""
        return self.images_per_batch

    @property
    def passes(self) -> int:
        """Images that go through a network in a step, a teacher's passes included."""
        return self.images_per_batch

    @property
    def gradients(self) -> int:
        """Images that go through the network with a gradient in a step."""
        return self.images_per_batch

    @property
    def state_bytes(self) -> int:
        """Bytes of all that is kept from step to step, but labels, networks, and a bank that is for
        analysis only."""
        skipped = ("labels", "extra.") if self.reads_bank else ("labels", "extra.", "bank.")
        sizes = [(n, t.numel() * t.element_size()) for n, t in self.named_buffers()]
        return sum(size for name, size in sizes if not name.startswith(skipped))

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
            raise BadValue(
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
            raise BadValue(f"{type(self).__name__} cannot be trained yet: {missing}.")

    def _refer(self, name: str, thing: nn.Module | None) -> None:
        """Keeps a part of the network at hand without making it a part of this module."""
        object.__setattr__(self, name, thing)

    def compile_loss(self) -> None:
        """Has the loss compiled by `torch.compile`, as `TrainConfig.compile` has the network."""
        self.loss = torch.compile(self.loss)  # type: ignore[method-assign]

    def set_teacher(self, teacher: nn.Module) -> None:
        """Takes a network trained before; only methods whose config `needs_teacher` do."""
        raise BadType(f"{type(self).__name__} has no teacher.")

    def run_model(self, model: nn.Module, images: Tensor, batch: Batch) -> Tensor:
        """The network's logits [B, K] for the batch's images [B, C, H, W], augmented, float32."""
        logits: Tensor = model(images)
        return logits

    def batches(self, stream: Stream) -> Iterator[Batch]:
        """One epoch of batches, and what the method does at its end.

        Raises:
            LoopError: the stream is of other labels or another batch size than the method; in the
                loop: a batch was not given back, or the epoch before never ended.
        """
        check_stream(type(self).__name__, self.labels, self.batch_size, stream)
        return self._epoch(stream)

    def _epoch(self, stream: Stream) -> Iterator[Batch]:
        self.start_epoch(stream)
        for _ in range(self.steps(stream)):
            yield self.draw(stream)
        self.guard.check_back()
        self.end_epoch()

    def start_epoch(self, stream: Stream) -> None:
        """Begins an epoch of a stream, as `batches` does by itself; raises as that."""
        self.guard.before_epoch(self.steps(stream))
        stream.start_epoch()
        self.bank.start_epoch()

    def draw(self, stream: Stream) -> Batch:
        """The next batch of an epoch, as of `batches`; raises as that."""
        self.guard.check_back()
        batch = self.next_batch(stream)
        self.guard.drew()
        return batch

    def next_batch(self, stream: Stream) -> Batch:
        """`images_per_batch` samples; here all new, none carried."""
        return self._batch(*self._draw_new(stream, self.images_per_batch))

    def _draw_new(self, stream: Stream, images: int) -> tuple[Tensor, Tensor]:
        """Index and images of new samples only."""
        no_carry = torch.zeros((), dtype=torch.int64, device=self.labels.device)
        return stream.draw(no_carry[None], no_carry, images)

    def join(self, images: Tensor, labels: Tensor, index: Tensor) -> Batch:
        """A loader's batch, and in it the samples that are carried: for a loop of your own.

        The batch keeps its size: new samples for which there is no room are passed over, and come
        up again when the loader brings them. Carried images are those that the loader gave; augment
        on the device, after `join`, for a fresh view.

        Args:
            images: [b, ...], of any kind; labels: [b] int64; index: [b] int64, which samples of the
                N they are. All on the method's device.

        Returns:
            The batch of b samples; its `images` are for the network.

        Raises:
            LoopError: a batch before was not given to the loss, the epoch was not ended, or labels
                are not those that the method was built with.
            ValueError: it lacks `setup` or a teacher.
            TypeError: a method that draws partners or repeats itself.
        """
        if not self.joins:
            raise BadType(
                f"{type(self).__name__} draws its batches itself: use method.batches(stream)."
            )
        check_shapes(index=(index, INT, "b"), labels=(labels, INT, "b"))
        if len(images) != len(index):
            raise BadValue(f"{len(images)} images and {len(index)} indices; give as many.")
        if not self.guard.joined:
            self.bank.start_epoch()
        self.guard.before_join(labels, index, self.labels)
        return self._join(images, index)

    def _join(self, images: Tensor, index: Tensor) -> Batch:
        """The batch; here all new, none carried."""
        return self._batch(index, images)

    def _batch(
        self,
        index: Tensor,
        images: Tensor,
        carried: Tensor | None = None,
        past: Tensor | None = None,
        visits: Tensor | None = None,
    ) -> Batch:
        self._check_ready()
        labels, b = self.labels[index], len(index)
        if past is None:
            past = torch.zeros(b, self.num_classes, device=index.device)
        weight = torch.ones(b, device=index.device)
        return Batch(
            index=index,
            images=images,
            labels=labels,
            carried=torch.zeros_like(index, dtype=torch.bool) if carried is None else carried,
            past=past,
            visits=torch.zeros_like(index) if visits is None else visits,
            partner=index,
            partner_labels=labels,
            weight=weight,
            whole=weight,
        )

    def targets(self, batch: Batch) -> Tensor:
        """[B, K] float32: each sample's class target, mixed as its image was.

        Raises:
            ValueError: `setup` or `set_teacher` has been left out, and the method needs it.
        """
        self._check_ready()
        return batch.mixed_rows(self.table)

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Mean cross-entropy [] of the logits [B, K] to `targets`."""
        total = soft_cross_entropy(logits, self.targets(batch)).mean()
        return Loss(total, {"stage1": total.detach()})

    def forward(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss [] of the logits [B, K], of which note is taken in training mode."""
        loss = self.loss(logits, batch)
        self.parts = loss.parts
        if self.training:
            self.update(logits, batch)
        return loss.total

    @torch.no_grad()
    def update(self, logits: Tensor, batch: Batch) -> None:
        """Takes note of the logits [B, K] of a step."""
        self.guard.came_back()
        self._note(logits, batch)

    def _note(self, logits: Tensor, batch: Batch) -> None:
        self.bank.write(batch.index, logits, batch.pure, batch.carried)

    def end_epoch(self) -> None:
        """Ends an epoch, as `batches` does by itself. Where `torch.distributed` runs, every rank
        calls it, and what each noted is put together. `LoopError` where no batch came back."""
        self.guard.epoch_ended()
        if self.plan.ranks == 1:  # else our own loop has done it, which knows who drew what
            merge_by_visits(self, self.bank.visits > 0)
        self._finish_epoch()

    def _finish_epoch(self) -> None:
        """What the method does then."""

    def report(self) -> dict[str, float]:
        """Numbers about the epoch that just ended, for its row of metrics."""
        return {}

    def medoid_record(self) -> dict[str, Tensor]:
        """The epoch's medoids, for whoever writes history down: `index` [K] int64, `logits` [K, K],
        and `soft` [K, K], the targets made of them. Empty where there are none."""
        return {}

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.guard.begin_anew()
