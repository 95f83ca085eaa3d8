"""The exercises about soft targets and class medoids: notebooks 1 to 3."""

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.special import xlogy

from toastlab.course.exercises import EVEN, SKEW, Ladder, Q, Z, draw, exercise


@exercise(
    Ladder(
        minutes=3,
        difficulty=1,
        hints=(
            "Only one line changes between T = 1 and another temperature.",
            "Divide the logits, not the probabilities.",
            "PyTorch has softmax, which takes the dimension of the classes: the last one.",
        ),
    ),
    [(Z[0][0], 1.0), (Z[1][0], 2.0), (Z[2], 5.0), (torch.tensor([900.0, 0.0]), 0.5)],
    {
        "the temperature is not used.": lambda z, t: z.softmax(-1),
        "divide by the temperature; to multiply makes it harder.": lambda z, t: soften(z, 1 / t),
        "scale the logits, not the probabilities.": lambda z, t: z.softmax(-1) / t,
        "the classes are in the last dimension.": lambda z, t: (z / t).softmax(0),
        "each distribution sums to 1, not all of them together.": lambda z, t: (
            (z / t).flatten().softmax(0).view_as(z)
        ),
        "exp overflows for large logits: use softmax, which takes the largest off first.": (
            lambda z, t: (z / t).exp() / (z / t).exp().sum(-1, keepdim=True)
        ),
    },
)
def soften(z: Tensor, temperature: float) -> Tensor:
    return (z / temperature).softmax(-1)


@exercise(
    Ladder(
        minutes=4,
        difficulty=1,
        hints=(
            "Entropy is the mean of -log q, and q itself says how often.",
            "Sum -q log q over the last dimension; 0 log 0 counts as 0.",
            "torch.special.xlogy(q, q) is q log q with that zero.",
        ),
    ),
    [(q,) for q in (Q[0], Q[1], torch.eye(3)[0], EVEN)]
    + [(draw(2, 3, seed=3).softmax(-1),), (draw(2, 3, 4, seed=4).softmax(-1),)],
    {
        "mind the sign: entropy is not negative.": lambda q: xlogy(q, q).sum(-1),
        "0 log 0 counts as 0, not NaN: torch.special.xlogy does that.": lambda q: (
            -(q * q.log()).sum(-1)
        ),
        "that is in bits; use the natural logarithm.": lambda q: (
            entropy(q) / torch.tensor(2.0).log()
        ),
        "sum over the classes, do not average.": lambda q: -xlogy(q, q).mean(-1),
        "sum over the last axis only: q may hold many distributions, [..., K].": lambda q: (
            -xlogy(q, q).sum()
        ),
        "sum over the last axis, not the first: q is [..., K].": lambda q: -xlogy(q, q).sum(0),
    },
)
def entropy(q: Tensor) -> Tensor:
    return -torch.special.xlogy(q, q).sum(-1)  # xlogy: 0 log 0 is 0


@exercise(
    Ladder(
        minutes=5,
        difficulty=2,
        hints=(
            "You need the distance of every row to every other one.",
            "torch.cdist(z, z) has them all; sum each row.",
            "The position of the smallest sum: argmin.",
        ),
    ),
    [(z,) for z in (*Z, SKEW, draw(6, 2, seed=161))],  # the last two tell all usual centres apart
    {
        "that is the row nearest the mean, right for squared distances.": lambda z: vector_norm(
            z - z.mean(0), dim=1
        ).argmin(),
        "that is the row whose farthest other row is nearest; take the smallest sum.": (
            lambda z: torch.cdist(z, z).max(1).values.argmin()
        ),
        "those are sums of |differences|; take Euclidean distances.": lambda z: (
            torch.cdist(z, z, p=1).sum(1).argmin()
        ),
        "that is the farthest row; take the smallest sum.": lambda z: (
            torch.cdist(z, z).sum(1).argmax()
        ),
        "return the row's position, not the row.": lambda z: z[medoid(z)],
    },
)
def medoid(z: Tensor) -> Tensor:
    return torch.cdist(z, z).sum(1).argmin()


