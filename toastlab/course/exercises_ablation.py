"""The exercises about an ablation: notebook 7, with two of `exercises_peers`."""

import torch
from torch import Tensor

from toastlab.course.exercises import Inputs, Ladder, draw, exercise


def _plane(a: int, b: int, seed: int) -> Tensor:
    """A plane whose columns differ more than its rows."""
    return draw(a, b, seed=seed) + 4 * draw(b, seed=seed + 1) + 50


def _shares(plane: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """For mistakes: other sums of squares by what all cells differ."""
    return torch.stack([rows, columns]) / (plane - plane.mean()).square().sum()


@exercise(
    Ladder(
        minutes=10,
        difficulty=3,
        hints=(
            "Take the mean of all cells away; what is left is what the cells differ by.",
            "A row's squared mean counts once for each of its B cells, a column's A times.",
            "B * d.mean(1).square().sum() over d.square().sum(), and the same for columns.",
        ),
    ),
    [
        (torch.tensor([[1.0, 2, 6], [1, 2, 6]]),),
        (_plane(4, 3, 200),),
        (_plane(3, 5, 202),),
        (draw(6, 6, seed=204) + 80,),
    ],
    {
        "take the mean of all cells away first.": lambda plane: (
            torch.stack([plane.mean(1).square().mean(), plane.mean(0).square().mean()])
            / plane.square().mean()
        ),
        "the wrong way round: rows first, then columns.": lambda plane: explained(plane).flip(0),
        "the mean of a row stands for all cells of the row: count it as often.": lambda plane: (
            _shares(
                plane,
                (plane.mean(1) - plane.mean()).square().sum(),
                (plane.mean(0) - plane.mean()).square().sum(),
            )
        ),
        "that is how far cells differ within rows; ask how far the rows' means do.": (
            lambda plane: 1 - explained(plane)
        ),
        "squares, not absolute values: only they add up.": lambda plane: (
            torch.stack(
                [
                    (plane.mean(1) - plane.mean()).abs().mean(),
                    (plane.mean(0) - plane.mean()).abs().mean(),
                ]
            )
            / (plane - plane.mean()).abs().mean()
        ),
        "divide by what all cells differ, not by rows and columns together.": lambda plane: (
            explained(plane) / explained(plane).sum()
        ),
    },
    hidden=[(_plane(7, 4, 206),), (draw(2, 5, seed=208),)],
)
def explained(plane: Tensor) -> Tensor:
    d = plane - plane.mean()
    a, b = plane.shape
    rows, columns = b * d.mean(1).square().sum(), a * d.mean(0).square().sum()
    return torch.stack([rows, columns]) / d.square().sum()


DIFFERENCES: Inputs = [
    (torch.tensor([1.0, 2.0, 3.0]), 0.5),
    (torch.tensor([0.3, -0.4, 1.1, 0.2, 0.9]), 0.3),
    (draw(10, seed=210), 0.6),
    (draw(8, seed=211) + 5, 1.3),
]


@exercise(
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "The standard error shrinks with the root of the number of seeds.",
            "Solve 1.96 s / sqrt(n) = half for n; s is the deviation of the differences.",
            "n is the square of 1.96 s / half, rounded up: ceil.",
        ),
    ),
    DIFFERENCES,
    {
        "that is too few by a fraction: round up.": lambda d, half: (
            (1.96 * d.std() / half).square().floor()
        ),
        "the error falls with the root of n: square what you have.": lambda d, half: (
            1.96 * d.std() / half
        ).ceil(),
        "`half` is half of the interval, not all of it.": lambda d, half: (
            (2 * 1.96 * d.std() / half).square().ceil()
        ),
        "a 95 % interval takes 1.96 standard errors, not one.": lambda d, half: (
            (d.std() / half).square().ceil()
        ),
        "the mean of the differences has no say in how wide the interval is.": lambda d, half: (
            (1.96 * d.std() / d.mean()).square().ceil()
        ),
        "it is a number of seeds: give back a whole one.": lambda d, half: (
            1.96 * d.std() / half
        ).square(),
    },
    hidden=[(draw(20, seed=212), 0.25), (torch.tensor([0.0, 1.0]), 0.2)],
)
def seeds_for(d: Tensor, half: float) -> Tensor:
    return (1.96 * d.std() / half).square().ceil()
