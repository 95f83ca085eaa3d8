"""The exercises about comparing methods: notebooks 7, 9 and 10. See `toastlab.course.exercises`."""

import torch
from torch import Tensor

from toastlab.course.exercises import RIGHT, Ladder, draw, exercise


def _holm(p: Tensor, factor: Tensor, most: float = 1) -> Tensor:
    """For mistakes: with other factors of the sorted p, or more than 1 allowed."""
    corrected = (p.sort().values * factor).cummax(0).values.clamp(max=most)
    return corrected[p.argsort().argsort()]


def _interval(a: Tensor, b: Tensor, half: Tensor) -> Tensor:
    """For mistakes: an interval of another width."""
    return (b - a).mean() + half * torch.tensor([0, -1, 1])


@exercise(
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "Work with one number a seed: the difference of the two methods.",
            "The standard error is the differences' deviation over the root of their number.",
            "The ends lie t standard errors from the mean; torch.stack joins three numbers.",
        ),
    ),
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
    Ladder(
        minutes=2,
        difficulty=1,
        hints=(
            "Two steps: choose a setting, then report it.",
            "The validation accuracies choose, the test accuracies report.",
            "argmax gives the position of the best.",
        ),
    ),
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
    Ladder(
        minutes=7,
        difficulty=3,
        hints=(
            "Sort the p-values first, and remember the order.",
            "The smallest is multiplied by their number m, the next by m - 1, and so on to 1.",
            "Take the running maximum, at most 1, and undo the sorting.",
        ),
    ),
    [
        (torch.tensor([0.01, 0.04, 0.03]),),
        (torch.tensor([0.2, 0.01, 0.02, 0.7, 0.6]),),
        (torch.tensor([0.011, 0.001, 0.012, 0.5]),),
    ],
    {
        "that is Bonferroni: only the smallest is multiplied by all of m.": lambda p: (
            p * len(p)
        ).clamp(max=1),
        "a corrected p may not be below that of a smaller p: take the running maximum.": (
            lambda p: (p * (len(p) - p.argsort().argsort())).clamp(max=1)
        ),
        "a probability is at most 1.": lambda p: _holm(p, torch.arange(len(p), 0, -1), len(p)),
        "give them back in their own order.": lambda p: holm(p).sort().values,
        "the smallest is multiplied by m, the largest by 1.": lambda p: _holm(
            p, torch.arange(1, len(p) + 1)
        ),
    },
)
def holm(p: Tensor) -> Tensor:
    order = p.argsort()
    factor = torch.arange(len(p), 0, -1)
    corrected = (p[order] * factor).cummax(0).values.clamp(max=1)
    return corrected[order.argsort()]


@exercise(
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "Sort the answers, the most confident first.",
            "The risk of the first k is the share of errors among them: use a running sum.",
            "Take the mean of these risks.",
        ),
    ),
    [(draw(4, seed=50).sigmoid(), RIGHT[3])]
    + [(draw(6, seed=60 + i).sigmoid(), right) for i, right in enumerate(RIGHT[:3])],
    {
        "the most confident come first.": lambda c, r: aurc(-c, r),
        "that is the error rate of all; take the mean over the first 1, 2, ... N.": (
            lambda c, r: 1 - r.float().mean()
        ),
        "risk is the share of errors, not of right answers.": lambda c, r: 1 - aurc(c, r),
        "take the mean over the samples, not the sum.": lambda c, r: aurc(c, r) * len(c),
        "sort the answers by confidence first.": lambda c, r: aurc(-torch.arange(len(r)), r),
    },
)
def aurc(confidence: Tensor, right: Tensor) -> Tensor:
    wrong = (~right)[confidence.argsort(descending=True)].float()
    return (wrong.cumsum(0) / torch.arange(1, len(wrong) + 1)).mean()


@exercise(
    Ladder(
        minutes=3,
        difficulty=1,
        hints=(
            "There are three cases: a gain, a loss, and neither.",
            "A gain has its lower end above zero, a loss its upper end below.",
            "Turn both conditions into numbers, and take the difference.",
        ),
    ),
    [
        *((e[:, 0], e[:, 1]) for e in (draw(6, 2, seed=s).sort(1).values for s in (70, 71, 72))),
        (torch.tensor([-1.0, 1, -2]), torch.tensor([1.0, 2, -1])),
        (torch.tensor([0.0, -1, 0]), torch.tensor([1.0, 0, 0])),  # zero is an end
    ],
    {
        "a mean above zero is not enough: zero must lie outside.": lambda low, high: (
            ((low + high) / 2).sign().int()
        ),
        "the other way round: both ends above zero is a gain.": lambda low, high: -clear(low, high),
        "an interval that ends at zero still holds it: > and <, not >= and <=.": (
            lambda low, high: (low >= 0).int() - (high <= 0).int()
        ),
        "say which way: a clear loss is -1.": lambda low, high: clear(low, high).abs(),
    },
)
def clear(low: Tensor, high: Tensor) -> Tensor:
    return (low > 0).int() - (high < 0).int()


@exercise(
    Ladder(
        minutes=4,
        difficulty=1,
        hints=(
            "Draw it: a straight line through two points, (start, 0) and (1, 1).",
            "That line is (right - start) / (1 - start).",
            "Where it is below zero, it is zero: clamp.",
        ),
    ),
    [(torch.tensor([0.1, 0.5, 0.8, 0.9, 1.0]), s) for s in (0.0, 0.5, 0.8)],
    {
        "up to `start` it is 0, not negative.": lambda right, start: (right - start) / (1 - start),
        "it must reach 1 where everything is right.": lambda right, start: (right - start).clamp(
            min=0
        ),
        "that jumps; draw a straight line from `start` to 1.": lambda right, start: (
            right > start
        ).float(),
        "between, not from zero on: at `start` it is still 0.": lambda right, start: torch.where(
            right > start, right, 0.0
        ),
    },
)
def ramp(right: Tensor, start: float) -> Tensor:
    return ((right - start) / (1 - start)).clamp(min=0)
