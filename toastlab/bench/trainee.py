"""A method in training, step by step, outside the loop: what is timed, profiled and counted."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toastlab.core.stream import Batch, Stream
from toastlab.data.augment import Augment
from toastlab.data.splits import Split
from toastlab.methods import Method, MethodConfig, Plan
from toastlab.training.config import TrainConfig, make_optimizer

Network = Callable[[Tensor], Tensor]


class Trainee:
    """One method with all that its steps need; draw, augment, forward, loss, backward, optimizer,
    update are those of a run.

    Args:
        config: the method.
        split: images, on the device of the steps.
        network: on the same; several trainees may share one, if its weights do not matter.
        num_classes: K; batch_size: B.
        augment, plan: of the run.
        teacher: makes one, for methods that need it.
        bf16: under bf16 autocast.
        fused: of `make_optimizer`.
        draws: what the method draws from; None: the device's own generator, which is also what
            images are augmented with.
    """

    def __init__(
        self,
        config: MethodConfig,
        split: Split,
        network: nn.Module,
        num_classes: int,
        batch_size: int,
        *,
        augment: Augment,
        plan: Plan,
        teacher: Callable[[], nn.Module] | None = None,
        bf16: bool = False,
        fused: bool | None = None,
        draws: torch.Generator | None = None,
    ) -> None:
        self.device, self.augment, self.bf16 = split.labels.device, augment, bf16
        self.method: Method = config.build(split.labels, num_classes, batch_size, draws)
        self.stream = Stream(split, batch_size)
        self.method.setup(network, augment.evaluate(split.images[:2]), plan)
        if config.needs_teacher and teacher is not None:
            self.method.set_teacher(teacher())
        self.modules = (network, *(() if self.method.extra is None else (self.method.extra,)))
        self.optimizer = make_optimizer(TrainConfig(), *self.modules, fused=fused)
        self.network: Network = network
        self.loss = self.method.loss
        self.started = 0.0  # seconds that it took to start
        self.stream.start_epoch()

    @property
    def is_plain(self) -> bool:
        """Whether each image passes once through the network and nothing of the pass is kept."""
        own = type(self.method).run_model is not Method.run_model
        return not own and self.method.images_per_batch == self.method.batch_size

    def compile(self, network: Network, backend: str) -> None:
        """Uses a compiled network from now on, and compiles the loss."""
        self.network = network
        self.loss = torch.compile(self.method.loss, backend=backend, dynamic=False)

    def step(self) -> None:
        """One step; nothing waits for the device."""
        self.take(self.method.next_batch(self.stream))

    def take(self, batch: Batch) -> None:
        """The step of a batch that is drawn already."""
        method = self.method
        images = self.augment.train(batch.images)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = method.run_model(self.network, images, batch)  # type: ignore[arg-type]
        loss = self.loss(logits, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        method.update(logits, batch)

    def rewind(self) -> None:
        """Draws from the beginning of the row again. What was drawn is known on the device only, so
        it is done in place, and without asking how far it was."""
        self.stream.pointer.zero_()
