"""Stage 1: class medoids of the logits, and the soft targets made of them.

[S] The source softens hard targets with class medoids generated from the logit vectors of each
class. [R] Distance, candidates, temperature and the mixing form are this project's reading.

Letters: N samples, K classes, n members of one class.
"""

from dataclasses import dataclass
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses import FakeTensor

from toastlab.errors import in_range, one_of

DISTANCES = ("euclidean", "squared-euclidean", "cosine", "manhattan")
SCOPES = ("correct", "all")
PROTOTYPES = ("medoid", "mean", "mean-softmax", "uniform")

# Memory for one block of pairwise distances, in bytes: small enough to stay in a CPU's cache,
# which is what the speed of the pairwise pass depends on.
BLOCK_BYTES = 2**19


@dataclass(frozen=True, eq=False)
class Medoids:
    """One member per class. A class without candidates has `index` -1 and a row of zeros.

    Attributes:
        index: [K] int64, the medoid's row in the logits it was chosen from, or -1.
        logits: [K, K] the medoid's logits.
    """

    index: Tensor
    logits: Tensor

    @property
    def exists(self) -> Tensor:
        """[K] bool: the class had at least one candidate."""
        return self.index >= 0


def candidates(logits: Tensor, labels: Tensor, scope: str = "correct") -> Tensor:
    """Who may become a medoid: S_c = { i : y_i = c and argmax z_i = c }, or the whole class.

    Args:
        logits: [N, K] float.
        labels: [N] int64.
        scope: "correct" [R] or "all" [R, option].

    Returns:
        [N] bool.
    """
    one_of("scope", scope, SCOPES)
    if scope == "all":
        return torch.ones_like(labels, dtype=torch.bool)
    return logits.argmax(1) == labels


