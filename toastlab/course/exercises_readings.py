"""The exercises about readings of the abstract: notebook 11. See `toastlab.course.exercises`."""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise

P = torch.tensor([0.15, 0.5, 0.9, 0.999])


def _shared(p: Tensor, t: float, others: int, power: float, times: int) -> Tensor:
    """For mistakes: with other classes that are shared, raised or counted otherwise."""
    own = p ** (1 / t)
    return own / (own + times * ((1 - p) / others) ** power)


@exercise(
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "Logits divided by T are probabilities to the power 1 / T, up to a factor.",
            "Each of the other K - 1 classes has (1 - p) / (K - 1) before; take its power, too.",
            "Divide the right class's power by the sum of all K powers.",
        ),
    ),
    [(P, 2.0, 10), (P, 0.5, 10), (P[1:], 3.0, 4), (torch.tensor([0.2, 0.7]), 1.0, 5)],
    {
        "the power is 1 / T: dividing logits by T takes a root.": lambda p, temperature, classes: (
            softened(p, 1 / temperature, classes)
        ),
        "take the root of each other class, then add: (K - 1) ((1 - p) / (K - 1))^(1/T).": (
            lambda p, temperature, classes: _shared(p, temperature, 1, 1 / temperature, 1)
        ),
        "the others are softened, too: take the root of (1 - p) / (K - 1).": (
            lambda p, temperature, classes: _shared(p, temperature, 1, 1, 1)
        ),
        "there are K - 1 other classes; that counts one of them.": (
            lambda p, temperature, classes: _shared(p, temperature, classes - 1, 1 / temperature, 1)
        ),
        "K - 1 others, not K: the right class is counted already.": (
            lambda p, temperature, classes: _shared(
                p, temperature, classes, 1 / temperature, classes
            )
        ),
    },
    hidden=[(torch.tensor([0.3, 0.6, 0.99]), 1.5, 6), (P, 8.0, 100)],
)
def softened(p: Tensor, temperature: float, classes: int) -> Tensor:
    own = p ** (1 / temperature)
    other = ((1 - p) / (classes - 1)) ** (1 / temperature)
    return own / (own + (classes - 1) * other)


def _end(weight: float, temperature: float, classes: int, start: float, steps: int) -> Tensor:
    p = torch.tensor(start, dtype=torch.float64)
    for _ in range(steps):
        p = 1 - weight + weight * softened(p, temperature, classes)
    return p


@exercise(
    Ladder(
        minutes=7,
        difficulty=3,
        hints=(
            "Repeat one step many times, each from where the last one ended.",
            "The step is 1 - a + a q, with q from the exercise before.",
            "A thousand steps are enough; start at p = 1 - a, below 1.",
        ),
    ),
    [(0.3, 2.0, 10), (0.5, 3.0, 10), (0.3, 1.0, 10), (0.6, 1.5, 4)],
    {
        "a network that is certain is never softened: start below 1.": lambda a, t, k: _end(
            a, t, k, 1.0, 9
        ),
        "that is after one step; go on until p changes no more.": lambda a, t, k: _end(
            a, t, k, 1 - a, 1
        ),
        "that is where it starts.": lambda a, t, k: 1 - a,
        "the weights are the wrong way round: a belongs to the soft target.": lambda a, t, k: _end(
            1 - a, t, k, 0.5, 4000
        ),
        "give back p of the target, not q.": lambda a, t, k: softened(ends_at(a, t, k), t, k),
    },
    hidden=[(0.4, 2.5, 6), (0.2, 8.0, 10), (0.0, 2.0, 10)],
)
def ends_at(weight: float, temperature: float, classes: int) -> Tensor:
    p = torch.tensor(1 - weight, dtype=torch.float64)
    for _ in range(2000):
        own = p ** (1 / temperature)
        other = ((1 - p) / (classes - 1)) ** (1 / temperature)
        p = 1 - weight + weight * own / (own + (classes - 1) * other)
    return p


HOLDS = torch.tensor([[3, 1, 0], [0, 2, 4], [1, 1, 1], [5, 0, 0]])
FAILS = torch.tensor([[0, 2, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]])


@exercise(
    Ladder(
        minutes=3,
        difficulty=1,
        hints=(
            "Ask two things of each claim: does it hold anywhere, and does it fail anywhere?",
            "Both together: it holds in more than no cell, and fails in none. Then count.",
            "(holds > 0) & (fails == 0) is [R, C]; sum over the claims, dimension 1.",
        ),
    ),
    [(HOLDS, FAILS), (HOLDS[:3], FAILS[:3]), (HOLDS[3:], FAILS[3:]), (HOLDS.T, FAILS.T)],
    {
        "a claim that fails anywhere does not count.": lambda holds, fails: (holds > 0).sum(1),
        "a claim that holds nowhere is open, and does not count.": lambda holds, fails: (
            fails == 0
        ).sum(1),
        "count claims, not the ways to train in which they hold.": lambda holds, fails: (
            holds * (fails == 0)
        ).sum(1),
        "to hold more often than it fails is not enough: it may fail nowhere.": (
            lambda holds, fails: (holds > fails).sum(1)
        ),
        "that is a count for each claim; sum over the claims, dimension 1.": lambda holds, fails: (
            (holds > 0) & (fails == 0)
        ).sum(0),
        "one count for each reading, not one in all.": lambda holds, fails: (
            (holds > 0) & (fails == 0)
        ).sum(),
    },
    hidden=[(draw(6, 7, seed=155).relu().round(), draw(6, 7, seed=156).relu().round())],
)
def satisfied(holds: Tensor, fails: Tensor) -> Tensor:
    return ((holds > 0) & (fails == 0)).sum(1)
