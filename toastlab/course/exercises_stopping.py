"""The exercises about stopping early: notebook 9, beside those of `exercises_peers`. See
`toastlab.course.exercises`.
"""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise


def _curves(seeds: int, epochs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Accuracies on validation and test, [S, E] each."""
    return draw(seeds, epochs, seed=seed).sigmoid(), draw(seeds, epochs, seed=seed + 1).sigmoid()


@exercise(
    Ladder(
        minutes=4,
        difficulty=1,
        hints=(
            "Each seed stops in an epoch of its own, which validation chooses.",
            "argmax over the epochs gives one position a seed.",
            "gather(1, best[:, None]) takes one number of each row; drop the second axis.",
        ),
    ),
    [_curves(2, 3, 80), _curves(3, 5, 82), _curves(5, 4, 84)],
    {
        "that is chosen on the test split.": lambda val, test: test.max(1).values,
        "that is the accuracy on validation; report the test.": lambda val, test: val.max(1).values,
        "that is the last epoch, without stopping.": lambda val, test: test[:, -1],
        "each seed has an epoch of its own; this is one for all.": lambda val, test: test[
            :, val.mean(0).argmax()
        ],
        "return the accuracies, not the epochs.": lambda val, test: val.argmax(1),
        "the best on validation, not the worst.": lambda val, test: stopped(-val, test),
        "one number a seed, not their mean.": lambda val, test: stopped(val, test).mean(),
    },
    [_curves(4, 6, 86), _curves(1, 5, 88)],
)
def stopped(val: Tensor, test: Tensor) -> Tensor:
    best = val.argmax(1)
    return test.gather(1, best[:, None])[:, 0]


@exercise(
    Ladder(
        minutes=5,
        difficulty=2,
        hints=(
            "Two ways to agree with a label: both are right, or both are wrong alike.",
            "The first happens in p (1 - rate) of the cases.",
            "A wrong answer meets a wrong label's class once in classes - 1 times.",
        ),
    ),
    [
        (torch.tensor([0.0, 0.5, 0.8, 1.0]), rate, classes)
        for rate, classes in ((0.2, 10), (0.4, 3), (0.0, 10), (0.5, 2))
    ],
    {
        "a wrong answer may agree with a wrong label.": lambda p, rate, classes: p * (1 - rate),
        "a wrong answer meets a wrong label by chance: how many wrong classes are there?": (
            lambda p, rate, classes: p * (1 - rate) + (1 - p) * rate
        ),
        "the right class is none of the wrong ones: classes - 1.": (
            lambda p, rate, classes: p * (1 - rate) + (1 - p) * rate / classes
        ),
        "not every wrong label costs a point: some of its answers were wrong before.": (
            lambda p, rate, classes: p - rate
        ),
        "wrong labels change what is measured.": lambda p, rate, classes: p,
        "that much lies at wrong labels; the question is what is measured.": (
            lambda p, rate, classes: (1 - p) * rate / (classes - 1)
        ),
    },
    [(torch.tensor([0.9, 0.3]), 0.3, 4)],
)
def measured(p: Tensor, rate: float, classes: int) -> Tensor:
    both_right = p * (1 - rate)
    both_wrong_alike = (1 - p) * rate / (classes - 1)
    return both_right + both_wrong_alike
