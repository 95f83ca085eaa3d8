"""A method in training, step by step, whose state can be held in place for CUDA graphs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toastlab.bench.config import at_work
from toastlab.core.errors import DeviceError
from toastlab.core.stream import Stream
from toastlab.data.augment import Augment, AugmentConfig
from toastlab.data.splits import Split
from toastlab.methods import Method, Plan
from toastlab.training.config import TrainConfig, make_optimizer
from toastlab.training.graphs import WORTH, WRITTEN, Graphs, InPlace


class Trainee:
    """One method on made-up images: crop, flip, network, loss, backward, step, update.

    All that is drawn comes from the device's own generator, which CUDA graphs know how to wind on.

    Args:
        name: of the method.
        split: images on the device.
        network: shared by all that are compared, since its weights do not matter; with an optimizer
            for each.
        batch_size: B.
        classes: K.
        bf16: under bf16 autocast.
        teacher: for methods that need one.
    """

    def __init__(
        self,
        name: str,
        split: Split,
        network: nn.Module,
        batch_size: int,
        classes: int,
        bf16: bool = True,
        teacher: nn.Module | None = None,
    ) -> None:
        config, channels = at_work(name), split.images.shape[1]
        self.device, self.bf16 = split.labels.device, bf16
        self.method: Method = config.build(split.labels, classes, batch_size)
        self.stream = Stream(split, batch_size)
        self.augment = Augment(
            AugmentConfig(crop=4, flip=True), (0.5,) * channels, (0.25,) * channels
        )
        some = self.augment.evaluate(split.images[:2])
        self.method.setup(network, some, Plan(epochs=10, budget="samples"))
        if config.needs_teacher and teacher is not None:
            self.method.set_teacher(teacher)
        extra = () if self.method.extra is None else (self.method.extra,)
        self.optimizer = make_optimizer(TrainConfig(), network, *extra)
        self.network: Callable[[Tensor], Tensor] = network
        self.loss = self.method.loss
        self.started = 0.0  # seconds that it took to start
        self.stream.start_epoch()

    @property
    def is_plain(self) -> bool:
        """Whether each image passes once through the network and nothing of the pass is kept."""
        own = type(self.method).run_model is not Method.run_model
        return not own and self.method.images_per_batch == self.method.batch_size

    def compile(self, network: Callable[[Tensor], Tensor], backend: str) -> None:
        """Uses a compiled network from now on, and compiles the loss."""
        self.network = network
        self.loss = torch.compile(self.method.loss, backend=backend, dynamic=False)

    def step(self) -> None:
        """One step; nothing waits for the device."""
        method = self.method
        batch = method.next_batch(self.stream)
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


def in_place(trainee: Trainee) -> InPlace:
    """Its step, which leaves all state where it lay."""
    return InPlace(trainee.step, (trainee.method,), trainee.stream)


def captured(trainee: Trainee) -> Callable[[], None]:
    """The whole step as one CUDA graph: to call it is one launch.

    Raises:
        DeviceError: the device has no graphs, something in the step cannot be held by one, or the
            replayed step does not move on.
    """
    if trainee.device.type != "cuda":
        raise DeviceError(
            f"there are no CUDA graphs on a {trainee.device.type}; use a CUDA device."
        )
    step, pointer = in_place(trainee), trainee.stream.pointer
    for _ in range(WRITTEN):
        step()
    graphs = Graphs(TrainConfig(), trainee.device, WORTH, ours=True)
    play = graphs.record(step, trainee.optimizer, ())
    if play is None:
        raise DeviceError("a CUDA graph cannot hold this step; the log has the reason.")
    at = int(pointer)
    play()
    if int(pointer) == at:
        raise DeviceError("the replayed step draws the same batch again: its state did not move.")
    return play
