"""Stage 2: which samples are under-trained, and the half batch of them that goes on.

[S] Under-trained data are distilled iteratively with past predictions of half the batch size.
[R] The criteria, the order and the "once per visit" rule are this project's reading.

Everything here has static shapes and runs on the device: how many samples are carried is a number
on the device that the host never reads. Letters: B samples of a batch, K classes, H = B/2 slots of
the carry.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.core.checks import BOOL, FLOAT, INT, check_shapes
from toastlab.core.errors import BadValue, in_range, one_of
from toastlab.core.state import Stateful

Criterion = Literal["misclassified", "probability", "quantile", "medoid-distance", "random", "all"]
CRITERIA = get_args(Criterion)


@dataclass(frozen=True, eq=False)
class Carry:
    """Up to H samples on their way into the next batch; slots from `count` on are empty.

    Attributes:
        index: [H] int64, sample indices, the most urgent first.
        logits: [H, K] float32, what the network just said of them.
        visits: [H] int64, how many times in a row each has been carried, this time included.
        count: [] int64, how many slots are taken.
    """

    index: Tensor
    logits: Tensor
    visits: Tensor
    count: Tensor

    @classmethod
    def empty(cls, size: int, num_classes: int, device: torch.device | str = "cpu") -> "Carry":
        """A carry of H = `size` slots with no sample in it."""
        in_range("size", size, 0)
        in_range("classes", num_classes, 1)
        return cls(
            torch.zeros(size, dtype=torch.int64, device=device),
            torch.zeros(size, num_classes, device=device),
            torch.zeros(size, dtype=torch.int64, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
        )


class CarryState(Stateful):
    """The carry that waits for the next batch, as buffers by the names of `Carry`."""

    index: Tensor
    logits: Tensor
    visits: Tensor
    count: Tensor

    def __init__(self, size: int, num_classes: int, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.size = size
        for name, value in vars(Carry.empty(size, num_classes, device)).items():
            self.add_state(name, value, "own")

    def take(self, carry: Carry) -> None:
        """Another carry waits from now on; one with fewer slots (of a short batch) is filled up."""
        if missing := self.size - len(carry.index):
            index, visits = F.pad(carry.index, (0, missing)), F.pad(carry.visits, (0, missing))
            carry = Carry(index, F.pad(carry.logits, (0, 0, 0, missing)), visits, carry.count)
        # four assignments without what `nn.Module` does at each, since this runs at every step
        self._buffers.update(vars(carry))

    def clear(self) -> None:
        """Nobody waits any more."""
        self.take(Carry.empty(self.size, self.logits.shape[1], self.logits.device))


def under_trained(
    logits: Tensor,
    labels: Tensor,
    criterion: Criterion = "misclassified",
    *,
    threshold: float = 0.5,
    share: float = 0.25,
    medoid_logits: Tensor | None = None,
    medoid_exists: Tensor | None = None,
    at_random: bool = False,
    eligible: Tensor | None = None,
    generator: torch.Generator | None = None,
    log_p: Tensor | None = None,
    checked: bool = False,
) -> tuple[Tensor, Tensor]:
    """Marks the under-trained samples of a batch and says how urgent each is.

    Args:
        logits: [B, K] of the iteration that just ended; labels: [B] int64.
        criterion: all [R] -
            "misclassified": argmax z_i is not y_i;
            "probability": p_y below `threshold`;
            "quantile": among the `share` of the batch with the largest cross-entropy;
            "medoid-distance": among the `share` farthest from the medoid of their own class;
            "random": the control of "misclassified", the same as with `at_random`;
            "all": every sample, the control that targets nothing (and DLB's rule).
        threshold: in (0, 1], for "probability".
        share: in (0, 1], for "quantile" and "medoid-distance".
        medoid_logits: [K, K] and medoid_exists: [K] bool, for "medoid-distance"; samples of a
            class without medoid go last.
        at_random: the control of a criterion: as many as it marks, drawn evenly.
        eligible: [B] bool, who may be carried at all, for draws: their number is that of the
            eligible marked samples, so that the control differs in *which* samples go and in
            nothing else. None means everyone.
        generator: on the logits' device, for draws.
        log_p: [B, K] float32, the logits' log-softmax where it is known already.
        checked: the caller has looked at the arguments already, as a method does once in a step.

    Returns:
        marked [B] bool and urgency [B] float32 (larger goes first): the cross-entropy, or the
        distance, or a random number, as the criterion has it. The cross-entropy orders as one minus
        the true-class probability would, which is 1 in float32 for every logit gap above 17.

    Raises:
        ValueError: an unknown criterion, a threshold or share out of range, shapes that do not
            belong together. TypeError: other dtypes. Labels are not looked at, since that would
            wait for the device; a method checks its own when it is built.
    """
    if not checked:
        one_of("criterion", criterion, CRITERIA)
        in_range("threshold", threshold, 0, 1, open_low=True)
        in_range("share", share, 0, 1, open_low=True)
        optional = {
            "medoid_logits": (medoid_logits, FLOAT, "KK"),
            "medoid_exists": (medoid_exists, BOOL, "K"),
            "eligible": (eligible, BOOL, "B"),
            "log_p": (log_p, FLOAT, "BK"),
        }
        given = {n: (x, kind, axes) for n, (x, kind, axes) in optional.items() if x is not None}
        check_shapes(logits=(logits, FLOAT, "BK"), labels=(labels, INT, "B"), **given)
    z = logits.detach().float()
    log_p = z.log_softmax(1) if log_p is None else log_p
    urgency = F.nll_loss(log_p, labels, reduction="none")
    if criterion == "medoid-distance":
        if medoid_logits is None or medoid_exists is None:
            raise BadValue("criterion 'medoid-distance' needs medoid_logits and medoid_exists.")
        urgency = torch.linalg.vector_norm(z - medoid_logits[labels], dim=1)
        urgency = urgency * medoid_exists[labels]
        marked = _largest(urgency, share) & medoid_exists[labels]
    elif criterion == "quantile":
        marked = _largest(urgency, share)
    elif criterion == "probability":
        marked = (-urgency).exp() < threshold
    elif criterion == "all":
        marked = torch.ones_like(labels, dtype=torch.bool)
    else:
        marked = z.argmax(1) != labels
    if not at_random and criterion != "random":
        return marked, urgency
    drawn = torch.rand(len(z), device=z.device, generator=generator)
    if eligible is not None:
        drawn, marked = torch.where(eligible, drawn, 2.0), marked & eligible
    return drawn.argsort().argsort() < marked.sum(), -drawn


def _largest(values: Tensor, share: float) -> Tensor:
    """[B] bool: among the round(share * B) largest values, at least one."""
    k = max(1, round(share * len(values)))
    chosen = values.topk(k).indices
    return torch.zeros_like(values, dtype=torch.bool).scatter_(0, chosen, True)


def select(
    marked: Tensor,
    urgency: Tensor,
    index: Tensor,
    logits: Tensor,
    visits: Tensor,
    size: int,
    max_visits: int = 1,
    checked: bool = False,
) -> Carry:
    """Packs the most urgent marked samples into the next carry.

    Args:
        marked: [B] bool; urgency: [B] float32; index: [B] int64; logits: [B, K].
        visits: [B] int64, how many times in a row each sample of this batch was carried already.
        size: H, the most samples to carry; H <= B.
        max_visits: a sample goes on while `visits` < `max_visits`: 1 is "once per visit" [R], more
            is "until trained" [R, option] with that cap.
        checked: as of `under_trained`.

    Raises:
        ValueError, TypeError: arguments that do not belong together, or more slots than samples.
    """
    if not checked:
        check_shapes(
            marked=(marked, BOOL, "B"),
            urgency=(urgency, FLOAT, "B"),
            index=(index, INT, "B"),
            logits=(logits, FLOAT, "BK"),
            visits=(visits, INT, "B"),
        )
        in_range("size", size, 0, len(index))
        in_range("max visits", max_visits, 1)
    # not marked, or visits >= max_visits, in as few kernels as can be: this runs at every step
    left = (marked if max_visits == 1 else marked * max_visits) <= visits
    most, slots = urgency.masked_fill(left, -torch.inf).topk(size)
    count = (most > -torch.inf).sum()
    again = torch.ones_like(slots) if max_visits == 1 else visits[slots] + 1
    said = logits.detach().index_select(0, slots).float()
    return Carry(index.index_select(0, slots), said, again, count)
