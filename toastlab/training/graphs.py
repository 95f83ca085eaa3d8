"""A training step as one CUDA graph: recorded once an epoch, then played again by a single launch.

A step of a small network is hundreds of short kernels, and the host takes longer to launch them
than the GPU to run them. A CUDA graph holds all of a step: draw, augment, forward, loss, backward,
optimizer, update. Played, it does the same operations on the same memory, so that results are those
of a step as it is written.

What a graph cannot hold stays outside: what is done where an epoch begins and ends, and the
learning rate, which is written into a tensor before each step. What a step reads on the host
(TOAST's weights, which its ramp moves from epoch to epoch) is fixed when it is recorded; hence once
an epoch.

A network or a method of somebody's own may do more on the host in each step, as to leave out a
layer by a draw of Python's: recorded, it would do the same in every step, and nobody would see it.
Their steps are taken as they are written. `TOASTLAB_GRAPHS` in the environment decides otherwise: 1
records those too, 0 records none.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from toastlab.core.garbage import nothing_collected
from toastlab.core.stream import Stream
from toastlab.methods import CONFIGS
from toastlab.methods.base import Method
from toastlab.training.config import TrainConfig

log = logging.getLogger(__name__)
# Steps of each epoch that are taken as written before one is recorded: what PyTorch and the
# optimizer make at their first use must not be made in a recording. And steps of an epoch below
# which to record one takes longer than it saves.
WRITTEN, WORTH = 2, 8


def can_record(config: TrainConfig, device: torch.device, steps: int, ours: bool) -> bool:
    """Whether such a run's steps are recorded, `steps` in an epoch: on CUDA, and where a step does
    nothing on the host (which mixing and reading files do), nor meets other processes.

    Args:
        ours: the network is the kit's, and the images lie in memory.
    """
    plain = config.augment.mix == "none" and not (config.data.stream or config.spread)
    known = ours and type(config.method) in CONFIGS.values()
    wanted = {"0": False, "1": True}.get(os.environ.get("TOASTLAB_GRAPHS", ""), known)
    return device.type == "cuda" and plain and not config.compile and wanted and steps >= WORTH


class Recordable(Protocol):
    """A run, as far as its steps are recorded."""

    model: nn.Module
    method: Method
    stream: Stream
    optimizer: torch.optim.Optimizer
    generator: torch.Generator

    def _step(self) -> None: ...


class InPlace:
    """A step after which all state lies where it lay before, so that a graph can play it.

    A method may put a new tensor in the place of a buffer, as TOAST does with its carry. A graph
    would go on reading the old one; so the new contents are copied there.

    Args:
        step: takes the step.
        modules: what changes in it, with everything inside.
        stream: draws its batches.
    """

    def __init__(self, step: Callable[[], None], modules: Sequence[nn.Module], stream: Stream):
        self.step, self.modules, self.stream = step, modules, stream

    def __call__(self) -> None:
        parts = [m for module in self.modules for m in module.modules() if m._buffers]
        before = [dict(m._buffers) for m in parts]
        order, pointer = self.stream.order, self.stream.pointer
        try:
            self.step()
            after = [
                m._buffers[name] for m, olds in zip(parts, before, strict=True) for name in olds
            ]
            olds = [old for each in before for old in each.values()]
            copy_all([*olds, order, pointer], [*after, self.stream.order, self.stream.pointer])
        finally:
            for m, each in zip(parts, before, strict=True):
                m._buffers.update(each)
            self.stream.order, self.stream.pointer = order, pointer


def copy_all(olds: Sequence[Tensor | None], news: Sequence[Tensor | None]) -> None:
    """Copies each new tensor into the old one in whose place it is."""
    both = [(a, b) for a, b in zip(olds, news, strict=True) if a is not None and b is not None]
    pairs = [(old, new) for old, new in both if not _are_one(old, new)]
    # first all contents, then the copies: a new tensor may be, or look into, an old one
    lying = {old.untyped_storage()._cdata for old, _ in pairs}
    contents = [n.clone() if n.untyped_storage()._cdata in lying else n for _, n in pairs]
    for (old, _), content in zip(pairs, contents, strict=True):
        old.copy_(content)


def _are_one(a: Tensor, b: Tensor) -> bool:
    """Whether both look at the same numbers in memory."""
    same = a.untyped_storage()._cdata == b.untyped_storage()._cdata
    return same and (a.storage_offset(), a.stride()) == (b.storage_offset(), b.stride())


class Graphs:
    """Records steps of one kind, one after the other, in the same memory.

    Args:
        config: of the runs; steps: in an epoch; ours: all three as of `can_record`.

    Attributes:
        facts: what a run's facts say about it.
    """

    def __init__(self, config: TrainConfig, device: torch.device, steps: int, ours: bool) -> None:
        self.device, self.works = device, can_record(config, device, steps, ours)
        self.facts: dict[str, str] = {}
        if self.works:
            self.side, self.pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
            self.last: torch.cuda.CUDAGraph | None = None

    def step_of(self, run: Recordable) -> Callable[[], None]:
        """The run's step as one launch; as it is written, where that cannot be."""
        if not self.works:
            return run._step
        guard = vars(run.method.guard)
        before = dict(guard)
        step = InPlace(run._step, (run.model, run.method), run.stream)
        play = self.record(step, run.optimizer, (run.generator, run.method.generator))
        guard.update(before)  # no step was taken
        return play or run._step

    def record(
        self,
        step: Callable[[], None],
        optimizer: torch.optim.Optimizer,
        generators: Iterable[torch.Generator | None],
    ) -> Callable[[], None] | None:
        """The step as a graph: called, it takes one; None where it cannot be recorded, of which the
        log has the reason. Nothing is done by recording.

        Args:
            step: all of it in place, see `InPlace`.
            optimizer: whose learning rate counts at each call.
            generators: what the step draws from, but for the device's own generator.
        """
        if not self.works:
            return None
        graph, here = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        drawn = [generator for generator in generators if generator is not None]
        for generator in drawn:
            graph.register_generator_state(generator)  # so that each call draws anew
        optimizer.zero_grad(set_to_none=True)
        self.side.wait_stream(here)
        try:
            # a run that ended lies among the garbage with its graph, and to free a graph spoils a
            # recording
            with (
                nothing_collected(),
                torch.cuda.stream(self.side),
                _rates_on_device(optimizer, self.device) as rates,
            ):
                graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
                try:
                    step()
                finally:
                    graph.capture_end()
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            log.warning("steps are taken one by one: a CUDA graph cannot hold them (%s)", why)
            self.works = False
            index = torch.cuda.current_device() if self.device.index is None else self.device.index
            for generator in (*drawn, torch.cuda.default_generators[index]):
                # it still waits for the recording to end; a copy is as far and does not
                generator.graphsafe_set_state(generator.clone_state())
            return None
        here.wait_stream(self.side)
        # the memory's owner, until the next one is: without any, it would be another memory
        self.last, self.facts = graph, {"steps": "CUDA graphs"}

        def play() -> None:
            for rate, group in zip(rates, optimizer.param_groups, strict=True):
                rate.fill_(group["lr"])
            graph.replay()

        return play


@contextmanager
def _rates_on_device(
    optimizer: torch.optim.Optimizer, device: torch.device
) -> Iterator[list[Tensor]]:
    """The learning rates as tensors [], which a graph reads anew at each call."""
    groups: list[dict[str, Any]] = optimizer.param_groups
    kept = ("lr", "capturable")
    before: list[dict[str, Any]] = [{n: g[n] for n in kept if n in g} for g in groups]
    rates = [torch.full((), float(group["lr"]), device=device) for group in groups]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
        if "capturable" in group:  # AdamW asks for this word
            group["capturable"] = True
    try:
        yield rates
    finally:
        for group, was in zip(groups, before, strict=True):
            group.update(was)


def add(sums: dict[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Adds to sums of a device, in place where they exist."""
    for name, value in values.items():
        if name in sums:
            sums[name] += value
        else:
            sums[name] = value.clone()
