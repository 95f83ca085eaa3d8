"""The loss: soft cross-entropy (stage 1), temperature KL (stage 2), and their linear combination.

Pure functions; every one computes in float32 whatever the precision of the logits (in float64 if
they have it), so that mixed precision cannot spoil a logarithm. Logits and temperatures that make
z / T leave the range of these numbers give NaN or infinity, which the loop reports; nothing here
looks at values, because that would wait for the device. Letters: B samples of a batch, K classes.

Raises, everywhere: ValueError for shapes that do not belong together, TypeError for other dtypes.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from toastlab.core.checks import BOOL, FLOAT, check_shapes
from toastlab.core.errors import in_range, one_of

Divisor = Literal["carried", "batch"]
DIVISORS = get_args(Divisor)


@dataclass(frozen=True, eq=False)
class Loss:
    """A total to call `backward` on, and its parts, detached, for whoever wants to look.

    Attributes:
        total: [] with gradient.
        parts: name -> [] without gradient, still on the device: reading one waits for it.
    """

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """CE(t_i, p(z_i)) = - sum_k t_ik log p_k(z_i), one value per sample.

    Args:
        logits: [B, K] floating point.
        targets: [B, K], rows of probabilities.

    Returns:
        [B] float32.
    """
    check_shapes(logits=(logits, FLOAT, "BK"), targets=(targets, FLOAT, "BK"))
    return -(targets * wide(logits).log_softmax(1)).sum(1)


def past_kl(logits: Tensor, past: Tensor, temperature: float = 1.0) -> Tensor:
    """T_p^2 KL( p(z_past; T_p) || p(z; T_p) ) per sample; gradient only through `logits`.

    The T_p^2 keeps the size of the gradient independent of T_p (Hinton et al., 2015). The sum is
    over classes, not their mean: classes of probability zero change nothing.

    Args:
        logits: [B, K] of this pass.
        past: [B, K] logits of an earlier pass, treated as constants.
        temperature: T_p > 0.

    Returns:
        [B] float32, not negative up to rounding.
    """
    in_range("past temperature", temperature, 0, open_low=True, open_high=True)
    check_shapes(logits=(logits, FLOAT, "BK"), past=(past, FLOAT, "BK"))
    target = (wide(past.detach()) / temperature).softmax(1)
    return probability_kl(logits, target, temperature)


def probability_kl(logits: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL( target || p(z; T) ) for a target given as probabilities [B, K]; returns [B]."""
    in_range("temperature", temperature, 0, open_low=True, open_high=True)
    check_shapes(logits=(logits, FLOAT, "BK"), target=(target, FLOAT, "BK"))
    one = temperature == 1  # then two kernels less, forward and backward, and the same bits
    log_p = (wide(logits) if one else wide(logits) / temperature).log_softmax(1)
    kl = (torch.special.xlogy(target, target) - target * log_p).sum(1)
    return kl if one else temperature**2 * kl


def masked_mean(values: Tensor, mask: Tensor, divide_by: Divisor = "carried") -> Tensor:
    """Mean of `values` [B] over `mask` [B] bool; 0 where nothing is masked in. Static shapes.

    Args:
        divide_by: "carried" [R]: the number masked in; "batch" [R, option]: B, so that the term
            fades with the carry and one sample cannot dominate.
    """
    one_of("divisor", divide_by, DIVISORS)
    check_shapes(values=(values, FLOAT, "B"), mask=(mask, BOOL, "B"))
    total = torch.where(mask, values, 0.0).sum()
    if divide_by == "batch":
        return total / len(values)
    return total / mask.sum().clamp(min=1)


def combine(
    stage1: Tensor, stage2: Tensor, past_weight: float | Tensor, counted: Tensor | None = None
) -> Loss:
    """L = L1 + b L2, the linear combination [S] in its loss form [R].

    Args:
        stage1: [B] cross-entropies to the stage-1 targets.
        stage2: [] mean KL over the carried samples.
        past_weight: b >= 0.
        counted: [B] bool, the samples that L1 is the mean of [R]; None: all.
    """
    check_shapes(stage1=(stage1, FLOAT, "B"), stage2=(stage2, FLOAT, ""))
    if counted is None:
        first = stage1.mean()
    else:  # a product: the scalar of `where` is filled by a kernel of its own, backward too
        first = (stage1 * counted).sum() / counted.sum().clamp(min=1)
    # a weight of 1 is left out: two kernels less, forward and backward, and the same bits
    if isinstance(past_weight, Tensor):
        total = first + past_weight * stage2
    else:
        total = first + stage2 if past_weight == 1 else first.add(stage2, alpha=past_weight)
    return Loss(total, {"stage1": first.detach(), "stage2": stage2.detach()})


