"""Soft targets made of class medoids, and what to know before believing in them.

[S] The source softens hard targets with class medoids generated from the logit vectors of each
class. [R] Distance, candidates, temperature and the mixing form are this project's reading.

Letters: N samples, K classes.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from toastlab.core.checks import BOOL, FLOAT, INT, check_shapes
from toastlab.core.errors import in_range, one_of
from toastlab.medoids.exact import SCOPES, Medoids, Scope, candidates, class_medoids

Prototype = Literal["medoid", "mean", "mean-softmax", "uniform"]

__all__ = [
    "SCOPES",
    "Medoids",
    "Prototype",
    "Scope",
    "candidates",
    "class_means",
    "class_medoids",
    "class_targets",
    "describe_medoids",
    "prototype_targets",
    "soft_targets",
]


def soft_targets(medoid_logits: Tensor, exists: Tensor, temperature: float = 1.0) -> Tensor:
    """q_c = softmax(m_c / T_m); a class without medoid keeps its hard target.

    Args:
        medoid_logits: [K, K]; exists: [K] bool; temperature: T_m > 0.

    Returns:
        [K, K] float32, rows sum to 1.

    Example:
        >>> medoid_logits = torch.tensor([[2.0, 2.0], [0.0, 0.0]])
        >>> soft_targets(medoid_logits, torch.tensor([True, False]))
        tensor([[0.5000, 0.5000],
                [0.0000, 1.0000]])
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


def prototype_targets(
    logits: Tensor,
    labels: Tensor,
    chosen: Tensor,
    medoids: Medoids,
    prototype: Prototype = "medoid",
    temperature: float = 1.0,
) -> Tensor:
    """The soft targets of stage 1 [S], or of a control in the very same form.

    Args:
        logits: [N, K]; labels: [N] int64; chosen: [N] bool, the candidates of each class.
        medoids: of these candidates; classes without one get their hard target.
        prototype: "medoid"; the controls "mean" (of the candidates' logits), "mean-softmax" (as in
            online label smoothing, at temperature 1) and "uniform" (as in label smoothing).

    Returns:
        [K, K] float32, rows sum to 1.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not belong together, an unknown prototype.
    """
    check_shapes(
        logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"), chosen=(chosen, BOOL, "N")
    )
    k = logits.shape[1]
    if one_of("prototype", prototype, get_args(Prototype)) == "uniform":
        return torch.full((k, k), 1 / k, device=logits.device)
    if prototype == "medoid":
        return soft_targets(medoids.logits, medoids.exists, temperature)
    means = class_means(logits, labels, chosen, softmax=prototype == "mean-softmax")
    if prototype == "mean":
        return soft_targets(means, medoids.exists, temperature)
    # a mean of softmaxes is a soft target already: log, then softmax, gives it back
    return soft_targets(means.clamp(min=torch.finfo(means.dtype).tiny).log(), medoids.exists)


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
