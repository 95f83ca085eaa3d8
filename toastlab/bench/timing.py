"""How things are timed against each other: in turns, so that a slow moment hits all of them.

On a CPU in processor time on one thread: on an idle machine that is the time on the clock, and on a
busy one it does not count what else runs. On a CUDA device in its own time, from events.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from toastlab.bench.trainee import Trainee
from toastlab.core.stream import Batch
from toastlab.data.augment import Augment, AugmentConfig, pixel_statistics
from toastlab.data.splits import Split
from toastlab.methods import MethodConfig, Plan
from toastlab.methods.plan import Budget
from toastlab.training.models import build


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs a block with one CPU thread, of PyTorch and of NumPy: OpenBLAS's others would spin for
    a tenth of a second after each of its products, and their time be counted to whoever is next."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


class Clock:
    """Seconds of work since the last `start`: of this process, or of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.start()

    def start(self) -> None:
        """From now on."""
        if self.device.type == "cuda":
            self.event = torch.cuda.Event(enable_timing=True)
            self.event.record(torch.cuda.current_stream(self.device))
        else:
            self.began = time.process_time()

    def seconds(self) -> float:
        """Seconds since `start`; waits for a CUDA device to be done."""
        if self.device.type != "cuda":
            return time.process_time() - self.began
        end = torch.cuda.Event(enable_timing=True)
        end.record(torch.cuda.current_stream(self.device))
        end.synchronize()
        return self.event.elapsed_time(end) / 1000


class Loop:
    """A training loop whose steps are timed one by one.

    Args:
        config: the method.
        split: resident training images; their device is the loop's.
        num_classes: K.
        model: a name of `toastlab.training.models`.
        batch_size: B.
        budget: what an epoch is, see `Plan`.
    """

    def __init__(
        self,
        config: MethodConfig,
        split: Split,
        num_classes: int,
        model: str = "resnet-small",
        batch_size: int = 128,
        budget: Budget = "images",
    ) -> None:
        device = split.images.device
        _, channels, size, _ = split.images.shape

        def network(seed: int) -> nn.Module:
            made = build(model, num_classes, channels, size, seed).to(device)
            return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

        self.trainee = Trainee(
            config,
            split,
            network(0),
            num_classes,
            batch_size,
            augment=Augment(AugmentConfig(), *pixel_statistics(split.images)),
            plan=Plan(epochs=10, budget=budget),
            teacher=lambda: network(1),
            draws=torch.Generator(device).manual_seed(0),
        )
        self.method, self.stream = self.trainee.method, self.trainee.stream
        self.steps = self.method.steps(self.stream)
        self.new = 0.0  # samples of the last epoch that were drawn newly
        self.end_seconds = 0.0  # of the last epoch, after its last step

    def epoch(self) -> Iterator[float]:
        """Trains an epoch; yields the seconds of each step, and of what comes at its end."""
        carried = torch.zeros((), device=self.method.labels.device)
        clock = Clock(carried.device)
        for batch in self.method.batches(self.stream):
            carried += self._step(batch)
            yield clock.seconds()
            clock.start()
        self.new = self.steps * self.method.new_per_batch - float(carried)
        self.end_seconds = clock.seconds()
        yield self.end_seconds

    def _step(self, batch: Batch) -> Tensor:
        self.trainee.take(batch)
        return batch.carried.sum()


def epochs_in_turns(loops: Sequence[Loop], rounds: int) -> Iterator[list[float]]:
    """Seconds of every loop's epoch, round by round, after one to warm up.

    The loops take turns step by step, and the first goes last in every second round.
    """
    for i in range(rounds + 1):
        times = [0.0] * len(loops)
        epochs = dict(enumerate(loop.epoch() for loop in loops))
        while epochs:
            for k in list(epochs) if i % 2 else list(epochs)[::-1]:
                seconds = next(epochs[k], None)
                if seconds is None:
                    del epochs[k]
                else:
                    times[k] += seconds
        if i:
            yield times


def in_turns(
    works: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> Iterator[dict[str, float]]:
    """Seconds of each piece of work, round by round, after one to warm up, in changing order."""
    clock = Clock(device)
    for i in range(rounds + 1):
        times = {}
        for name in list(works) if i % 2 else list(works)[::-1]:
            clock.start()
            works[name]()
            times[name] = clock.seconds()
        if i:
            yield {name: times[name] for name in works}
