"""Which rows cannot be a Euclidean medoid: bounds on sums of distances, each one proved.

Pure mathematics. What is not ruled out is summed exactly in `distances.py`. Pruning row by row by
the triangle inequality, S_i >= |S_j - n d_ij|, was measured and left out: of 6,000 rows it computed
860 to 1,480 in 2 dimensions and 4,800 to 5,800 in 10, and took 2.5 to 100 times as long.

Letters: n rows x_i of one class, their mean taken off, K columns; a_i = |x_i|^2; S_i the sum over
j of the distances d_ij = |x_i - x_j|.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from toastlab.medoids.blocks import FEWEST, Rows

# Rows in one float32 sum: few keep rounding small, many keep operations few. And on a CPU the
# numbers in one part of the rows: what stays in its cache.
LONGEST, PART = 512, 2**19
# Rows for each column of a block of second moments, and the narrowest and widest block. Wide ones
# bound closely, narrow ones cost little: of 500 x 100 logits, made up and trained, blocks of 50
# left 4 to 23 rows to be summed and blocks of 100 left 2 to 13, for a twelfth more time in all.
ROWS_A_COLUMN, NARROWEST, WIDEST = 12, 50, 256
PROMISING = 32  # rows of a class that are summed at once
FEW_COLUMNS = 128  # in one of those products, to keep rounding small


def by_moments(rows: Rows, real: Tensor, total: torch.dtype) -> Tensor:
    """Which rows [C, n] of C classes remain, once those of the lowest `_lower_bounds` are summed.

    Args:
        rows: [C, n] of them.
        real: [C, n] bool, the rows that count; the others only fill up.
        total: dtype of what is kept per row.
    """
    squares = torch.cat([_squares(x, _wide(rows)) for x in _parts(rows)], 2)
    low = torch.where(real, _lower_bounds(rows, real, squares, total), torch.inf)
    # NaN is last in order, and not above anything: where there is no bound, all rows stay.
    first = low.topk(min(PROMISING, len(rows)), largest=False).indices
    sums, off = _promising(rows, real, first, squares.sum(0), total)
    high = torch.where(real.gather(1, first), sums + off, torch.inf).amin(1, keepdim=True)
    return (~(low > high)).scatter(1, first, ~(sums - off > high)) & real


def _lower_bounds(rows: Rows, real: Tensor, squares: Tensor, total: torch.dtype) -> Tensor:
    """At most S_i of each row [C, n], from weighted moments of its squared distances, or NaN.

    With s_ij = d_ij^2 and any weights u_j > 0, let

        T1_i = sum_j u_j s_ij,    T3_i = sum_j u_j^3 s_ij^2.

    Hoelder's inequality, T1 <= S^(2/3) T3^(1/3), gives

        S_i  >=  sqrt(T1_i^3 / T3_i),

    equal where u_j = 1 / d_ij. A row in the middle of many columns has d_ij^2 near a_i + a_j: with
    u_j = 1 / sqrt(a_o + a_j), a_o the median of a, the bound is close for the rows that matter. As
    s_ij = a_i + a_j - 2 x_i . x_j, both moments are polynomials in x_i, of O(K) a row but for
    f_i = sum_j u_j^3 (x_i . x_j)^2. That is |Y x_i|^2 for the matrix Y of rows u_j^1.5 x_j, and
    for blocks b of columns,

        |Y x_i|  <=  sum_b |Y_b x_ib|  <=  sum_b sqrt(l_b) |x_ib|,

    l_b the largest eigenvalue of Y_b' Y_b: n K operations a column of a block, where all pairs
    take n^2 K.

    Rounding: T1 and T3 are off by at most 2 g P1 and 2 g P3, P1 and P3 the same sums over absolute
    values (2 |x_i . x_j| <= a_i + a_j). Rounding x to float32 moves S_i by at most 3 eps S_i.

    Args:
        squares: [blocks, C, n], |x_ib|^2.
    """
    a = squares.sum(0, dtype=total)
    # sorted, since CUDA's median is not among the deterministic algorithms
    middle = a.sort(1).values[:, len(rows) // 2, None]
    unit = torch.maximum(middle, a.mean(1, keepdim=True) / 1024)
    # From here on a_o is 1. Where float32 would underflow, all is NaN.
    a = a / torch.where(unit > 1e-30, unit, torch.nan)
    u = (1 + a).rsqrt() * real
    v = u * u * u
    weights = torch.stack([u, v, a * v], 1)
    u_sum, v_sum, av_sum = weights.sum(2, keepdim=True).unbind(1)
    g = _slack(rows) + len(rows) * torch.finfo(total).eps
    linear, blocks = _weighted(rows, weights)
    along = torch.cat([linear.float() @ x.mT for x in _parts(rows)], 2).to(total)
    along *= (2 / unit)[:, None]
    largest = _largest(blocks, g) / unit
    form = (largest.float() * squares).sqrt_().sum(0).square_().to(total) / unit
    p1 = a * u_sum + (a * u).sum(1, keepdim=True)
    p3 = (a * v_sum + 2 * av_sum) * a + (a * a * v).sum(1, keepdim=True)
    t1 = p1 - along[:, 0]
    t3 = p3 - 2 * (a * along[:, 1] + along[:, 2]) + 4 * form
    t1 = (t1 - 2 * g * p1).clamp(min=0)
    return (t1**3 / (t3 + 2 * g * p3) * unit).sqrt() / (1 + 4 * g)


def _promising(
    rows: Rows, real: Tensor, first: Tensor, squares: Tensor, total: torch.dtype
) -> tuple[Tensor, Tensor]:
    """S_i of the rows at positions `first` [C, m] by products, and what it is off by at most.

    s_ij is off by at most e_ij = w (a_i + a_j), see `by_products`. Made no smaller than e_ij, its
    root is off by at most e_ij over that root.

    Args:
        squares: [C, n], a.
    """
    x, step, eps = rows.some(first, torch.float32), _step(rows), torch.finfo(torch.float32).eps
    w = _rounding(rows, torch.float32)
    own = squares.gather(1, first)[:, None]
    sums, off = torch.zeros(2, *first.shape, dtype=total, device=x.device)
    for others, a, part in zip(
        _parts(rows), squares.split(step, 1), real.split(step, 1), strict=True
    ):
        both = a[:, :, None] + own
        s = torch.add(both, _product(others, x), alpha=-2)
        e = both.mul_(w).clamp_(min=1e-37)
        d = torch.maximum(s, e).sqrt_()
        sums += d.mul(part[:, :, None]).sum(1, dtype=total)
        off += e.div_(d).mul_(part[:, :, None]).sum(1)
    return sums, 1.01 * off + 8 * eps * sums


def _weighted(rows: Rows, weights: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j w_j x_j [C, 3, K] for the weights u, u^3 and a u^3 [C, 3, n], and of each block b of
    columns sum_j u_j^3 x_jb x_jb' [blocks, C, w, w]."""
    wide, (c, _, _) = _wide(rows), weights.shape
    linear = torch.zeros((), dtype=weights.dtype, device=weights.device)
    some = -(-rows.z.shape[1] // wide)
    blocks = torch.zeros(some, c, wide, wide, device=weights.device)  # the last: a part of it
    for x, w in zip(_parts(rows), weights.float().split(_step(rows), 2), strict=True):
        linear = linear + w @ x
        for block, b in zip(blocks, x.split(wide, 2), strict=True):
            block[:, : b.shape[2], : b.shape[2]].baddbmm_((b * w[:, 1, :, None]).mT, b)
    return linear, blocks


def _largest(blocks: Tensor, slack: float) -> Tensor:
    """At least the largest eigenvalue of symmetric matrices B >= 0: [.., w, w] to [.., 1].

    That is (tr B^8)^(1/8). Rounding has moved B, and so its eigenvalues, by at most g tr B, and
    moves the powers by far less than 1 %.
    """
    trace = blocks.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True).clamp(min=1e-37)
    power = blocks / trace[..., None]
    for _ in range(2):
        power = power @ power
    root = torch.linalg.vector_norm(power, dim=(-2, -1)).sqrt_().sqrt_()[..., None]
    return trace * (1.01 * root + slack)


