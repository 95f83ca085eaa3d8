"""One run on several ranks: processes, each with its GPU, that `torchrun` starts side by side.

    torchrun --nproc-per-node 4 -m toastlab train toast

In a script of one's own that torchrun starts:

    with ranks.job():
        run = RunStore().get(TrainConfig(spread=True))

Letters: R ranks, N samples, B the batch of all ranks together. A rank takes B / R images of each
batch from its own shard of the training split and carries on within it. DistributedDataParallel
takes the mean of the gradients. When an epoch ends, the ranks put together what each noted of its
shard; from then on bank, targets and metrics are the same everywhere.

`Ranks` is who one is among them; all it does is nothing for a process that is `ALONE`.
"""

from __future__ import annotations

import os
import re
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from toastlab.core.errors import BadValue, DeviceError, RankLost
from toastlab.methods.base import Method
from toastlab.methods.merge import sum_in_order

T = TypeVar("T")
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
GONE = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe", re.IGNORECASE)
PATIENCE = timedelta(seconds=5)  # how long an error waits for the same one on rank 0


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run.

    Attributes:
        rank: from 0; rank 0 is the one that writes and speaks.
        count: R.
    """

    rank: int = 0
    count: int = 1

    def check_device(self, device: torch.device) -> None:
        """Raises DeviceError where the ranks of this machine cannot work on such a device."""
        if self.count == 1:
            return
        local, gpus = int(os.environ.get("LOCAL_RANK", self.rank)), torch.cuda.device_count()
        if device.type not in ("cuda", "cpu") or device.index is not None:
            raise DeviceError(
                f"{self.count} ranks cannot share device {str(device)!r}: use 'cuda', where each "
                "takes the GPU of its number, or 'cpu'."
            )
        if device.type == "cuda" and local >= gpus:
            raise DeviceError(
                f"there are more ranks on this machine than its {gpus} GPUs: lower "
                "--nproc-per-node, or use --device cpu."
            )

    def local_batch_size(self, batch_size: int) -> int:
        """B / R, a rank's part of a batch.

        Raises:
            ValueError: it is not a whole, even number.
        """
        if batch_size % (2 * self.count):
            step = 2 * self.count
            near = sorted({max(step, batch_size // step * step), -(-batch_size // step) * step})
            raise BadValue(
                f"batch size {batch_size} cannot be shared by {self.count} ranks: each takes an "
                f"even number of images. Use {' or '.join(map(str, near))}."
            )
        return batch_size // self.count

    def seeds(self, seed: int, epoch: int = 0) -> list[int]:
        """Five seeds of this rank's own, for a run or for what is left of it after `epoch`."""
        plain = self.count == 1 and epoch == 0
        own = np.random.SeedSequence(seed if plain else [seed, self.count, self.rank, epoch])
        return [int(s) for s in own.generate_state(5)]

    def shards(self, n: int, seed: int, device: torch.device) -> list[Tensor]:
        """The samples of each rank, R rising lists of positions, drawn evenly."""
        if self.count == 1:
            return [torch.arange(n, device=device)]
        # drawn on the CPU, where every rank draws the same
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        return [order[r :: self.count].sort().values.to(device) for r in range(self.count)]

    def part(self, n: int) -> Tensor | None:
        """This rank's part [about n / R] of a split that all look at; None: the whole of it."""
        if self.count == 1 or n < self.count:
            return None
        return torch.arange(n).tensor_split(self.count)[self.rank]

    def all_gather(self, part: Tensor, n: int) -> Tensor:
        """[n, ...] in order, from the rows of every rank's `part`."""
        if self.count == 1 or n < self.count:
            return part
        sizes = [len(p) for p in torch.arange(n).tensor_split(self.count)]
        blocks = [part.new_empty(size, *part.shape[1:]) for size in sizes]
        blocks[self.rank] = part.contiguous()
        for rank, block in enumerate(blocks):
            dist.broadcast(block, rank)
        return torch.cat(blocks)

    def all_gather_shards(self, rows: Tensor, shards: Sequence[Tensor]) -> None:
        """Makes `rows` [N, ...], of which each rank has its shard's right, right everywhere.

        Rows are copied, not added: no bit changes. A shard at a time, to spare memory.
        """
        if self.count == 1:
            return
        for rank, shard in enumerate(shards):
            block = rows[shard]
            dist.broadcast(block, rank)
            rows.index_copy_(0, shard, block)

    def merge(self, method: Method, shards: Sequence[Tensor]) -> None:
        """Puts together what the ranks noted in an epoch: after its last step, before its end.

        Args:
            shards: R x [n] int64, the samples that each rank drew.
        """
        for rows in method.states("rows").values():
            self.all_gather_shards(rows, shards)
        for part in method.states("sum").values():
            part.copy_(self.all_reduce(part))

    def all_reduce(self, part: Tensor) -> Tensor:
        """The sum over the ranks, see `sum_in_order`."""
        return part if self.count == 1 else sum_in_order(part)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Gives every rank the tensors of rank 0, in place."""
        for tensor in tensors if self.count > 1 else ():
            block = tensor.contiguous()
            dist.broadcast(block, 0)
            tensor.copy_(block)

    def mean_buffers(self, *modules: nn.Module) -> None:
        """Makes the running statistics of batch norms the mean of the ranks'."""
        for buffer in (b for module in modules for b in module.buffers()):
            if self.count > 1 and buffer.is_floating_point():
                buffer.copy_(self.all_reduce(buffer) / self.count)

    def wrap(self, model: nn.Module, *others: nn.Module) -> nn.Module:
        """The network, such that a backward pass leaves the mean of the ranks' gradients, in it and
        in `others`, which are trained along. At first all take over rank 0's parameters.

        Batch norms see the images of their own rank; nothing is sent in a forward pass, so a step
        may make several. `mean_buffers` puts their statistics together.
        """
        if self.count == 1:
            return model
        with warnings.catch_warnings():  # newer PyTorch has another word for it, older has not
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            return DistributedDataParallel(_Together(model, *others), broadcast_buffers=False)

    def all_gather_object(self, value: T) -> list[T]:
        """What every rank has, in their order, on every rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def check_equal(self, *facts: object) -> None:
        """Raises ValueError where a rank was given other ones than rank 0."""
        of_all = self.all_gather_object(facts)
        for rank, given in enumerate(of_all):
            if given != of_all[0]:
                raise BadValue(
                    f"rank {rank} was given other settings or data than rank 0; make them equal."
                )

    def on_rank_zero(self, call: Callable[[], T]) -> T:
        """What `call` returns on rank 0, which alone calls it. What it raises, all raise."""
        if self.count == 1:
            return call()
        outcome: list[Any] = [None, None]  # the value, or the error
        if self.rank == 0:
            try:
                outcome[0] = call()
            except Exception as error:
                outcome[1] = error
        dist.broadcast_object_list(outcome, 0)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]  # type: ignore[no-any-return]


ALONE = Ranks()


class _Together(nn.Module):
    """A network, and modules beside it whose gradients are to be sent too."""

    def __init__(self, model: nn.Module, *others: nn.Module) -> None:
        super().__init__()
        self.model, self.others = model, nn.ModuleList(others)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.model(images)
        return answer


def here() -> Ranks:
    """This process among those that were joined."""
    if dist.is_available() and dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    return ALONE


def launched() -> bool:
    """Whether `torchrun`, or what speaks its language, started this process."""
    return all(name in os.environ for name in LAUNCHED)


@contextmanager
def job() -> Iterator[Ranks]:
    """Joins the ranks that were launched together, and takes leave of them at the end.

    An error of every rank is raised on rank 0; the others end without a word.

    Raises:
        RankLost: another rank ended before its time, or the job was stopped.
    """
    if not launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    store, rank, count = next(iter(rendezvous("env://")))
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    before = signal.signal(signal.SIGTERM, lambda *_: _lost(rank, count))
    try:
        yield Ranks(rank, count)
        dist.destroy_process_group()
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    except KeyboardInterrupt:
        if rank:
            raise SystemExit(130) from None
        raise
    except Exception as error:
        # torchrun sends it as soon as one rank has ended; what is to be said is said first
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if isinstance(error, dist.DistError) or (
            isinstance(error, RuntimeError) and GONE.search(str(error))
        ):
            _lost(rank, count)
        if not isinstance(error, RankLost):
            _leave_it_to_rank_0(store, rank, error)
        raise


def _lost(rank: int, count: int) -> None:
    if rank > 1:  # ranks 0 and 1 tell: one of them may be the one that is gone
        raise SystemExit(1)
    raise RankLost(
        f"rank {rank} of {count} ends, because another one died or the job was stopped. The last "
        "checkpoint is kept; the same command goes on from it, on as many ranks as you like."
    ) from None


def _leave_it_to_rank_0(store: Any, rank: int, error: Exception) -> None:
    """Ends this process if rank 0 fails too; it then tells for all."""
    if rank == 0:
        store.set("failed", str(error))
        return
    with suppress(RuntimeError):  # what the store raises when nobody sets it
        store.wait(["failed"], PATIENCE)
        raise SystemExit(1) from error