def distilled(
    logits: Tensor,
    targets: Tensor,
    log_past: Tensor,
    carried: Tensor,
    stages: Tensor,
    past_weight: float | Tensor,
    temperature: float = 1.0,
    divide_by: Divisor = "carried",
) -> tuple[Loss, Tensor | None]:
    """L1 + b L2, where a carried sample is taught its past prediction and nothing else [R].

    Every sample is then in one of the two means, so that one number for each serves both: its KL if
    it was carried, else its cross-entropy. Within rounding this is `combine` of
    `soft_cross_entropy` and the `masked_mean` of `probability_kl`, in 23 kernels for 41: it runs
    at every step.

    Args:
        logits: [B, K] of this pass.
        targets: [B, K] stage-1 targets; rows of carried samples do not matter.
        log_past: [B, K] log p(z_past; T_p), finite; rows of other samples do not matter.
        carried: [B] bool.
        stages: [2, 1] bool, no and yes, on the device: made here it would be one more kernel.
        past_weight: b >= 0.
        temperature: T_p > 0.
        divide_by: what L2 is the mean over, see `masked_mean`.

    Returns:
        The loss, and log p(z) [B, K] without gradient, which others need too; None if T_p is not 1.
    """
    one_of("divisor", divide_by, DIVISORS)
    in_range("temperature", temperature, 0, open_low=True, open_high=True)
    check_shapes(
        logits=(logits, FLOAT, "BK"),
        targets=(targets, FLOAT, "BK"),
        log_past=(log_past, FLOAT, "BK"),
        carried=(carried, BOOL, "B"),
        stages=(stages, BOOL, "SO"),
    )
    z, of_past = wide(logits), carried.unsqueeze(1)
    if temperature != 1:
        z = z / torch.where(of_past, temperature, 1.0)
    log_p = z.log_softmax(1)
    taught = torch.where(of_past, log_past.exp(), targets)
    each = (taught * (log_past * of_past - log_p)).sum(1)  # [B]
    members = stages == carried  # [2, B]: the new samples, the carried ones
    share = members / members.sum(1, keepdim=True).clamp(min=1)  # in the mean of their stage
    if divide_by == "batch":
        share = torch.stack([share[0], carried / len(carried)])
    if temperature != 1:
        share = torch.where(stages, temperature**2, 1.0) * share
    share = share.to(each.dtype)
    of_new, of_carried = share.unbind()
    if isinstance(past_weight, Tensor):
        both = of_new + past_weight * of_carried
    else:
        both = of_new.add(of_carried, alpha=past_weight)
    stage1, stage2 = (share @ each.detach()).unbind()
    loss = Loss(each.dot(both), {"stage1": stage1, "stage2": stage2})
    return loss, log_p.detach() if temperature == 1 else None


def past_targets(
    targets: Tensor, hard: Tensor, past: Tensor, carried: Tensor, weight: float | Tensor
) -> Tensor:
    """The combination in its target form [R]: t_i = (1 - a - b) e_y + a q_y + b p(z_past; T_p).

    Args:
        targets: [B, K] stage-1 targets (1 - a) e_y + a q_y.
        hard: [B, K] what gives way: e_y, mixed as the image was; or the stage-1 target itself.
        past: [B, K] past probabilities; rows outside `carried` do not matter.
        carried: [B] bool; the others keep their stage-1 target.
        weight: b, or [B, 1] for each sample; a + b <= 1 (checked where a is known).

    Returns:
        [B, K] float32, rows sum to 1.
    """
    check_shapes(
        targets=(targets, FLOAT, "BK"),
        hard=(hard, FLOAT, "BK"),
        past=(past, FLOAT, "BK"),
        carried=(carried, BOOL, "B"),
    )
    return targets + carried[:, None] * weight * (past - hard)


def wide(logits: Tensor) -> Tensor:
    """Logits in float32, or in float64 as they are: what a logarithm can bear."""
    return logits if logits.dtype == torch.float64 else logits.float()
