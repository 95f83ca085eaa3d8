"""What is measured on a split: top-1, top-5, NLL, ECE, Brier score, AURC; fractions, not per cent.

Of equal logits the lower class goes first, in top-5 as in top-1, so that top-5 is never below it;
in torchmetrics such ties fall anywhere. ECE is over the bins that the reliability diagram shows:
torchmetrics' bins are [l, u), the literature's (l, u], and a network that is sure of itself puts
many samples on an edge. Without ties and off the edges both give the same, which a test holds.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.core.checks import FLOAT, INT, check_labels, check_shapes
from toastlab.core.errors import BadValue, in_range

METRICS = ("top1", "top5", "nll", "ece", "brier", "aurc")
BINS = 15  # of a reliability diagram, and of the ECE


@dataclass(frozen=True, eq=False)
class Bins:
    """A reliability diagram: bins (l, u] of equal width over the top-1 confidence.

    Attributes:
        count: [bins] samples; confidence, accuracy: [bins] their means, NaN where a bin is empty.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al., 2015): sum of share x |acc. - confidence|."""
        gap = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.count * gap).sum() / max(1, self.count.sum()))


def evaluate(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """All of `METRICS` of a split.

    Args:
        logits: [N, K] floating point; labels: [N] int64 in 0..K-1.

    Returns:
        name -> value; `top5` is top-K where K < 5; `nll` in nats.

    Raises:
        ValueError: logits not finite, labels out of range, nothing to measure. TypeError: dtypes.
    """
    logits, labels = _checked(logits, labels)
    z, k = logits.double(), logits.shape[1]
    p = z.softmax(1)
    hard = F.one_hot(labels, k)
    predicted = z.argmax(1)  # of equal logits the first
    values = [
        (predicted == labels).sum() / len(z),
        _top(z, labels, 5),
        F.cross_entropy(z, labels),
        (p - hard).square().sum(1).mean(),
        _aurc(z, predicted, labels),
    ]
    top1, top5, nll, brier, aurc = torch.stack([v.double() for v in values]).tolist()
    ece = _bins(logits, labels, BINS).ece
    return {"top1": top1, "top5": top5, "nll": nll, "ece": ece, "brier": brier, "aurc": aurc}


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that gives softmax(z / T) the smallest NLL (Guo et al., 2017): fit it on the
    validation split. The control for every claim about calibration; top-1 does not change.

    Args:
        logits: [N, K] floating point; labels: [N] int64.

    Returns:
        T in [0.02, 50].

    Raises:
        ValueError, TypeError: as of `evaluate`.
    """
    from scipy.optimize import minimize_scalar  # a third of a second, which a run does without

    logits, labels = _checked(logits, labels)
    z = logits.double()

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(z / math.exp(log_temperature), labels))

    bounds = (math.log(0.02), math.log(50))
    # the NLL is convex in 1 / T, so it has one valley in log T
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def reliability_bins(logits: Tensor, labels: Tensor, bins: int = BINS) -> Bins:
    """Counts, mean confidence and accuracy per bin (l, u]; the first bin also holds 0.

    Args:
        logits: [N, K] floating point; labels: [N] int64; bins: how many, >= 1.

    Raises:
        ValueError, TypeError: as of `evaluate`.
    """
    in_range("bins", bins, 1)
    return _bins(*_checked(logits, labels), bins)


def _bins(logits: Tensor, labels: Tensor, bins: int) -> Bins:
    # in float64, since logits beyond float32 would be infinite, then as the edges are
    c = logits.double().softmax(1).amax(1).float().cpu().numpy().astype(np.float64)
    right = (logits.argmax(1) == labels).cpu().numpy()  # the softmax can round two logits to one
    # float32 edges against float32 confidences, so that a value on an edge is on it exactly
    edges = np.linspace(0, 1, bins + 1, dtype=np.float32).astype(np.float64)
    bin_of = np.clip(np.searchsorted(edges, c, side="left") - 1, 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(bin_of, weights=c, minlength=bins) / count
        accuracy = np.bincount(bin_of, weights=right, minlength=bins) / count
    return Bins(count, mean, accuracy)


def _top(z: Tensor, labels: Tensor, places: int) -> Tensor:
    """Share [] float32 of the samples with fewer than `places` classes in front of their label:
    those of larger logits, and of equal ones the lower."""
    own = z.gather(1, labels[:, None])
    lower = torch.arange(z.shape[1], device=z.device) < labels[:, None]
    ahead = ((z > own) | ((z == own) & lower)).sum(1)
    return (ahead < places).sum() / len(z)


def _aurc(z: Tensor, predicted: Tensor, labels: Tensor) -> Tensor:
    """Area under the risk-coverage curve (Geifman et al., 2019): the mean over i of the error rate
    among the i samples of highest confidence.

    Equal confidences have no order: each of those samples counts as the mean of their errors, which
    is what all orders of them give on average. Samples are ordered by the log-odds of the
    prediction, log p - log(1 - p): by its probability p, in other words, without p's rounding to 1
    at logit gaps above 37.

    Args:
        z: [N, K] float64; predicted: [N] int64.
    """
    rest = z.scatter(1, predicted[:, None], -torch.inf).logsumexp(1)
    odds, order = (z.amax(1) - rest).sort(descending=True)
    wrong = (predicted != labels)[order].double()
    group = F.pad(odds[1:] != odds[:-1], (1, 0)).cumsum(0)
    errors, size = (
        torch.zeros_like(odds).index_add_(0, group, x) for x in (wrong, torch.ones_like(wrong))
    )
    shared = (errors / size)[group]  # places of `size` without a group are not looked up
    count = torch.arange(1, len(wrong) + 1, device=wrong.device)
    return (shared.cumsum(0) / count).mean()


def _checked(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both, on the CPU where their device has no float64 (mps)."""
    check_shapes(logits=(logits, FLOAT, "NK"), labels=(labels, INT, "N"))
    if not logits.numel() or logits.is_meta:
        raise BadValue(
            f"cannot measure logits {tuple(logits.shape)} on {logits.device}; give [N, K], N and K "
            "at least 1, on a real device."
        )
    if not bool(torch.isfinite(logits).all()):
        raise BadValue("the logits to be measured are NaN or infinite; the network has diverged.")
    check_labels(labels, logits.shape[1])
    mps = logits.device.type == "mps"
    return (logits.cpu(), labels.cpu()) if mps else (logits, labels)
