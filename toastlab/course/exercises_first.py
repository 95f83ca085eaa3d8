"""The first exercises: notebook 1, beside `entropy` of `exercises_targets`. See
`toastlab.course.exercises`.
"""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise

FALLS = torch.tensor([0.5, 0.75, 0.8, 0.7])


@exercise(
    Ladder(
        minutes=2,
        difficulty=1,
        hints=(
            "Two numbers are needed: the best accuracy, and that after the last epoch.",
            "The largest value less the last one; a share times 100 is in percent.",
            "curve.max() is the best one, curve[-1] the last one.",
        ),
    ),
    [(FALLS,), (FALLS.flip(0),), (torch.tensor([0.2, 0.4, 0.6]),), (torch.tensor([0.9, 0.3]),)],
    {
        "give back points: 100 times a difference of shares.": lambda curve: lost(curve) / 100,
        "the last epoch counts, not the first.": lambda curve: 100 * (curve.max() - curve[0]),
        "what is lost is the best less the last, and not below zero.": lambda curve: -lost(curve),
        "the worst may come at the beginning; take the last.": lambda curve: (
            100 * (curve.max() - curve.min())
        ),
        "points are a difference, not a share of the best.": lambda curve: (
            lost(curve) / curve.max()
        ),
        "the best epoch is not always the first: take the largest of all.": lambda curve: (
            100 * (curve[0] - curve[-1])
        ),
    },
    hidden=[(torch.tensor([0.7]),), (draw(9, seed=151).sigmoid(),)],
)
def lost(curve: Tensor) -> Tensor:
    return 100 * (curve.max() - curve[-1])


@exercise(
    Ladder(
        minutes=4,
        difficulty=2,
        hints=(
            "How sure a network is of a sample: the largest probability that it gives.",
            "Average that over the samples, and take off the share that it gets right.",
            "p.amax(1) is how sure it is; p.argmax(1) == labels is whether it is right.",
        ),
    ),
    [
        (draw(4, 3, seed=152).softmax(1), torch.tensor([0, 1, 2, 2])),
        (torch.tensor([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]]), torch.tensor([0, 0, 0])),
        (draw(7, 4, seed=153).softmax(1), torch.arange(7) % 4),
        (torch.eye(3), torch.tensor([0, 1, 1])),
    ],
    {
        "give back points: 100 times a difference of shares.": lambda p, labels: (
            too_sure(p, labels) / 100
        ),
        "sure less right: too sure is above zero.": lambda p, labels: -too_sure(p, labels),
        "it is sure of its answer, not of the label: take the largest probability.": (
            lambda p, labels: (
                100
                * (p[torch.arange(len(p)), labels].mean() - (p.argmax(1) == labels).float().mean())
            )
        ),
        "that is how sure it is; take off the share that is right.": lambda p, labels: (
            100 * p.amax(1).mean()
        ),
        "one number over all samples: average before you take the difference.": (
            lambda p, labels: 100 * (p.amax(1) - (p.argmax(1) == labels).float())
        ),
        "signs matter: too sure here and too unsure there cancel.": lambda p, labels: (
            100 * (p.amax(1) - (p.argmax(1) == labels).float()).abs().mean()
        ),
    },
    hidden=[(draw(20, 5, seed=154).softmax(1), torch.arange(20) % 5)],
)
def too_sure(p: Tensor, labels: Tensor) -> Tensor:
    right = (p.argmax(1) == labels).float()
    return 100 * (p.amax(1).mean() - right.mean())