def _step(rows: Rows) -> int:
    """Rows of a part."""
    step = min(rows.step, LONGEST)
    if rows.z.device.type == "cpu":
        step = min(step, PART * len(rows) // (rows.index.numel() * rows.z.shape[1]))
    return max(FEWEST, step)


def _parts(rows: Rows) -> Iterator[Tensor]:
    return rows.centred(torch.float32, _step(rows))


def _wide(rows: Rows) -> int:
    """Columns of a block."""
    return min(rows.z.shape[1], WIDEST, max(NARROWEST, len(rows) // ROWS_A_COLUMN))


def _squares(x: Tensor, wide: int) -> Tensor:
    """|x_ib|^2 of blocks b of columns of rows x [.., s, K]: [blocks, .., s]."""
    return torch.stack([torch.linalg.vector_norm(b, dim=-1).square_() for b in x.split(wide, -1)])


def _square(x: Tensor) -> Tensor:
    """|x_i|^2 [.., s], summed over `FEW_COLUMNS` at a time."""
    return _squares(x, FEW_COLUMNS).sum(0)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left right' [.., m, s] of [.., m, k] and [.., s, k], `FEW_COLUMNS` at a time."""
    parts = zip(left.split(FEW_COLUMNS, -1), right.split(FEW_COLUMNS, -1), strict=True)
    first, other = next(parts)
    found = first @ other.mT
    for x, y in parts:
        found += x @ y.mT
    return found


def _slack(rows: Rows) -> float:
    """g: twice what float32 sums over rows and over columns are off by, of the sums of absolute
    values: a sum of m terms by m eps / 2, and rows are summed by parts."""
    n, k, step = len(rows), rows.z.shape[1], _step(rows)
    return torch.finfo(torch.float32).eps * (step + n / step + 2 * k + 16)


def _rounding(rows: Rows, dtype: torch.dtype) -> float:
    """w: s_ij = a_i + a_j - 2 x_i . x_j in `dtype`, summed over `FEW_COLUMNS` at a time, is off by
    at most w (a_i + a_j)."""
    k = rows.z.shape[1]
    return 1.5 * (min(k, FEW_COLUMNS) + k // FEW_COLUMNS + 8) * torch.finfo(dtype).eps


def by_products(rows: Rows, near: Tensor, dtype: torch.dtype, total: torch.dtype) -> Tensor:
    """Positions, of those in `near` [m], that sums over matrix products in `dtype` leave.

    s_ij = a_i + a_j - 2 x_i . x_j is one product of [-2 x_i, a_i, 1] and [x_j, 1, a_j]. Rounding
    moves it by at most w (a_i + a_j), see `_rounding`. So a is made larger by w, and what comes
    out, t_ij, lies between s_ij and s_ij + c_ij^2, c_ij^2 = 2 w (a_i + a_j): sqrt(t_ij)
    is at least d_ij, and too large by at most

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
    eps, w = torch.finfo(dtype).eps, _rounding(rows, dtype)
    sums = _sums(rows, near, dtype, total, 1 + w)
    if bool(sums.max() == 0):  # all alike
        return near
    a = torch.cat([_square(x) for x in rows.centred(dtype)]).to(total)
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
    if n / 2 < len(near) < n:
        return _sums(rows, torch.arange(n, device=near.device), dtype, total, larger)[near]
    mirrored = len(near) == n  # t_ij = t_ji
    sums = torch.zeros(len(near), dtype=total, device=rows.z.device)

    def right(x: Tensor) -> Tensor:
        a = _square(x)[:, None] * larger
        return torch.cat([x, torch.ones_like(a), a], 1)

    held = [right(x) for x in rows.centred(dtype, tile)] if rows.fits else None
    room = torch.ones(min(tile, len(near)), k + 2, dtype=dtype, device=rows.z.device)
    for i in range(0, len(near), tile):
        x = rows.some(near[i : i + tile], dtype)
        left = room[: len(x)]
        torch.mul(x, -2, out=left[:, :k])
        torch.mul(_square(x), larger, out=left[:, k])
        first = i if mirrored else 0
        if held is None:
            others = (right(x) for x in rows.centred(dtype, tile, first))
        else:
            others = (x for x in held[first // tile :])
        for j, other in zip(range(first, n, tile), others, strict=True):
            d = _product(left, other).sqrt_()
            sums[i : i + tile] += d.sum(1)
            if mirrored and j > i:
                sums[j : j + tile] += d.sum(0)
    return sums
