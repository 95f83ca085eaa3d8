"""Which rows may still be a Euclidean medoid: bounds on sums of distances, each one proved.

`possible_medoids` is the entrance. Moments of a row's squared distances, O(n K) a class for each
column of a block, leave a few rows of one cloud. Where they leave dozens (few columns), sums over
matrix products with all rows follow for those, and where they leave most (two clouds, heavy tails),
for all; a small class alone has them at once. What is left is summed exactly in `exact.py`.

Pruning row by row by the triangle inequality, S_i >= |S_j - n d_ij|, was measured and left out: of
6,000 rows it computed 860 to 1,480 in 2 dimensions and 4,800 to 5,800 in 10, and took 2.5 to 100
times as long.

Letters: C classes of n rows x_i, their mean taken off, K columns; a_i = |x_i|^2; S_i the sum over j
of the distances d_ij = |x_i - x_j|, s_ij = d_ij^2; m rows looked at.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from toastlab.medoids.blocks import (
    GROUP_BYTES,
    MEMORY,
    ROW_BYTES,
    Rows,
    alike_in_size,
    deciding_dtype,
    padded,
)

# So few rows, or so few coordinate differences in all, are summed directly, without a quicker look.
FEW, LITTLE = 16, 2**19
# Rows for each column of a block of second moments, and the narrowest and widest block. Wide ones
# bound closely, narrow ones cost little: of 500 x 100 logits, made up and trained, blocks of 50
# left 4 to 23 rows to be summed and blocks of 100 left 2 to 13, for a twelfth more time in all.
ROWS_A_COLUMN, NARROWEST, WIDEST = 12, 50, 256
# A class alone of so few products, n^2 K, goes to all pairs at once: the moments' hundred small
# operations take longer. So do 1, 3, 7, .. groups of classes after the 1st, 2nd, 3rd, .. in a row
# of which the moments left more than one row in `MANY`.
CHEAP, MANY = 2**25, 4
PROMISING = 32  # rows of a class that are summed at once
PARTS = 8  # of a block's roots, that are summed apart where the sums are not in float64
FEW_COLUMNS = 128  # in one of the products that sums are made of, to keep rounding small


def possible_medoids(z: Tensor, members: Sequence[Tensor], memory: int = MEMORY) -> list[Tensor]:
    """Positions, among each class's rows, of those that may have the smallest sum of distances.

    To be called without autocast. Products are made in float32; where PyTorch is allowed to round
    those to fewer bits (TF32, or bf16 on a CPU), which the bounds could not count on, in float64.

    Args:
        z: [N, K] floating point, finite.
        members: of each class its rows in z, [n] int64, n >= 1.
        memory: bytes for blocks of rows and distances, beyond a few numbers per row.

    Returns:
        [m] int64 of each class, rising, m >= 1.
    """
    k, exact = z.shape[1], deciding_dtype(z.device)
    quick = quick_dtype(z)
    possible = [torch.arange(len(rows), device=z.device) for rows in members]
    most = memory // (32 * k + ROW_BYTES)
    if z.device.type == "cpu":
        most = min(most, GROUP_BYTES // (4 * k))
    large = [c for c, rows in enumerate(members) if len(rows) > FEW]
    pause = to_pause = 0  # groups that are spared the moments after the last ones' failure
    for group in alike_in_size([len(members[c]) for c in large], most):
        if len(group) == 1 and len(members[large[group[0]]]) ** 2 * k <= CHEAP:
            continue
        if to_pause:
            to_pause -= 1
            continue
        index, real = padded([members[large[i]] for i in group])
        left = by_moments(Rows(z, index, memory, quick), real)
        counts = left.sum(1).tolist()
        in_vain = MANY * sum(counts) > sum(len(members[large[i]]) for i in group)
        pause = to_pause = 2 * pause + 1 if in_vain else 0
        parts = left.nonzero()[:, 1].split(counts)
        for i, positions in zip(group, parts, strict=True):
            possible[large[i]] = positions
    for c in large:
        for dtype in dict.fromkeys((quick, exact)):
            m, n = len(possible[c]), len(members[c])
            if m > FEW and m * n * k > LITTLE:
                rows = Rows(z, members[c][None], memory, dtype)
                possible[c] = by_products(rows, possible[c])
    return possible


def quick_dtype(z: Tensor) -> torch.dtype:
    """The dtype of products, which bounds can count on."""
    return torch.float32 if _float32_is_float32() else deciding_dtype(z.device)


def all_pairs(rows: Rows, real: Tensor) -> Tensor:
    """Which rows [C, n] sums over matrix products of all pairs leave.

    Args:
        real: [C, n] bool, the rows that count; the others only fill up.
    """
    squares = torch.cat([_squares(x, FEW_COLUMNS).sum(0) for x in rows.centred()], 1)
    every = torch.arange(rows.n, device=real.device).expand(real.shape)
    return _left_by_sums(rows, real, every, squares, real)[0]


def _left_by_sums(
    rows: Rows, real: Tensor, positions: Tensor, squares: Tensor, asked: Tensor
) -> tuple[Tensor, Tensor]:
    """Which of the rows at `positions` [C, m] `sums_of_products` leaves, [C, m] bool, and the least
    upper bound of their sums, [C, 1].

    Args:
        real, squares: see there.
        asked: [C, m] bool, the positions that are meant; the others only fill up.
    """
    least, most = sums_of_products(rows, real, positions, squares)
    most = torch.where(asked, most, torch.inf).amin(1, keepdim=True)
    # NaN is not above anything: where there is no bound, all stay
    return ~(least > most) & asked, most


def _float32_is_float32() -> bool:
    """Whether PyTorch may not round float32 products to fewer bits."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # devices differ
        return False


