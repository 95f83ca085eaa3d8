"""Exact medoids under four distances, without all pairs where a bound decides.

Pure mathematics; what medoids are for is in `medoids.py`.
Letters: C classes, n rows x_i in one of them, K columns.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

DISTANCES = ("euclidean", "squared-euclidean", "cosine", "manhattan")

# Memory for one block of pairwise distances, in bytes: small enough to stay in a CPU's cache,
# which is what the speed of the pairwise pass depends on.
BLOCK_BYTES = 2**19
# So few rows are summed directly, without a quicker look.
FEW = 16
# Classes up to this size are worked on by one thread, see `_one_thread`.
SMALL_CLASS = 1024


def medoid_rows(z: Tensor, members: Sequence[Tensor], distance: str) -> Tensor:
    """The member of each class whose sum of distances to all members is smallest.

    The sums that decide are taken over coordinate differences in float64 (float32 where a device
    has no float64). Ties, to one part in 10^12, go to the first member.

    Args:
        z: [N, K] floating point, finite.
        members: of each class its rows in z, [n] int64, n >= 1.
        distance: one of `DISTANCES`.

    Returns:
        [C] int64, rows in z.
    """
    exact = torch.float32 if z.device.type == "mps" else torch.float64
    small = z.device.type == "cpu" and max(map(len, members)) <= SMALL_CLASS
    with _one_thread() if small else nullcontext():
        near = _not_ruled_out(z, members) if distance == "euclidean" else members
        return torch.stack(
            [
                some[_medoid_among(z, some, every, distance, exact) if len(some) > 1 else 0]
                for some, every in zip(near, members, strict=True)
            ]
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small products gain nothing from a second thread, and lose much by waiting for it while
    another library's idle threads still spin (OpenBLAS's do so for about a tenth of a second)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _medoid_among(
    z: Tensor, some: Tensor, every: Tensor, distance: str, dtype: torch.dtype
) -> Tensor:
    """Position [] among the rows `some` [m] of z of the one nearest to all rows `every` [n]."""
    x = z.index_select(0, every).to(dtype)
    if distance == "cosine":
        # mean_j (1 - u_i . u_j) = 1 - u_i . mean_j u_j: most aligned with the mean direction.
        u = F.normalize(x, dim=1, eps=torch.finfo(dtype).tiny)
        return _first_smallest(1 - u @ u.mean(0), floor=1.0)
    if distance == "squared-euclidean":
        # sum_j |z_i - z_j|^2 = n |z_i - mean|^2 + a constant: the member nearest to the mean.
        return _first_smallest((x - x.mean(0)).square().sum(1))
    rows = z.index_select(0, some).to(dtype)
    if distance == "manhattan":
        return _first_smallest(_sums(rows, x, 1.0))
    if len(rows) <= FEW:
        return _first_smallest(_sums(rows, x, 2.0))
    near = _nearest_by_products(rows, x)
    return near[_first_smallest(_sums(rows[near], x, 2.0))]


def _not_ruled_out(z: Tensor, members: Sequence[Tensor]) -> Sequence[Tensor]:
    """The members of each class that bounds on their mean Euclidean distance do not rule out.

    With the class mean taken off, s_ij = |x_i - x_j|^2 has over j the mean and the variance

        m_i = |x_i|^2 + mean |x_j|^2
        v_i = var |x_j|^2 + 4 x_i' mean(x_j x_j') x_i - 4 x_i . mean(|x_j|^2 x_j),

    which cost O(K^2) a row instead of O(n K). (u - 1)^2 (u + 2) >= 0 gives u >= (3 u^2 - u^4) / 2;
    put u^2 = s_ij / m_i, average over j, and use Jensen's inequality for the other side:

        sqrt(m_i) (1 - v_i / (2 m_i^2)) <= mean_j |x_i - x_j| <= sqrt(m_i).
    """
    squares, forms = [], []
    for rows in members:
        x = z.index_select(0, rows).float()
        x = x - x.mean(0)
        square = torch.linalg.vecdot(x, x)
        of = torch.addmm(x.T @ square, x, x.T @ x, beta=-4 / len(x), alpha=4 / len(x))
        squares.append(square)
        forms.append(torch.linalg.vecdot(of, x))
    square = torch.cat(squares)
    sizes = torch.tensor([len(rows) for rows in members], device=z.device)
    which = torch.arange(len(members), device=z.device).repeat_interleave(sizes)

    def mean_over_class(values: Tensor) -> Tensor:
        total = values.new_zeros(len(members)).index_add_(0, which, values)
        return (total / sizes)[which]

    radius = mean_over_class(square)
    mean = square + radius
    variance = mean_over_class((square - radius).square()) + torch.cat(forms)
    low = mean.sqrt() * (1 - variance / (2 * mean.square()))
    high = mean.new_zeros(len(members)).scatter_reduce_(0, which, mean, "amin", include_self=False)
    rounding = 1 + 16 * torch.finfo(torch.float32).eps * (sizes + z.shape[1])
    near = torch.nonzero(~(low > (high.sqrt() * rounding)[which]))[:, 0]  # NaN stays: rows alike
    kept = torch.bincount(which[near], minlength=len(members)).tolist()
    return torch.cat(list(members))[near].split(kept)


def _nearest_by_products(rows: Tensor, x: Tensor) -> Tensor:
    """Positions among `rows` [m, K] of those that may have the smallest sum of distances to x.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, by matrix products. Rounding moves it by at most
    K eps (|a|^2 + |b|^2), so |a - b| by the root of that, whose sum Jensen's inequality bounds.
    """
    n, k = x.shape
    eps = torch.finfo(x.dtype).eps
    rows, x = rows - x.mean(0), x - x.mean(0)  # distances do not move; rounding shrinks
    own, square = torch.linalg.vecdot(rows, rows), torch.linalg.vecdot(x, x)
    step = max(1, BLOCK_BYTES // (8 * n))
    parts = []
    for block, block_square in zip(rows.split(step), own.split(step), strict=True):
        between = torch.addmm(square, block, x.T, alpha=-2).add_(block_square[:, None])
        parts.append(between.clamp_(min=0).sqrt_().sum(1))
    sums = torch.cat(parts)
    error = n * ((k + 8) * eps * (own + square.mean())).sqrt() + n * eps * sums
    return torch.nonzero(sums - error <= (sums + error).min())[:, 0]


def _sums(rows: Tensor, x: Tensor, p: float) -> Tensor:
    """Sums of p-norm distances [m] from rows [m, K] to x [n, K], over coordinate differences."""
    blocks = rows.split(max(1, BLOCK_BYTES // (8 * len(x))))
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cat([torch.cdist(block, x, p=p, compute_mode=mode).sum(1) for block in blocks])


def _first_smallest(values: Tensor, floor: float = 0.0) -> Tensor:
    """Lowest position [] among the values [n] that equal the smallest up to rounding.

    `floor` is the size of the terms that cancelled in `values`, where there are such.
    """
    rtol = 1e-12 if values.dtype == torch.float64 else 1e-5
    low = values.min()
    return (values <= low + rtol * low.abs().clamp(min=floor)).int().argmax()
