"""The exercises about single samples: notebooks 4 to 6 and 8."""

import torch
from torch import Tensor
from torch.linalg import vector_norm

from toastlab.course.exercises import EVEN, NONE_RIGHT, RIGHT, Ladder, Q, draw, exercise
from toastlab.course.exercises_targets import entropy


def _purities(d: Tensor, labels: Tensor, k: int) -> Tensor:
    """For mistakes: of each sample [N], from distances [N, N] as they are."""
    return (labels[d.topk(k, largest=False).indices] == labels[:, None]).float().mean(1)


def _suspects(p: Tensor, y: Tensor, share: float, more: float = 0) -> Tensor:
    """For mistakes: class after class, the least probable first; `more` before rounding down."""
    members = [torch.nonzero(y == c)[:, 0] for c in y.unique()]
    return torch.cat([m[p[m].argsort()][: int(share * len(m) + more)] for m in members])


@exercise(
    Ladder(
        minutes=5,
        difficulty=2,
        hints=(
            "An event needs two epochs in a row: right, then wrong.",
            "Compare all epochs but the last with all but the first.",
            "correct[:-1] & ~correct[1:], and count.",
        ),
    ),
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
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "First find the positions of the misclassified ones.",
            "Sort these positions by their probability; a stable sort keeps ties in order.",
            "Cut the sorted positions to `most`.",
        ),
    ),
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
    Ladder(
        minutes=7,
        difficulty=3,
        hints=(
            "Both logits are divided by T; then one needs p and both logarithms.",
            "KL(p || q) is the sum of p (log p - log q) over the classes; see log_softmax.",
            "Take the mean over the samples, and multiply by T squared.",
        ),
    ),
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
    Ladder(
        minutes=4,
        difficulty=1,
        hints=(
            "Multiply the two distributions class by class.",
            "Take the roots of the products, and their sum: that is 1 where both are equal.",
            "One minus that sum, and its root; rounding may leave a little less than 0.",
        ),
    ),
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
    Ladder(
        minutes=7,
        difficulty=3,
        hints=(
            "Start with the distances of all pairs.",
            "A sample is nearest to itself: make its own distance infinite.",
            "topk(k, largest=False) of torch.cdist has them; compare labels with labels[:, None].",
        ),
    ),
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
    Ladder(
        minutes=7,
        difficulty=3,
        hints=(
            "Go through the classes one by one.",
            "Within a class, sort its positions by p and keep int(share * number) of them.",
            "Put the classes' positions together with torch.cat, and sort them.",
        ),
    ),
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
