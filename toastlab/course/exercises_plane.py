"""The exercises about layouts and labels learnt by heart: notebook 6, beside those of
`exercises_samples`. See `toastlab.course.exercises`.
"""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise
from toastlab.course.questions import QUESTIONS, Question


def _labelled(count: int, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions, labels and true labels [n]; every third label is wrong."""
    clean = torch.arange(count) % classes
    labels = torch.where(torch.arange(count) % 3 == 0, (clean + 1) % classes, clean)
    return draw(count, classes, seed=seed).argmax(1), labels, clean


@exercise(
    Ladder(
        minutes=3,
        difficulty=1,
        hints=(
            "Look at the wrongly labelled samples only.",
            "Learnt by heart are those of them that are predicted as their label.",
            "The mean of (predicted == labels)[labels != clean] as numbers.",
        ),
    ),
    [_labelled(n, k, seed) for n, k, seed in ((7, 3, 80), (12, 4, 81), (20, 3, 82))],
    {
        "of the wrongly labelled ones only, not of all.": lambda p, y, c: (p == y).float().mean(),
        "those are predicted as what they show.": lambda p, y, c: (p == c)[y != c].float().mean(),
        "divide by the number of the wrongly labelled ones, not of all.": lambda p, y, c: (
            ((p == y) & (y != c)).float().mean()
        ),
        "give the share, not the number.": lambda p, y, c: (p == y)[y != c].sum(),
        "a third class is a mistake, but not learnt by heart.": lambda p, y, c: (
            (p != c)[y != c].float().mean()
        ),
    },
    hidden=[_labelled(30, 5, 83)],
)
def by_heart(predicted: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
    return (predicted == labels)[labels != clean].float().mean()


def _two_layouts(count: int, angle: float, seed: int, mirrored: bool) -> tuple[Tensor, Tensor]:
    """A layout [n, 2], and it turned, mirrored and a little changed; both with mean 0."""
    xy = draw(count, 2, seed=seed)
    c, s = torch.tensor(angle).cos(), torch.tensor(angle).sin()
    turn = torch.stack([torch.stack([c, s]), torch.stack([-s, c])])
    onto = (xy * torch.tensor([1.0, -1.0 if mirrored else 1.0])) @ turn
    onto = onto + 0.1 * draw(count, 2, seed=seed + 50)
    return xy - xy.mean(0), onto - onto.mean(0)


def _best(xy: Tensor, onto: Tensor, mirror: bool = True) -> Tensor:
    """The turn [2, 2], with or without mirroring."""
    u, _, v = torch.linalg.svd(xy.T @ onto)
    sign = torch.ones(2)
    sign[1] = 1.0 if mirror else torch.linalg.det(u @ v)
    return u @ torch.diag(sign) @ v


@exercise(
    Ladder(
        minutes=8,
        difficulty=3,
        hints=(
            "This is the orthogonal Procrustes problem; its answer is one matrix of two rows.",
            "That matrix comes from the singular values' directions of xy.T @ onto.",
            "With u, _, v = torch.linalg.svd(xy.T @ onto) the matrix is u @ v; apply it to xy.",
        ),
    ),
    [
        _two_layouts(n, angle, seed, mirrored)
        for n, angle, seed, mirrored in (
            (4, 1.0, 90, False),
            (6, 2.5, 91, True),
            (9, 0.7, 92, True),
        )
    ],
    {
        "that turns it the other way.": lambda xy, onto: xy @ _best(xy, onto).T,
        "that moves `onto`; move xy.": lambda xy, onto: onto @ _best(onto, xy),
        "turn and mirror only: least squares stretches, too.": lambda xy, onto: (
            xy @ torch.linalg.lstsq(xy, onto).solution
        ),
        "give back the layout, not the matrix.": _best,
        "a layout may be mirrored, too.": lambda xy, onto: xy @ _best(xy, onto, mirror=False),
        "it has not moved.": lambda xy, onto: xy,
    },
    hidden=[_two_layouts(5, 3.0, 93, False), _two_layouts(8, 0.2, 94, True)],
)
def turned(xy: Tensor, onto: Tensor) -> Tensor:
    u, _, v = torch.linalg.svd(xy.T @ onto)
    return xy @ u @ v


QUESTIONS["far_apart"] = Question(
    minutes=4,
    difficulty=2,
    model="Nothing follows. t-SNE keeps who is next to whom, and gives up the gaps between groups "
    "and their sizes. With another perplexity or another start the same two groups may lie side "
    "by side. Which classes differ most has to be measured where the points came from: by the "
    "distances between class means, say, or by how much probability one class gives the other.",
    says=(
        "gaps between groups mean nothing in such a picture",
        "another perplexity or start would move the groups",
        "measure in the space that was laid out, not in the plane",
    ),
)