@exercise(
    Ladder(
        minutes=4,
        difficulty=1,
        hints=(
            "Two distributions are mixed: the hard one and the soft one.",
            "The hard one has a 1 at the label; begin with zeros like q.",
            "Give the soft one the weight, the hard one what is left of 1.",
        ),
    ),
    [(Q[0], 0, 0.3), (Q[1], 4, 0.0), (Q[2], 2, 1.0), (Q[0], 1, 0.9)],
    {
        "the weights are the wrong way round: a belongs to the soft target.": lambda q, c, a: (
            class_target(q, c, 1 - a)
        ),
        "the soft target is added but the hard one not reduced.": lambda q, c, a: (
            class_target(q, c, 0.0) + a * q
        ),
        "the hard target is missing.": lambda q, c, a: a * q,
        "its own class keeps its share of the soft target, too: add, do not replace.": (
            lambda q, c, a: torch.where(torch.arange(len(q)) == c, 1 - a, a * q)
        ),
    },
)
def class_target(q: Tensor, label: int, weight: float) -> Tensor:
    hard = torch.zeros_like(q)
    hard[label] = 1
    return (1 - weight) * hard + weight * q


def _related(z: Tensor, labels: Tensor, related: Tensor, chosen: Tensor) -> Tensor:
    """For mistakes: the share among samples that are chosen otherwise."""
    return related[labels, runner_up(z, labels)][chosen].float().mean()


LABELS = [torch.tensor([0, 1, 2, 2]), torch.tensor([3, 3, 0]), torch.tensor([1, 0])]
ROWS = [draw(4, 3, seed=81), draw(3, 5, seed=82), -draw(2, 3, seed=83).abs() - 1]


@exercise(
    Ladder(
        minutes=5,
        difficulty=2,
        hints=(
            "The own class must not win: what logit can never be the largest?",
            "Set the logit of the own class to minus infinity in a copy, then take the argmax.",
            "Rows and columns go together: others[torch.arange(len(z)), labels] = -torch.inf.",
        ),
    ),
    list(zip(ROWS, LABELS, strict=True)),
    {
        "that is the class with the largest logit, often the own one: leave that out.": (
            lambda z, labels: z.argmax(1)
        ),
        "the second largest is the runner-up only where the own class is the largest.": (
            lambda z, labels: z.topk(2, dim=1).indices[:, 1]
        ),
        "zero is no small logit, since all may be negative: use minus infinity.": (
            lambda z, labels: z.scatter(1, labels[:, None], 0).argmax(1)
        ),
        "z[:, labels] is whole columns; index rows and columns together.": lambda z, labels: (
            z.index_fill(1, labels, -torch.inf).argmax(1)
        ),
        "give back the classes, not their logits.": lambda z, labels: z.scatter(
            1, labels[:, None], -torch.inf
        ).amax(1),
        "that is the least likely class.": lambda z, labels: z.scatter(
            1, labels[:, None], torch.inf
        ).argmin(1),
    },
    hidden=[(draw(6, 4, seed=84), torch.tensor([0, 1, 2, 3, 3, 0]))],
)
def runner_up(z: Tensor, labels: Tensor) -> Tensor:
    others = z.clone()
    others[torch.arange(len(z)), labels] = -torch.inf
    return others.argmax(1)


@exercise(
    Ladder(
        minutes=7,
        difficulty=3,
        hints=(
            "Three things for each sample: is it right, who is its runner-up, is that a relative?",
            "related[labels, others] asks for all samples at once whether they are relatives.",
            "Take the mean of that over the samples with z.argmax(1) == labels.",
        ),
    ),
    [
        (draw(9, 4, seed=91), torch.arange(9) % 4, torch.tensor([[0, 1, 0, 1]] * 4) > 0),
        (
            draw(12, 3, seed=92),
            torch.arange(12) % 3,
            torch.tensor([[0, 1, 1], [0] * 3, [1] * 3]) > 0,
        ),
        (
            draw(8, 3, seed=93),
            torch.arange(8) % 3,
            torch.tensor([[0, 0, 1], [1, 0, 0], [0] * 3]) > 0,
        ),
    ],
    {
        "only the rightly classified samples count.": lambda z, labels, related: _related(
            z, labels, related, labels >= 0
        ),
        "those are the misclassified ones; take the right ones.": lambda z, labels, related: (
            _related(z, labels, related, z.argmax(1) != labels)
        ),
        "divide by the number of right samples, not of all.": lambda z, labels, related: (
            related_share(z, labels, related) * (z.argmax(1) == labels).float().mean()
        ),
        "that is the number; take the share.": lambda z, labels, related: (
            related_share(z, labels, related) * (z.argmax(1) == labels).sum()
        ),
        "rows of `related` are the own class, columns the other one.": lambda z, labels, related: (
            related_share(z, labels, related.T)
        ),
        "leave out the own class first: the largest logit of a right sample is its own.": (
            lambda z, labels, related: (
                related[labels, z.argmax(1)][z.argmax(1) == labels].float().mean()
            )
        ),
    },
    hidden=[(draw(20, 5, seed=94), torch.arange(20) % 5, draw(5, 5, seed=95) > 0)],
)
def related_share(z: Tensor, labels: Tensor, related: Tensor) -> Tensor:
    right = z.argmax(1) == labels
    others = z.scatter(1, labels[:, None], -torch.inf).argmax(1)
    return related[labels, others][right].float().mean()