def class_medoids(
    logits: Tensor,
    labels: Tensor,
    *,
    distance: str = "euclidean",
    scope: str = "correct",
    seen: Tensor | None = None,
) -> Medoids:
    """The exact medoid of each class c: m_c = z_{i*}, i* = argmin_i sum_j d(z_i, z_j), i, j in S_c.

    Exact means: the sums that decide are taken over coordinate differences in float64 (float32
    where a device has no float64). Ties, to one part in 10^12, go to the lowest index.
    This runs once per epoch and may wait for the device; the training step never calls it.

    Args:
        logits: [N, K] floating point, any precision; finite wherever `seen`.
        labels: [N] int64 in 0..K-1.
        distance: "euclidean" [R], "squared-euclidean", "cosine" (1 - cos) or "manhattan".
        scope: who may be chosen and counted, see `candidates`.
        seen: [N] bool, rows that hold logits at all; None means every row.

    Raises:
        ValueError: unknown names, wrong shapes, labels out of range, logits not finite.
    """
    one_of("distance", distance, DISTANCES)
    _check(logits, labels)
    num_classes = logits.shape[1]
    chosen = candidates(logits, labels, scope)
    if seen is not None:
        chosen = chosen & seen
        logits = logits.masked_fill(~seen[:, None], 0)
    if len(logits) and not all(isfinite(float(v)) for v in logits.aminmax()):
        row = int((~torch.isfinite(logits)).any(1).nonzero()[0])
        raise ValueError(
            f"the logits of sample {row} are not finite; a medoid of them would mean nothing. "
            "Lower the learning rate, or start again from the last good checkpoint."
        )
    # Members of class c stand together, in rising index order: one sort and one read of sizes.
    key = torch.where(chosen, labels, num_classes)
    order = torch.argsort(key, stable=True)
    sizes = torch.bincount(key, minlength=num_classes + 1).tolist()[:num_classes]

    order = order[: sum(sizes)]
    nobody = torch.tensor(-1, device=logits.device)
    index = torch.stack(
        [
            members[_medoid_of(rows, distance)] if len(members) else nobody
            for members, rows in zip(order.split(sizes), logits[order].split(sizes), strict=True)
        ]
    )
    rows = torch.zeros(num_classes, num_classes, dtype=logits.dtype, device=logits.device)
    if len(order):
        rows = logits[index.clamp(min=0)].masked_fill((index < 0)[:, None], 0)
    return Medoids(index, rows)


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or logits.shape[1] < 1:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)} do "
            "not belong together; give logits [N, K] and labels [N]."
        )
    if not logits.is_floating_point():
        raise TypeError(f"logits are {logits.dtype}; give a floating-point tensor.")
    check_labels(labels, logits.shape[1])


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Checks that labels [N] lie in 0..K-1.

    Raises:
        ValueError: they do not.
    """
    if len(labels) and not isinstance(labels, FakeTensor):
        low, high = (int(v) for v in labels.aminmax())
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"labels run from {low} to {high}, but there are {num_classes} classes; labels "
                f"must lie in 0..{num_classes - 1}."
            )


def _medoid_of(z: Tensor, distance: str) -> Tensor:
    """Position [] of the medoid among the rows of z [n, K], all of one class."""
    exact = torch.float32 if z.device.type == "mps" else torch.float64
    if distance == "cosine":
        # sum_j (1 - u_i . u_j) = n - u_i . sum_j u_j: most aligned with the mean direction.
        u = F.normalize(z.to(exact), dim=1, eps=torch.finfo(exact).tiny)
        return _first_smallest(len(u) - u @ u.sum(0), floor=float(len(u)))
    if distance == "squared-euclidean":
        # sum_j |z_i - z_j|^2 = n |z_i - mean|^2 + a constant: the member nearest to the mean.
        x = z.to(exact)
        return _first_smallest((x - x.mean(0)).square().sum(1))
    # All pairs, in two passes: quick sums by matrix products leave the few rows that rounding
    # cannot tell apart from the smallest; those are summed again exactly.
    p = 2.0 if distance == "euclidean" else 1.0
    x = z.float() - z.float().mean(0)  # distances do not move; rounding shrinks
    sums, error = _quick_sums(x, p)
    near = torch.nonzero(sums <= sums.min() + 2 * error)[:, 0]
    if len(near) == 1:
        return near[0]
    x = z.to(exact)
    step = max(1, BLOCK_BYTES // (8 * len(x)))
    exact_sums = [
        torch.cdist(rows, x, p=p, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
        for rows in x[near].split(step)
    ]
    return near[_first_smallest(torch.cat(exact_sums))]


def _quick_sums(x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Sums of distances [n] of each row of x [n, K] to all rows, and a bound [] on their error."""
    n, k = x.shape
    eps = torch.finfo(x.dtype).eps
    step = max(1, BLOCK_BYTES // (4 * n))
    if p == 1:
        sums = torch.cat([torch.cdist(rows, x, p=1).sum(1) for rows in x.split(step)])
        return sums, (n + k) * eps * sums.max()
    squares = x.square().sum(1)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, by matrix products in blocks; d(a, b) = d(b, a) saves half.
    sums = x.new_zeros(n)
    for i in range(0, n, step):
        rows = slice(i, i + step)
        block = torch.addmm(squares[i:], x[rows], x[i:].T, alpha=-2)
        block.add_(squares[rows, None]).clamp_(min=0).sqrt_()
        sums[rows] += block.sum(1)
        sums[i + step :] += block[:, step:].sum(0)
    # Each squared distance is off by at most ~ eps K R^2, so each distance by the root of that.
    worst = (4 * k * eps * squares.max()).sqrt()
    return sums, n * worst + n * eps * sums.max()


def _first_smallest(values: Tensor, floor: float = 0.0) -> Tensor:
    """Lowest position [] among the values [n] that equal the smallest up to rounding.

    `floor` is the size of the terms that cancelled in `values`, where there are such.
    """
    rtol = 1e-12 if values.dtype == torch.float64 else 1e-5
    low = values.min()
    return (values <= low + rtol * low.abs().clamp(min=floor)).int().argmax()


def class_means(logits: Tensor, labels: Tensor, chosen: Tensor, *, softmax: bool = False) -> Tensor:
    """Mean logits (or mean softmax) of the chosen members of each class, the medoid's rival.

    With `softmax` this is the class target of online label smoothing (Zhang et al., 2021).

    Args:
        logits: [N, K]; labels: [N] int64; chosen: [N] bool.

    Returns:
        [K, K]; zeros where a class has no chosen member.
    """
    rows = logits.float().softmax(1) if softmax else logits.float()
    rows = torch.where(chosen[:, None], rows, torch.zeros((), device=rows.device))
    count = torch.zeros(logits.shape[1], device=rows.device).index_add_(0, labels, chosen.float())
    total = torch.zeros(logits.shape[1], logits.shape[1], device=rows.device)
    return total.index_add_(0, labels, rows) / count.clamp(min=1)[:, None]


def describe_medoids(
    medoids: Medoids, logits: Tensor, labels: Tensor, chosen: Tensor, soft: Tensor
) -> dict[str, float]:
    """What anyone should know before believing in medoids; means over the classes that have one.

    Args:
        medoids: of these logits [N, K] and labels [N]; chosen: [N] bool, their candidates.
        soft: [K, K] soft targets in use.

    Returns:
        medoid_to_mean: |m_c - mean_c| over the mean of |z_i - mean_c|; 0 means that the class mean
        would do as well. target_entropy: of q_c in nats, from 0 (hard: nothing is softened) to
        log K (uniform: label smoothing).
    """
    means = class_means(logits, labels, chosen)
    off = torch.linalg.vector_norm(logits.float() - means[labels], dim=1)[:, None]
    radius = class_means(off.expand(-1, logits.shape[1]), labels, chosen)[:, 0]
    distance = torch.linalg.vector_norm(medoids.logits.float() - means, dim=1)
    exists = medoids.exists & (radius > 0)
    ratio = torch.where(exists, distance / radius.clamp(min=1e-12), 0).sum() / exists.sum()
    entropy = -torch.special.xlogy(soft, soft).sum(1).mean()
    return {"medoid_to_mean": float(ratio), "target_entropy": float(entropy)}


def soft_targets(medoid_logits: Tensor, exists: Tensor, temperature: float = 1.0) -> Tensor:
    """q_c = softmax(m_c / T_m); a class without medoid keeps its hard target.

    Args:
        medoid_logits: [K, K]; exists: [K] bool; temperature: T_m > 0.

    Returns:
        [K, K] float32, rows sum to 1.
    """
    in_range("medoid temperature", temperature, 0, open_low=True)
    hard = torch.eye(len(exists), device=medoid_logits.device)
    soft = (medoid_logits.float() / temperature).softmax(1)
    return torch.where(exists[:, None], soft, hard)


def class_targets(soft: Tensor, weight: float) -> Tensor:
    """t_c = (1 - a) e_c + a q_c, the target of every sample of class c.

    Args:
        soft: [K, K] soft targets q; weight: a in [0, 1].
    """
    in_range("medoid weight", weight, 0, 1)
    return torch.lerp(torch.eye(len(soft), device=soft.device), soft, weight)
