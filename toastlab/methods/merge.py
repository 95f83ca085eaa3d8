"""Several processes and one method: what each noted in an epoch, put together.

For loops of one's own under DistributedDataParallel, where a sampler decides anew in every epoch
which process sees which sample. Our own loop has fixed shards and needs less traffic, see
`toastlab.training.ranks`.
"""

import torch
import torch.distributed as dist
from torch import Tensor

from toastlab.core.state import Stateful


@torch.no_grad()
def merge_by_visits(method: Stateful, visited: Tensor) -> None:
    """Makes bank and sums of `method` the same on all processes, at the end of an epoch.

    A sample's row is that of the process that visited it; of the first one, if several did. Rows
    are copied, not added: no bit changes. Nothing is done where there is one process.

    Args:
        visited: [N] bool, the samples that this process saw in the epoch.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    ranks, missing = dist.get_world_size(), torch.ones_like(visited)
    rows = method.states("rows")
    merged = {name: tensor.clone() for name, tensor in rows.items()}
    for rank in range(ranks):
        theirs = visited.int()
        dist.broadcast(theirs, rank)
        taken = theirs.bool() & missing
        missing &= ~taken
        for name, tensor in rows.items():
            block = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor.clone()
            dist.broadcast(block, rank)
            mask = taken.view(-1, *[1] * (block.ndim - 1))
            merged[name] = torch.where(mask, block.to(tensor.dtype), merged[name])
    for name, tensor in rows.items():
        tensor.copy_(merged[name])
    for tensor in method.states("sum").values():
        tensor.copy_(sum_in_order(tensor))


def sum_in_order(part: Tensor) -> Tensor:
    """The sum over the processes, taken in their order, so that all have the same bits."""
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part.contiguous())
    return torch.stack(parts).sum(0)