def by_moments(rows: Rows, real: Tensor) -> Tensor:
    """Which rows [C, n] of C classes remain, once those of the lowest `_lower_bounds` are summed,
    and those that are left then, unless they are most of a class.

    Args:
        rows: [C, n] of them.
        real: [C, n] bool, the rows that count; the others only fill up.
    """
    blocks = torch.cat([_squares(x, _wide(rows)) for x in rows.centred()], 2)
    squares = blocks.sum(0)
    low = torch.where(real, _lower_bounds(rows, real, blocks), torch.inf)
    # NaN is last in order, and not above anything: where there is no bound, all rows stay.
    first = low.topk(min(PROMISING, rows.n), largest=False).indices
    kept, most = _left_by_sums(rows, real, first, squares, real.gather(1, first))
    left = (~(low > most)).scatter(1, first, kept) & real
    many = int(left.sum(1).max())
    if not FEW < many <= rows.n // 2:
        return left
    # In few columns the bound is loose. All that it has left is summed, of all classes at once.
    then = torch.where(left, low, torch.inf).topk(many, largest=False).indices
    kept, _ = _left_by_sums(rows, real, then, squares, left.gather(1, then))
    return left.scatter(1, then, kept)


def by_products(rows: Rows, positions: Tensor) -> Tensor:
    """Those of `positions` [m] in the one class that sums over matrix products leave."""
    every = torch.arange(rows.n, device=positions.device)
    squares = torch.cat([_squares(x, FEW_COLUMNS).sum(0) for x in rows.centred()], 1)
    real = torch.ones_like(squares, dtype=torch.bool)
    if 2 * len(positions) > rows.n:  # half the blocks do for every row
        least, most = (x[0, positions] for x in sums_of_products(rows, real, every[None], squares))
    else:
        least, most = (x[0] for x in sums_of_products(rows, real, positions[None], squares))
    return positions[~(least > most.min())]


