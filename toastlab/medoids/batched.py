"""Euclidean medoids of many classes at once, for a device that is quick and slow to be asked.

On a GPU the operations of `bounds.possible_medoids`, some hundreds of small ones and as many for
each class, take longer to launch than to do. There all pairs are cheap: bounds from their products
come first, for as many classes at a time as there is memory for, and what they leave, a few rows of
each class, is summed exactly for all classes together. The medoids are the same.

Letters: C classes of n rows, K columns, m rows of each class that may be its medoid.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from toastlab.medoids.blocks import (
    PAIR_BYTES,
    ROW_BYTES,
    Rows,
    alike_in_size,
    deciding_dtype,
    padded,
)
from toastlab.medoids.bounds import all_pairs, quick_dtype


def medoid_rows_at_once(z: Tensor, members: Sequence[Tensor], memory: int) -> Tensor:
    """The member of each class whose sum of Euclidean distances to all members is smallest, the
    first of equal ones. To be called without autocast.

    Args:
        z: [N, K] floating point, finite.
        members: of each class its rows in z, [n] int64, n >= 1.
        memory: bytes for blocks of rows and distances, beyond a few numbers per row.

    Returns:
        [C] int64, rows in z.
    """
    sizes, k = [len(rows) for rows in members], z.shape[1]
    most = min(memory // (32 * k + ROW_BYTES), memory // (PAIR_BYTES * max(sizes)))
    found: list[Tensor] = []
    groups = list(alike_in_size(sizes, most))
    for group in groups:
        index, real = padded([members[c] for c in group])
        left = all_pairs(Rows(z, index, memory, quick_dtype(z), pairs=True), real)
        m = int(left.sum(1).max())  # the one wait for the device
        positions = left.byte().sort(stable=True, dim=1, descending=True).indices[:, :m]
        if m > 1:
            sums = exact_sums(Rows(z, index, memory, deciding_dtype(z.device)), real, positions)
            sums = torch.where(left.gather(1, positions), sums, torch.inf)
            positions = positions.gather(1, first_smallest(sums)[:, None])
        found.append(index.gather(1, positions)[:, 0])
    order = torch.tensor([c for group in groups for c in group], device=z.device)
    return torch.cat(found)[order.argsort()]


def exact_sums(rows: Rows, real: Tensor, positions: Tensor) -> Tensor:
    """Sums of distances [C, m] from the rows at `positions` [C, m] to all rows of their class, over
    coordinate differences.

    Args:
        real: [C, n] bool, the rows that count; the others only fill up.
    """
    mode = "donot_use_mm_for_euclid_dist"
    step = max(1, rows.memory // (64 * len(real) * min(rows.step, rows.n)))  # rows of each class
    sums = []
    for part in positions.split(step, 1):
        x, total = rows.at(part), torch.zeros(part.shape, dtype=rows.dtype, device=part.device)
        for block, counts in zip(rows.blocks(), real.split(rows.step, 1), strict=True):
            total += (torch.cdist(x, block, 2.0, mode) * counts[:, None]).sum(2)
        sums.append(total)
    return torch.cat(sums, 1)


def first_smallest(values: Tensor, floor: float = 0.0) -> Tensor:
    """Lowest position along the last axis among the values that equal the smallest up to rounding.

    `floor` is the size of the terms that cancelled in `values`, where there are such.
    """
    rtol = 1e-12 if values.dtype == torch.float64 else 1e-5
    low = values.amin(-1, keepdim=True)
    return (values <= low + rtol * low.abs().clamp(min=floor)).int().argmax(-1)
