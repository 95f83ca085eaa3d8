"""What the notebooks ask: for each exercise a solution, inputs to try it on, the usual mistakes.

An attempt equal to the solution on every input is right; one equal to a mistake on every input gets
that mistake's hint, see `toastlab.course.judge`. Those about comparing methods are in
`toastlab.course.exercises_peers`, those about readings in `toastlab.course.exercises_readings`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.special import xlogy

Function = Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """What is asked, and everything needed to judge an attempt.

    Attributes:
        solution: the reference; its source is what `judge.solution` shows.
        inputs: arguments to try, at least three.
        mistakes: hint -> a function that makes that mistake.
    """

    solution: Function
    inputs: list[tuple[Any, ...]]
    mistakes: dict[str, Function]


EXERCISES: dict[str, Exercise] = {}  # by the names of their solutions


def exercise(
    inputs: list[tuple[Any, ...]], mistakes: dict[str, Function]
) -> Callable[[Function], Function]:
    """Makes a function the solution of an exercise, see `Exercise`."""

    def add(solution: Function) -> Function:
        EXERCISES[solution.__name__] = Exercise(solution, inputs, mistakes)
        return solution

    return add


def draw(*shape: int, seed: int) -> Tensor:
    """Numbers to try."""
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


Z = [draw(7, 3, seed=i) for i in range(4)]
Q = [draw(5, seed=i).softmax(0) for i in range(3)]
EVEN = torch.full((4,), 0.25)
RIGHT = [torch.tensor([c == "1" for c in word]) for word in ("110100", "000111", "101010", "1111")]
NONE_RIGHT = torch.zeros(4, dtype=torch.bool)
SKEW = torch.tensor([[0.0, 0], [1, 0], [1.2, 0], [1.1, 0.1], [40, 0]])


def _purities(d: Tensor, labels: Tensor, k: int) -> Tensor:
    """For mistakes: of each sample [N], from distances [N, N] as they are."""
    return (labels[d.topk(k, largest=False).indices] == labels[:, None]).float().mean(1)


def _interval(a: Tensor, b: Tensor, half: Tensor) -> Tensor:
    """For mistakes: an interval of another width."""
    return (b - a).mean() + half * torch.tensor([0, -1, 1])


def _suspects(p: Tensor, y: Tensor, share: float, more: float = 0) -> Tensor:
    """For mistakes: class after class, the least probable first; `more` before rounding down."""
    members = [torch.nonzero(y == c)[:, 0] for c in y.unique()]
    return torch.cat([m[p[m].argsort()][: int(share * len(m) + more)] for m in members])


@exercise(
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


@exercise(
    [(row,) for row in RIGHT],
    {
        "that counts learning events, wrong then right.": lambda c: (~c[:-1] & c[1:]).sum(),
        "that counts every wrong epoch; count changes.": lambda c: (~c).sum(),
        "that counts changes both ways.": lambda c: (c[:-1] != c[1:]).sum(),
        "the first epoch follows no other one: do not compare it with the last.": lambda c: (
            c.roll(1) & ~c
        ).sum(),
    },
)
def forgetting_events(correct: Tensor) -> Tensor:
    return (correct[:-1] & ~correct[1:]).sum()


@exercise(
    [
        (torch.tensor([0.3, 0.9, 0.1, 0.2]), torch.tensor([False, True, True, False]), 2),
        (torch.tensor([0.5, 0.4, 0.3, 0.2]), NONE_RIGHT, 3),
        (torch.tensor([0.5, 0.4]), torch.ones(2, dtype=torch.bool), 1),
        (torch.tensor([0.2, 0.3, 0.1]), NONE_RIGHT[:3], 2),
    ],
    {
        "rightly classified samples are not under-trained here.": lambda p, r, n: p.argsort(
            stable=True
        )[:n],
        "that is the most confident first.": lambda p, r, n: least_confident(-p, r, n),
        "at most that many may be carried.": lambda p, r, n: least_confident(p, r, len(p)),
        "positions in the batch, not among the misclassified.": lambda p, r, n: p[~r].argsort()[:n],
        "give back the positions, not the probabilities.": lambda p, r, n: p[
            least_confident(p, r, n)
        ],
    },
)
def least_confident(p: Tensor, right: Tensor, most: int) -> Tensor:
    rows = torch.nonzero(~right)[:, 0]
    return rows[p[rows].argsort(stable=True)][:most]


@exercise(
    [
        (draw(n, k, seed=seed), draw(n, k, seed=seed + 1), t)
        for n, k, seed, t in ((4, 3, 5, 1.0), (2, 5, 7, 3.0), (3, 4, 9, 2.0))
    ],
    {
        "T squared is missing; without it the gradient fades as T grows.": lambda p, q, t: (
            past_kl(p, q, t) / t**2
        ),
        "the direction: KL(past || now), the past is the target.": lambda p, q, t: past_kl(q, p, t),
        "sum over the classes, then average over the samples.": lambda p, q, t: (
            past_kl(p, q, t) / p.shape[1]
        ),
        "average over the samples.": lambda p, q, t: past_kl(p, q, t) * len(p),
        "that is the cross-entropy; the KL takes the past's own entropy off.": lambda p, q, t: (
            past_kl(p, q, t) + t**2 * entropy((p / t).softmax(1)).mean()
        ),
        "divide both logits by the temperature, the past's too.": lambda p, q, t: past_kl(
            p * t, q, t
        ),
    },
)
def past_kl(past: Tensor, now: Tensor, temperature: float) -> Tensor:
    p, log_p = (past / temperature).softmax(1), (past / temperature).log_softmax(1)
    log_q = (now / temperature).log_softmax(1)
    return temperature**2 * (p * (log_p - log_q)).sum(1).mean()


@exercise(
    # with the last one nothing is rounded
    [(Q[0], Q[1]), (Q[1], Q[2]), (torch.eye(3)[0], torch.eye(3)[1]), (EVEN, EVEN)],
    {
        "that is the squared distance; the root is missing.": lambda p, q: (
            1 - (p * q).sqrt().sum()
        ).clamp(min=0),
        "that is the affinity; the distance is the root of 1 minus it.": lambda p, q: (
            (p * q).sqrt().sum()
        ),
        "take the root of the product before the sum.": lambda p, q: (
            (1 - (p * q).sum()).clamp(min=0).sqrt()
        ),
        "divide by the root of 2: this one lies between 0 and 1.": lambda p, q: vector_norm(
            p.sqrt() - q.sqrt()
        ),
    },
)
def hellinger(p: Tensor, q: Tensor) -> Tensor:
    return (1 - (p * q).sqrt().sum()).clamp(min=0).sqrt()  # rounding may leave less than 0


@exercise(
    [
        (draw(9, 2, seed=20), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2]), 2),
        (draw(6, 3, seed=21), torch.tensor([0, 1, 0, 1, 0, 1]), 3),
        (draw(8, 2, seed=22), torch.tensor([0, 0, 0, 0, 0, 1, 1, 2]), 1),
        (draw(5, 2, seed=23), torch.arange(5), 2),
    ],
    {
        "a sample is not its own neighbour.": lambda x, y, k: _purities(
            torch.cdist(x, x), y, k
        ).mean(),
        "those are the farthest; take the nearest.": lambda x, y, k: _purities(
            -torch.cdist(x, x), y, k
        ).mean(),
        "that is the number; take the share.": lambda x, y, k: neighbour_purity(x, y, k) * k,
        "take the mean over all samples.": lambda x, y, k: _purities(
            torch.cdist(x, x).fill_diagonal_(float("inf")), y, k
        ),
    },
)
def neighbour_purity(x: Tensor, labels: Tensor, k: int) -> Tensor:
    d = torch.cdist(x, x)
    d.fill_diagonal_(float("inf"))
    near = d.topk(k, largest=False).indices
    return (labels[near] == labels[:, None]).float().mean()


@exercise(
    [(draw(n, seed=n), draw(n, seed=n + 50), t) for n, t in ((3, 4.303), (5, 2.776), (9, 2.306))],
    {
        "b - a, so that better is positive.": lambda a, b, t: paired_interval(b, a, t),
        "the standard error is the deviation over the root of S.": lambda a, b, t: _interval(
            a, b, t * (b - a).std()
        ),
        "the sample's deviation divides by S - 1.": lambda a, b, t: _interval(
            a, b, t * (b - a).std(correction=0) / len(a) ** 0.5
        ),
        "pair them: the deviation of the differences, not of each.": lambda a, b, t: _interval(
            a, b, t * ((a.var() + b.var()) / len(a)) ** 0.5
        ),
    },
)
def paired_interval(a: Tensor, b: Tensor, t: float) -> Tensor:
    d = b - a
    half = t * d.std() / len(d) ** 0.5
    return torch.stack([d.mean(), d.mean() - half, d.mean() + half])


@exercise(
    [(draw(6, seed=30 + i).sigmoid(), draw(6, seed=40 + i).sigmoid()) for i in range(4)],
    {
        "that is chosen on the test set.": lambda val, test: test.max(),
        "that is the validation accuracy; report the test accuracy.": lambda val, test: val.max(),
        "the best on validation, not the worst.": lambda val, test: test[val.argmin()],
        "return the accuracy, not the position.": lambda val, test: val.argmax(),
        "choose on validation, report the test: those are the wrong way round.": (
            lambda val, test: val[test.argmax()]
        ),
    },
)
def chosen(val: Tensor, test: Tensor) -> Tensor:
    return test[val.argmax()]


@exercise(
    [(draw(c, h, w, seed=h),) for c, h, w in ((1, 4, 8), (3, 9, 4), (1, 5, 5), (2, 3, 6))],
    {
        "that is the top left square; centre it.": lambda x: x[
            :, : min(x.shape[1:]), : min(x.shape[1:])
        ],
        "do not squeeze the image: cut it.": lambda x: torch.nn.functional.interpolate(
            x[None], [min(x.shape[1:])] * 2
        )[0],
        "where it cannot be centred exactly, nearer the top left.": lambda x: centre_square(
            x.flip(1, 2)
        ).flip(1, 2),
    },
)
def centre_square(x: Tensor) -> Tensor:
    _, h, w = x.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return x[:, top : top + side, left : left + side]


@exercise(
    [
        (draw(12, seed=60).sigmoid(), torch.arange(12) % 3, 0.5),
        (draw(10, seed=61).sigmoid(), torch.tensor([0] * 7 + [1] * 3), 0.4),
        (draw(8, seed=62).sigmoid(), torch.arange(8) % 2, 0.25),
    ],
    {
        "in each class, not over all of them.": lambda p, y, share: (
            p.argsort()[: int(share * len(p))].sort().values
        ),
        "those are the most confident.": lambda p, y, share: suspects(-p, y, share),
        "round the number down.": lambda p, y, share: _suspects(p, y, share, 0.999).sort().values,
        "positions in ascending order.": _suspects,
        "positions in the whole, not within the class.": lambda p, y, share: (
            torch.cat([p[y == c].argsort()[: int(share * (y == c).sum())] for c in y.unique()])
            .sort()
            .values
        ),
    },
)
def suspects(p: Tensor, labels: Tensor, share: float) -> Tensor:
    found = []
    for c in labels.unique():
        rows = torch.nonzero(labels == c)[:, 0]
        found.append(rows[p[rows].argsort()][: int(share * len(rows))])
    return torch.cat(found).sort().values