def sums_of_products(
    rows: Rows, real: Tensor, positions: Tensor, squares: Tensor
) -> tuple[Tensor, Tensor]:
    """Bounds, lower and upper, of S_i [C, m] of the rows at `positions` [C, m].

    s_ij = a_i + a_j - 2 x_i . x_j. Rounding moves it by at most w (a_i + a_j), and underflow by
    less than f. So a is made larger by w a + f, and what comes out, t_ij, lies between s_ij and
    s_ij + 2 w (a_i + a_j) + 4 f. Its root is at least d_ij, and too large by at most

        (t_ij - s_ij) / sqrt(t_ij)  <=  (2 w (a_i + a_j) + 4 f) / sqrt(t_ij).

    Args:
        real: [C, n] bool, the rows that count; the others only fill up.
        squares: [C, n], a, in the rows' dtype.
    """
    step, k, info = rows.step, rows.z.shape[1], torch.finfo(rows.dtype)
    # Half of it for the products, summed over `FEW_COLUMNS` at a time, and most for the squares,
    # over `WIDEST` at most: sums of m terms are off by m eps / 2 of the absolute values.
    w = 1.5 * (min(k, FEW_COLUMNS) + k // FEW_COLUMNS + 8) * info.eps
    f = 4 * k * info.tiny
    a = squares * (1 + w) + f
    own = a.gather(1, positions)
    exact = deciding_dtype(rows.z.device)
    few = positions.shape[1] <= PROMISING
    mirrored = positions.shape[1] == rows.n and not few  # all, in order: t_ij = t_ji
    summed = exact if few else rows.dtype
    weights = torch.stack([real, a * real], 1).to(summed)
    # Every eighth root is summed apart, to keep rounding small: terms of weight 0 round nothing.
    parts = 1 if few else PARTS
    part = torch.arange(rows.n, device=a.device) % parts
    apart = weights[:, :1] * (part == torch.arange(parts, device=a.device)[:, None])
    c, m = positions.shape
    roots, inverses = (torch.zeros(c, r, m, dtype=exact, device=a.device) for r in (parts, 2))
    for i in range(0, m, step):
        mine = slice(i, i + step)
        x = None if mirrored else rows.centred_at(positions[:, mine])
        start = i if mirrored else 0
        for j, y in zip(range(start, rows.n, step), rows.centred(start), strict=True):
            x, other = y if x is None else x, slice(j, j + step)
            t = a[:, other, None] + own[:, None, mine]
            for ys, xs in zip(y.split(FEW_COLUMNS, 2), x.split(FEW_COLUMNS, 2), strict=True):
                t.baddbmm_(ys, xs.mT, alpha=-2)
            d = t.sqrt_().to(summed)
            for sums, w_j in ((roots, apart), (inverses, weights)):
                if sums is inverses:
                    d.reciprocal_()
                sums[..., mine] += w_j[..., other] @ d
                if mirrored and j > i:
                    sums[..., other] += w_j[..., mine] @ d.mT
    sums, (inverse, ratio) = roots.sum(1), inverses.unbind(1)
    # of rounding rows and in sums; and ties are not ruled out
    e = 8 * info.eps + -(-step // parts) * torch.finfo(summed).eps + 1e-12
    too_large = (2 * w * own + 4 * f) * inverse + 2 * w * ratio
    return sums * (1 - e) - 1.01 * too_large, sums * (1 + e)


def _lower_bounds(rows: Rows, real: Tensor, squares: Tensor) -> Tensor:
    """At most S_i of each row [C, n], from weighted moments of its squared distances, or NaN.

    With any weights u_j > 0, let

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
    values (2 |x_i . x_j| <= a_i + a_j). g is twice what sums over rows, summed by parts, and over
    columns are off by, of the sums of absolute values: a sum of m terms by m eps / 2. Rounding x
    moves S_i by at most 3 eps S_i.

    Args:
        squares: [blocks, C, n], |x_ib|^2.
    """
    n, k, total = rows.n, rows.z.shape[1], deciding_dtype(rows.z.device)
    g = torch.finfo(rows.dtype).eps * (rows.step + n / rows.step + 2 * k + 16)
    g += n * torch.finfo(total).eps
    a = squares.sum(0, dtype=total)
    # sorted, since CUDA's median is not among the deterministic algorithms
    middle = a.sort(1).values[:, n // 2, None]
    unit = torch.maximum(middle, a.mean(1, keepdim=True) / 1024)
    # From here on a_o is 1. Where float32 would underflow, all is NaN.
    a = a / torch.where(unit > 1e-30, unit, torch.nan)
    u = (1 + a).rsqrt() * real
    v = u * u * u
    weights = torch.stack([u, v, a * v], 1)
    u_sum, v_sum, av_sum = weights.sum(2, keepdim=True).unbind(1)
    linear, blocks = _weighted(rows, weights)
    along = torch.cat([linear.to(x.dtype) @ x.mT for x in rows.centred()], 2).to(total)
    along *= (2 / unit)[:, None]
    largest = _largest(blocks, g) / unit
    form = (largest.to(squares.dtype) * squares).sqrt_().sum(0).square_().to(total) / unit
    p1 = a * u_sum + (a * u).sum(1, keepdim=True)
    p3 = (a * v_sum + 2 * av_sum) * a + (a * a * v).sum(1, keepdim=True)
    t1 = p1 - along[:, 0]
    t3 = p3 - 2 * (a * along[:, 1] + along[:, 2]) + 4 * form
    t1 = (t1 - 2 * g * p1).clamp(min=0)
    return (t1**3 / (t3 + 2 * g * p3) * unit).sqrt() / (1 + 4 * g)


def _weighted(rows: Rows, weights: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j w_j x_j [C, 3, K] for the weights u, u^3 and a u^3 [C, 3, n], and of each block b of
    columns sum_j u_j^3 x_jb x_jb' [blocks, C, w, w]."""
    wide, c, k = _wide(rows), len(weights), rows.z.shape[1]
    linear = torch.zeros(c, 3, k, dtype=weights.dtype, device=weights.device)
    # the last block: a part of it
    blocks = torch.zeros(-(-k // wide), c, wide, wide, dtype=rows.dtype, device=weights.device)
    for x, w in zip(rows.centred(), weights.to(rows.dtype).split(rows.step, 2), strict=True):
        linear += w @ x
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


def _wide(rows: Rows) -> int:
    """Columns of a block of second moments."""
    return min(rows.z.shape[1], WIDEST, max(NARROWEST, rows.n // ROWS_A_COLUMN))


def _squares(x: Tensor, wide: int) -> Tensor:
    """|x_ib|^2 of blocks b of columns of rows x [C, m, K]: [blocks, C, m]."""
    return torch.stack([torch.linalg.vector_norm(b, dim=-1).square_() for b in x.split(wide, -1)])
