"""The exercises about an ablation: notebook 7, with two of `exercises_peers`."""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise


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
