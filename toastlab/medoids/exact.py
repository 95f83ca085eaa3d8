"""What a class medoid is, and how it is found exactly.

The medoid of a class is the member whose sum of distances to all members is smallest. So: who may
be chosen (`candidates`), class by class (`medoid_rows`), sums of distances (`_sums`), the first
smallest of them. For Euclidean distances `bounds.possible_medoids` rules out most rows before.

Letters: N samples, K classes and columns, n rows of one class, m of them that may be its medoid.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.core.checks import BOOL, FLOAT, INT, check_labels, check_shapes
from toastlab.core.errors import BadValue, TrainingDiverged, one_of
from toastlab.medoids.batched import first_smallest, medoid_rows_at_once
from toastlab.medoids.blocks import MEMORY, Rows, check_memory, deciding_dtype
from toastlab.medoids.bounds import possible_medoids

Distance = Literal["euclidean", "squared-euclidean", "cosine", "manhattan"]
DISTANCES = get_args(Distance)
Scope = Literal["correct", "all"]
SCOPES = get_args(Scope)

# Bytes of one block of distances that are summed: what stays in a CPU's cache.
BLOCK_BYTES = 2**19
# Classes up to this size are worked on by one thread, see `_one_thread`.
SMALL_CLASS = 2048


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

    Example:
        >>> logits = torch.tensor([[5.0, 0.0], [6.0, 0.0], [9.0, 0.0], [0.0, 3.0]])
        >>> medoids = class_medoids(logits, torch.tensor([0, 0, 0, 1]))
        >>> medoids.index
        tensor([1, 3])
        >>> medoids.logits
        tensor([[6., 0.],
                [0., 3.]])
    """
    one_of("distance", distance, DISTANCES)
    check_shapes(logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"))
    if logits.is_meta:
        raise BadValue("logits on the device meta have no values; give them on a real device.")
    num_classes = logits.shape[1]
    check_labels(labels, num_classes)
    chosen = candidates(logits, labels, scope)
    if seen is not None:
        check_shapes(labels=(labels, INT, "N"), seen=(seen, BOOL, "N"))
        chosen = chosen & seen
    _check_size(logits, seen)
    # Members of class c stand together, in rising index order: one sort and one read of sizes.
    key = torch.where(chosen, labels, num_classes)
    order = torch.argsort(key, stable=True)
    sizes = torch.bincount(key, minlength=num_classes + 1).tolist()[:num_classes]
    filled = [c for c, size in enumerate(sizes) if size]
    if not filled:
        none = torch.full((num_classes,), -1, device=logits.device)
        return Medoids(none, logits.new_zeros(num_classes, num_classes))
    members = order[: sum(sizes)].split([sizes[c] for c in filled])
    index = medoid_rows(logits, members, distance, memory)
    rows = logits[index]
    if len(filled) < num_classes:
        at = torch.tensor(filled, device=logits.device)
        index = index.new_full((num_classes,), -1).index_copy_(0, at, index)
        rows = rows.new_zeros(num_classes, num_classes).index_copy_(0, at, rows)
    return Medoids(index, rows)


def medoid_rows(
    z: Tensor, members: Sequence[Tensor], distance: Distance, memory: int = MEMORY
) -> Tensor:
    """The member of each class whose sum of distances to all members is smallest, the first of
    equal ones.

    Args:
        z: [N, K] floating point, finite.
        members: of each class its rows in z, [n] int64, n >= 1.
        distance, memory: see `class_medoids`.

    Returns:
        [C] int64 for C classes, rows in z.

    Raises:
        ValueError: too little memory for one block.
    """
    check_memory(memory, z.shape[1])
    if distance == "euclidean" and z.device.type == "cuda":
        with torch.autocast("cuda", enabled=False):
            return medoid_rows_at_once(z, members, memory)
    medoids = []
    small = z.device.type == "cpu" and max(map(len, members)) <= SMALL_CLASS
    one = _one_thread() if small else nullcontext()
    with one, torch.autocast(z.device.type, enabled=False):
        if distance == "euclidean":
            possible = possible_medoids(z, members, memory)
        else:
            possible = [torch.arange(len(rows), device=z.device) for rows in members]
        for rows, positions in zip(members, possible, strict=True):
            if len(positions) > 1:
                sums = _sums(z, rows, positions, distance, memory)
                positions = positions[first_smallest(sums, 1.0 if distance == "cosine" else 0.0)]
            medoids.append(rows[positions].reshape(()))
    return torch.stack(medoids)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small products gain little from a second thread, at most a fourth, and lose more by waiting
    for it where other work keeps the cores busy: 2 to 3 times as long with six jobs on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _sums(z: Tensor, rows: Tensor, positions: Tensor, distance: Distance, memory: int) -> Tensor:
    """Sums of distances [m] from the rows at `positions` to all `rows` [n] of a class.

    Of squared Euclidean and cosine distances, one over n of them, for all rows.
    """
    x = Rows(z, rows[None], memory, deciding_dtype(z.device))
    if distance == "squared-euclidean":
        # sum_j |z_i - z_j|^2 = n |z_i - mean|^2 + sum_j |z_j - mean|^2: nearest to the mean. It is
        # taken of the rows less a mean before, so that nothing is lost far from the origin.
        mean = torch.stack([block.sum(1) for block in x.centred()]).sum(0) / len(rows)
        off = torch.cat([(block[0] - mean).square().sum(1) for block in x.centred()])
        return off + off.mean()
    if distance == "cosine":
        # mean_j (1 - u_i . u_j) = 1 - u_i . mean_j u_j: most aligned with the mean direction.
        mean = torch.stack([_unit(block).sum(1) for block in x.blocks()]).sum((0, 1)) / len(rows)
        return torch.cat([1 - _unit(block)[0] @ mean for block in x.blocks()])
    p, mode = 1.0 if distance == "manhattan" else 2.0, "donot_use_mm_for_euclid_dist"
    sums = torch.zeros(len(positions), dtype=x.dtype, device=z.device)
    for block in x.blocks():
        step = max(1, BLOCK_BYTES // (8 * block.shape[1]))
        for part, total in zip(positions.split(step), sums.split(step), strict=True):
            total += torch.cdist(x.at(part[None])[0], block[0], p, mode).sum(1)
    return sums


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1, eps=torch.finfo(x.dtype).tiny)


def _check_size(logits: Tensor, seen: Tensor | None) -> None:
    """That all sums of squared distances are finite: N K (2 max |z|)^2 is."""
    if not logits.numel():
        return
    limit = (torch.finfo(deciding_dtype(logits.device)).max / (4 * logits.numel())) ** 0.5
    low, high = torch.stack(logits.aminmax()).tolist()
    if -limit < low and high < limit:  # NaN is neither
        return
    bad = ~(torch.linalg.vector_norm(logits, torch.inf, dim=1) < limit)
    if seen is not None:
        bad &= seen
    if bool(bad.any()):
        worst = int(bad.int().argmax())
        large = bool(torch.isfinite(logits[worst]).all())
        what = f"reach beyond {limit:.0e}" if large else "are not finite"
        raise TrainingDiverged(
            f"the logits of sample {worst} {what}; a medoid of them would mean nothing. Lower "
            "the learning rate, or start again from the last good checkpoint."
        )
