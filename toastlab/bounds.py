"""Which rows cannot be a Euclidean medoid: bounds on sums of distances, each one proved.

Pure mathematics. What is not ruled out is summed exactly in `distances.py`.
Letters: n rows x_i of one class, their mean taken off, K columns; a_i = |x_i|^2; S_i the sum over
j of the distances d_ij = |x_i - x_j|.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from toastlab.rows import Rows


def by_moments(classes: Iterable[Rows]) -> Sequence[Tensor]:
    """Positions [m] of the rows of each class that moments of their squared distances leave.

    s_ij = d_ij^2 has over j the mean and the variance

        m_i = a_i + mean a_j
        v_i = var a_j + 4 x_i' mean(x_j x_j') x_i - 4 x_i . mean(a_j x_j),

    which cost O(K^2) a row instead of O(n K). (u - 1)^2 (u + 2) >= 0 gives u >= (3 u^2 - u^4) / 2;
    put u^2 = s_ij / m_i, average over j, and use Jensen's inequality for the other side:

        sqrt(m_i) (1 - v_i / (2 m_i^2)) <= S_i / n <= sqrt(m_i).
    """
    squares, forms, slack, sizes = [], [], [], []
    for rows in classes:
        n, k = len(rows), rows.z.shape[1]
        blocks = list(rows.centred(torch.float32)) if rows.fits else None
        second, third = rows.z.new_zeros(k, k).float(), rows.z.new_zeros(k).float()
        for x in blocks or rows.centred(torch.float32):
            squares.append(square(x))
            second.addmm_(x.T, x, alpha=4 / n)
            third.addmv_(x.T, squares[-1], alpha=-4 / n)
        for x in blocks or rows.centred(torch.float32):
            forms.append(torch.linalg.vecdot(torch.addmm(third, x, second), x))
        sizes.append(n)
        slack.append(1 + 16 * torch.finfo(torch.float32).eps * (n + k))
    a = torch.cat(squares)  # of all classes: few and long operations, not many short ones
    count, rounding = torch.tensor(sizes, device=a.device), torch.tensor(slack, device=a.device)
    which = torch.arange(len(sizes), device=a.device).repeat_interleave(count)

    def mean_over_class(values: Tensor) -> Tensor:
        total = values.new_zeros(len(sizes)).index_add_(0, which, values)
        return (total / count)[which]

    radius = mean_over_class(a)
    mean = a + radius
    variance = mean_over_class((a - radius).square()) + torch.cat(forms)
    low = mean.sqrt() * (1 - variance / (2 * mean.square()))
    high = mean.new_zeros(len(sizes)).scatter_reduce_(0, which, mean, "amin", include_self=False)
    # not (low > ...): where rows are alike, low is NaN, and they stay
    left = ~(low > (high.sqrt() * rounding)[which])
    first = (count.cumsum(0) - count)[which]
    near = torch.nonzero(left)[:, 0]
    kept: list[int] = torch.bincount(which[near], minlength=len(sizes)).tolist()
    return (near - first[near]).split(kept)


def by_products(rows: Rows, near: Tensor, dtype: torch.dtype, total: torch.dtype) -> Tensor:
    """Positions, of those in `near` [m], that sums over matrix products in `dtype` leave.

    s_ij = a_i + a_j - 2 x_i . x_j is one product of [-2 x_i, a_i, 1] and [x_j, 1, a_j]. However
    it is summed, rounding moves it by at most w (a_i + a_j), w = 1.5 (K + 8) eps. So a is made
    larger by w, and what comes out, t_ij, lies between s_ij and s_ij + c_ij^2,
    c_ij^2 = 2 w (a_i + a_j): sqrt(t_ij) is at least d_ij, and too large by at most

        min(c, c^2 / sqrt(t))  <=  c [(1 - sqrt(t) / R)^2 + 2 c / R]      for any R > 0.

    With R_j = sqrt(a_j + a_o), a_o > 0 that of the row whose sum came out smallest, h = sqrt(2 w)
    and g_i = max(1, sqrt(a_i / a_o)), c_ij is at most g_i h R_j; and the sum of the right side is

        g_i h [sum R_j - 2 sum sqrt(t_ij) + sum s_ij / R_j + 4 g_i h sum R_j]

    which costs O(K) a row, since s_ij is a polynomial in x_i. (The 4 in place of 2 is for t - s and
    for rounding in these sums.) Where distances are all about as large as R_j, as they are in many
    dimensions, little is left of it.

    Args:
        total: dtype of the sums.
    """
    n, k = len(rows), rows.z.shape[1]
    eps = torch.finfo(dtype).eps
    w = 1.5 * (k + 8) * eps
    sums = _sums(rows, near, dtype, total, 1 + w)
    if bool(sums.max() == 0):  # all alike
        return near
    a = torch.cat([square(x) for x in rows.centred(dtype)]).to(total)
    own = a[near]
    first = sums.argmin()
    centre = torch.maximum(own[first], (sums[first] / n).square() / 16)  # a_o, not too near 0
    r = (a + centre).sqrt()
    weighted = torch.zeros(k, dtype=total, device=a.device)  # sum_j x_j / R_j
    for x, part in zip(rows.centred(dtype), r.split(rows.step), strict=True):
        weighted += (x.T @ part.reciprocal().to(dtype)).to(total)
    along = torch.cat(
        [(rows.some(i, dtype) @ weighted.to(dtype)).to(total) for i in near.split(rows.step)]
    )
    over_r = own * r.reciprocal().sum() + (a / r).sum() - 2 * along  # sum_j s_ij / R_j
    summing = (rows.tile + 8) * eps  # relative, of a block's sums
    gh = (own / centre).clamp(min=1).sqrt() * (2 * w) ** 0.5
    spread = r.sum() - 2 * (1 - summing) * sums + over_r + 4 * gh * r.sum()
    too_large = gh * torch.minimum(spread, r.sum())
    low, high = sums * (1 - summing) - too_large, (sums * (1 + summing)).min()
    return near[torch.nonzero(~(low > high))[:, 0]]


def _sums(
    rows: Rows, near: Tensor, dtype: torch.dtype, total: torch.dtype, larger: float
) -> Tensor:
    """Sums over j of sqrt(t_ij) [m] of the rows `near`; of all of them by half the blocks."""
    n, k, tile = len(rows), rows.z.shape[1], rows.tile
    mirrored = len(near) == n  # t_ij = t_ji
    sums = torch.zeros(len(near), dtype=total, device=rows.z.device)

    def right(x: Tensor) -> Tensor:
        a = square(x)[:, None] * larger
        return torch.cat([x, torch.ones_like(a), a], 1)

    held = [right(x) for x in rows.centred(dtype, tile)] if rows.fits else None
    room = torch.ones(min(tile, len(near)), k + 2, dtype=dtype, device=rows.z.device)
    for i in range(0, len(near), tile):
        x = rows.some(near[i : i + tile], dtype)
        left = room[: len(x)]
        torch.mul(x, -2, out=left[:, :k])
        torch.mul(square(x), larger, out=left[:, k])
        first = i if mirrored else 0
        if held is None:
            others = (right(x) for x in rows.centred(dtype, tile, first))
        else:
            others = (x for x in held[first // tile :])
        for j, other in zip(range(first, n, tile), others, strict=True):
            d = torch.mm(left, other.T).sqrt_()
            sums[i : i + tile] += d.sum(1)
            if mirrored and j > i:
                sums[j : j + tile] += d.sum(0)
    return sums


def square(x: Tensor) -> Tensor:
    """|x_i|^2 [n] of rows [n, K], without a copy of them."""
    return torch.linalg.vector_norm(x, dim=1).square_()
