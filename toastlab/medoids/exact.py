"""Exact medoids under four distances, without all pairs where a bound decides.

Pure mathematics; what medoids are for is in `medoids.py`.
Letters: C classes, n rows x_i in one of them, K columns.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.medoids.blocks import MEMORY, Rows, alike_in_size, padded
from toastlab.medoids.bounds import by_moments, by_products

Distance = Literal["euclidean", "squared-euclidean", "cosine", "manhattan"]
DISTANCES = get_args(Distance)

# Bytes of one block of distances that are summed directly: what stays in a CPU's cache.
BLOCK_BYTES = 2**19
# Rows in float32 of classes that are worked on together: what stays in a CPU's cache.
GROUP_BYTES = 2**22
# Most that is kept of a row beside its K columns: some twenty numbers.
ROW_BYTES = 176
# So few rows, or so few coordinate differences in all, are summed directly, without a quicker look.
FEW, LITTLE = 16, 2**19
# Classes up to this size are worked on by one thread, see `_one_thread`.
SMALL_CLASS = 2048


def medoid_rows(
    z: Tensor, members: Sequence[Tensor], distance: Distance, memory: int = MEMORY
) -> Tensor:
    """The member of each class whose sum of distances to all members is smallest.

    The sums that decide are taken over coordinate differences in float64 (float32 where a device
    has no float64). Ties, to one part in 10^12, go to the first member.

    Args:
        z: [N, K] floating point, finite.
        members: of each class its rows in z, [n] int64, n >= 1.
        distance: one of `DISTANCES`.
        memory: bytes for blocks of rows and distances, beyond a few numbers per row.

    Returns:
        [C] int64, rows in z.

    Raises:
        ValueError: too little memory for one block.
    """
    exact = torch.float32 if z.device.type == "mps" else torch.float64
    small = z.device.type == "cpu" and max(map(len, members)) <= SMALL_CLASS
    with _one_thread() if small else nullcontext(), _full_precision(z.device.type):
        near = _by_moments(z, members, memory, exact) if distance == "euclidean" else {}
        return torch.stack(
            [
                every[_medoid_among(Rows(z, every, memory), near.get(c), distance, exact)]
                for c, every in enumerate(members)
            ]
        )


def _by_moments(
    z: Tensor, members: Sequence[Tensor], memory: int, exact: torch.dtype
) -> dict[int, Tensor]:
    """Positions [m] that moments leave of the rows of the classes that are large enough."""
    k = z.shape[1]
    most = memory // (32 * k + ROW_BYTES)
    if z.device.type == "cpu":
        most = min(most, GROUP_BYTES // (4 * k))
    large = [c for c, every in enumerate(members) if len(every) > FEW]
    near = {}
    for group in alike_in_size([len(members[c]) for c in large], most):
        index, real = padded([members[large[i]] for i in group])
        left = by_moments(Rows(z, index, memory), real, exact)
        kept = left.nonzero()[:, 1].split(left.sum(1).tolist())
        near.update({large[i]: positions for i, positions in zip(group, kept, strict=True)})
    return near


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small products gain little from a second thread (a tenth in classes of 1281 x 1000, a fourth
    in 500 x 100), and lose more by waiting for it, up to two thirds, while another library's idle
    threads still spin (OpenBLAS's do so for about a tenth of a second)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _full_precision(device: str) -> Iterator[None]:
    """Products in the dtype they are asked for: the bounds count on its rounding, and neither
    autocast nor TF32 (nor bf16, which the same switch allows on a CPU) would keep it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _medoid_among(rows: Rows, near: Tensor | None, distance: str, exact: torch.dtype) -> Tensor:
    """Position [] of the one nearest to all rows, among positions `near` [m] or among all."""
    if near is not None and len(near) == 1:
        return near[0]
    if distance == "cosine":
        # mean_j (1 - u_i . u_j) = 1 - u_i . mean_j u_j: most aligned with the mean direction.
        def unit(x: Tensor) -> Tensor:
            return F.normalize(x, dim=1, eps=torch.finfo(exact).tiny)

        mean = _mean(map(unit, rows.blocks(exact)), len(rows))
        return _first_smallest(_each(rows, exact, lambda x: 1 - unit(x) @ mean), floor=1.0)
    if distance == "squared-euclidean":
        # sum_j |z_i - z_j|^2 = n |z_i - mean|^2 + sum_j |z_j - mean|^2: nearest to the mean. It is
        # taken of the rows less a mean before, so that nothing is lost far from the origin.
        mean = _mean(rows.centred(exact), len(rows))
        off = torch.cat([(x - mean).square().sum(1) for x in rows.centred(exact)])
        return _first_smallest(off + off.mean())
    if near is None:
        near = torch.arange(len(rows), device=rows.z.device)
    if distance == "euclidean":
        for dtype in dict.fromkeys((torch.float32, exact)):
            if _many(rows, near):
                near = by_products(rows, near, dtype, exact)
    if len(near) == 1:
        return near[0]
    sums = _direct_sums(rows, near, exact, 1.0 if distance == "manhattan" else 2.0)
    return near[_first_smallest(sums)]


def _many(rows: Rows, near: Tensor) -> bool:
    """Whether a look at a bound costs less than summing the rows `near` directly."""
    return len(near) > FEW and len(near) * len(rows) * rows.z.shape[1] > LITTLE


def _mean(blocks: Iterable[Tensor], count: int) -> Tensor:
    """The mean [K] of rows that come in blocks [.., K], `count` of them in all."""
    return torch.stack([x.sum(0) for x in blocks]).sum(0) / count


def _each(rows: Rows, dtype: torch.dtype, of: Callable[[Tensor], Tensor]) -> Tensor:
    """One number a row [n], of blocks of rows."""
    return torch.cat([of(x) for x in rows.blocks(dtype)])


def _direct_sums(rows: Rows, near: Tensor, dtype: torch.dtype, p: float) -> Tensor:
    """Sums of p-norm distances [m] from the rows `near` to all, over coordinate differences."""
    sums = torch.zeros(len(near), dtype=dtype, device=rows.z.device)
    mode = "donot_use_mm_for_euclid_dist"
    wide = BLOCK_BYTES // rows.z.shape[1] if rows.z.device.type == "cpu" else rows.step
    for others in rows.blocks(dtype, max(FEW, wide)):
        step = min(rows.step, max(1, BLOCK_BYTES // (8 * len(others))))
        for i in range(0, len(near), step):
            some = rows.z.index_select(0, rows.index[near[i : i + step]]).to(dtype)
            sums[i : i + step] += torch.cdist(some, others, p=p, compute_mode=mode).sum(1)
    return sums


def _first_smallest(values: Tensor, floor: float = 0.0) -> Tensor:
    """Lowest position [] among the values [n] that equal the smallest up to rounding.

    `floor` is the size of the terms that cancelled in `values`, where there are such.
    """
    rtol = 1e-12 if values.dtype == torch.float64 else 1e-5
    low = values.min()
    return (values <= low + rtol * low.abs().clamp(min=floor)).int().argmax()
