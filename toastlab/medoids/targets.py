"""Stage 1: class medoids of the logits, and the soft targets made of them.

[S] The source softens hard targets with class medoids generated from the logit vectors of each
class. [R] Distance, candidates, temperature and the mixing form are this project's reading.

Letters: N samples, K classes, n members of one class.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from toastlab.core.checks import BOOL, FLOAT, INT, check_labels, check_shapes
from toastlab.core.errors import TrainingDiverged, in_range, one_of
from toastlab.medoids.blocks import MEMORY
from toastlab.medoids.exact import DISTANCES, Distance, medoid_rows

Scope = Literal["correct", "all"]
SCOPES = get_args(Scope)


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


def candidates(logits: Tensor, labels: Tensor, scope: Scope = "correct") -> Tensor:
    """Who may become a medoid: S_c = { i : y_i = c and argmax z_i = c }, or the whole class.

    Args:
        logits: [N, K] float.
        labels: [N] int64.
        scope: "correct" [R] or "all" [R, option].

    Returns:
        [N] bool.
    """
    one_of("scope", scope, SCOPES)
    check_shapes(logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"))
    if scope == "all":
        return torch.ones_like(labels, dtype=torch.bool)
    return logits.argmax(1) == labels


def class_medoids(
    logits: Tensor,
    labels: Tensor,
    *,
    distance: Distance = "euclidean",
    scope: Scope = "correct",
    seen: Tensor | None = None,
    memory: int = MEMORY,
) -> Medoids:
    """The exact medoid of each class c: m_c = z_{i*}, i* = argmin_i sum_j d(z_i, z_j), i, j in S_c.

    Exact means: the sums that decide are taken over coordinate differences in float64 (float32
    where a device has no float64). Ties, to one part in 10^12, go to the lowest index.
    This runs once per epoch and may wait for the device; the training step never calls it.

    Args:
        logits: [N, K] floating point, any precision; finite wherever `seen`, and not so large that
            squares of their distances overflow: for 50,000 x 100 up to 3e150, or 4e15 where a
            device has no float64.
        labels: [N] int64 in 0..K-1.
        distance: "euclidean" [R], "squared-euclidean", "cosine" (1 - cos) or "manhattan".
        scope: who may be chosen and counted, see `candidates`.
        seen: [N] bool, rows that hold logits at all; None means every row.
        memory: bytes for blocks of rows and distances; 24 bytes a sample and about 160 a row of the
            largest class come on top.

    Raises:
        ValueError: unknown names, wrong shapes, labels out of range, too little memory.
        TrainingDiverged: logits that are not finite, or too large.
    """
    one_of("distance", distance, DISTANCES)
    _check(logits, labels)
    num_classes = logits.shape[1]
    chosen = candidates(logits, labels, scope)
    if seen is not None:
        check_shapes(labels=(labels, INT, "N"), seen=(seen, BOOL, "N"))
        chosen = chosen & seen
    _check_size(logits, seen, memory)
    # Members of class c stand together, in rising index order: one sort and one read of sizes.
    key = torch.where(chosen, labels, num_classes)
    order = torch.argsort(key, stable=True)
    sizes = torch.bincount(key, minlength=num_classes + 1).tolist()[:num_classes]
    members = order[: sum(sizes)].split(sizes)
    index = torch.full((num_classes,), -1, device=logits.device)
    filled = [c for c, size in enumerate(sizes) if size]
    if filled:
        index[filled] = medoid_rows(logits, [members[c] for c in filled], distance, memory)
    rows = torch.zeros(num_classes, num_classes, dtype=logits.dtype, device=logits.device)
    rows[filled] = logits[index[filled]]
    return Medoids(index, rows)


def _check_size(logits: Tensor, seen: Tensor | None, memory: int) -> None:
    """That all sums of squared distances are finite: N K (2 max |z|)^2 is."""
    if not logits.numel():
        return
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    limit = (torch.finfo(exact).max / (4 * logits.numel())) ** 0.5
    low, high = torch.stack(logits.aminmax()).tolist()
    if -limit < low and high < limit:  # NaN is neither
        return
    start = 0
    for block in logits.split(max(1, memory // (8 * logits.shape[1]))):
        bad = ~(block.abs() < limit).all(1)
        if seen is not None:
            bad &= seen[start : start + len(block)]
        if bool(bad.any()):
            worst = start + int(bad.int().argmax())
            large = bool(torch.isfinite(logits[worst]).all())
            what = f"reach beyond {limit:.0e}" if large else "are not finite"
            raise TrainingDiverged(
                f"the logits of sample {worst} {what}; a medoid of them would mean nothing. Lower "
                "the learning rate, or start again from the last good checkpoint."
            )
        start += len(block)


def _check(logits: Tensor, labels: Tensor) -> None:
    check_shapes(logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"))
    if logits.is_meta:
        raise ValueError("logits on the device meta have no values; give them on a real device.")
    check_labels(labels, logits.shape[1])


def class_means(logits: Tensor, labels: Tensor, chosen: Tensor, *, softmax: bool = False) -> Tensor:
    """Mean logits (or mean softmax) of the chosen members of each class, the medoid's rival.

    With `softmax` this is the class target of online label smoothing (Zhang et al., 2021).

    Args:
        logits: [N, K]; labels: [N] int64; chosen: [N] bool.

    Returns:
        [K, K]; zeros where a class has no chosen member.
    """
    check_shapes(
        logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"), chosen=(chosen, BOOL, "N")
    )
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
    in_range("medoid temperature", temperature, 0, open_low=True, open_high=True)
    check_shapes(medoid_logits=(medoid_logits, FLOAT, "KK"), exists=(exists, BOOL, "K"))
    hard = torch.eye(len(exists), device=medoid_logits.device)
    soft = (medoid_logits.float() / temperature).softmax(1)
    return torch.where(exists[:, None], soft, hard)


def class_targets(soft: Tensor, weight: float) -> Tensor:
    """t_c = (1 - a) e_c + a q_c, the target of every sample of class c.

    Args:
        soft: [K, K] soft targets q; weight: a in [0, 1].
    """
    in_range("medoid weight", weight, 0, 1)
    check_shapes(soft=(soft, FLOAT, "KK"))
    return torch.lerp(torch.eye(len(soft), device=soft.device), soft, weight)