@exercise(
    Ladder(
        minutes=4,
        difficulty=1,
        hints=(
            "When can a candidate not be the medoid? When another one is surely better.",
            "The surest best is the smallest upper bound of all.",
            "Keep a candidate whose lower bound is at most that; it may be equal.",
        ),
    ),
    [
        (torch.tensor([1.0, 2, 4, 3]), torch.tensor([5.0, 3, 6, 4])),
        (torch.tensor([2.0, 2, 3]), torch.tensor([2.0, 4, 3])),  # the first bound is exact
        (torch.tensor([0.5]), torch.tensor([0.5])),
        (torch.tensor([3.0, 1, 2, 6, 2.5]), torch.tensor([4.0, 2.5, 7, 8, 3])),
    ],
    {
        "equal is still possible: <=, not <.": lambda low, high: low < high.min(),
        "compare with the smallest upper bound of all, not the largest or the own one.": (
            lambda low, high: low <= high
        ),
        "the lower bound decides: an upper one may be far from the truth.": lambda low, high: (
            high <= high.min()
        ),
        "the smallest lower bound is no promise; the smallest upper one is.": lambda low, high: (
            low <= low.min()
        ),
        "those are the ones ruled out.": lambda low, high: low > high.min(),
        "give back one bool for each candidate, not their positions.": lambda low, high: (
            torch.nonzero(low <= high.min())[:, 0]
        ),
    },
    hidden=[(draw(9, seed=96).abs(), draw(9, seed=96).abs() + draw(9, seed=97).abs())],
)
def still_possible(low: Tensor, high: Tensor) -> Tensor:
    return low <= high.min()


@exercise(
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "One row of the answer is about the samples of one class.",
            "Choose them by their label and average their probabilities.",
            "torch.stack([p[labels == c].mean(0) for c in ...]) over all classes.",
        ),
    ),
    [
        (draw(6, 3, seed=71).softmax(1), torch.tensor([0, 1, 2, 2, 1, 0])),
        (draw(5, 2, seed=72).softmax(1), torch.tensor([0, 1, 1, 1, 0])),
        (draw(9, 4, seed=73).softmax(1), torch.tensor([3, 1, 2, 2, 1, 0, 0, 0, 3])),
    ],
    {
        "average, do not add up: each row sums to 1.": lambda p, labels: torch.stack(
            [p[labels == c].sum(0) for c in range(p.shape[1])]
        ),
        "rows are the classes of the labels, columns those that get the probability.": (
            lambda p, labels: degrees(p, labels).T
        ),
        "that counts predictions; average the probabilities themselves.": lambda p, labels: degrees(
            torch.nn.functional.one_hot(p.argmax(1), p.shape[1]).float(), labels
        ),
        "that is the mean over all samples; take each class by itself.": lambda p, labels: p.mean(
            0
        ).expand(p.shape[1], -1),
        "divide by the samples of the class, not by all.": lambda p, labels: torch.stack(
            [p[labels == c].sum(0) / len(p) for c in range(p.shape[1])]
        ),
    },
    hidden=[(draw(20, 5, seed=74).softmax(1), torch.arange(20) % 5)],
)
def degrees(p: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([p[labels == c].mean(0) for c in range(p.shape[1])])
