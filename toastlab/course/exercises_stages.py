"""The exercises about who is carried and what a carried sample is taught: notebooks 4 and 5."""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise


@exercise(
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "As many samples are looked at as there are wrong labels.",
            "Those with the largest scores: a descending argsort, cut to that number.",
            "The share of wrong ones among them is a mean of booleans as floats.",
        ),
    ),
    [
        (torch.tensor([0.9, 0.1, 0.8, 0.3]), torch.tensor([True, False, False, True])),
        (torch.tensor([1.0, 2, 3, 4, 5, 6]), torch.tensor([False, True, True, False, True, True])),
        (draw(9, seed=101), torch.arange(9) % 3 == 0),
        (torch.tensor([3.0, 1, 2, 0]), torch.tensor([False, True, False, False])),
    ],
    {
        "those are the smallest scores; take the largest.": lambda score, wrong: hit_rate(
            -score, wrong
        ),
        "look at as many samples as there are wrong labels, not at half of all.": (
            lambda score, wrong: (
                wrong[score.argsort(descending=True)][: len(wrong) // 2].float().mean()
            )
        ),
        "that is the share of all samples, which is chance.": lambda score, wrong: (
            wrong.float().mean()
        ),
        "that is the number; take the share.": lambda score, wrong: (
            hit_rate(score, wrong) * wrong.sum()
        ),
        "that is the share of the right labels at the top.": lambda score, wrong: (
            1 - hit_rate(score, wrong)
        ),
        "a score above its mean is no top of a fixed size.": lambda score, wrong: (
            wrong[score > score.mean()].float().mean()
        ),
    },
    hidden=[(draw(30, seed=102), torch.arange(30) % 4 == 0)],
)
def hit_rate(score: Tensor, wrong: Tensor) -> Tensor:
    top = score.argsort(descending=True)[: int(wrong.sum())]
    return wrong[top].float().mean()


@exercise(
    Ladder(
        minutes=5,
        difficulty=2,
        hints=(
            "The push is the negative gradient of the loss with respect to the logits.",
            "For a cross-entropy or a KL to a fixed target it is target minus prediction.",
            "The prediction is z.softmax(0); the weight multiplies the difference.",
        ),
    ),
    [
        (torch.tensor([3.0, 1, 0]), torch.tensor([0.0, 1, 0]), 1.0),
        (torch.tensor([3.0, 1, 0]), torch.tensor([3.0, 1, 0]).softmax(0), 3.0),
        (draw(4, seed=121), draw(4, seed=122).softmax(0), 2.0),
        (draw(3, seed=123), draw(3, seed=124).softmax(0), 0.5),
    ],
    {
        "that is the gradient; the push is against it.": lambda z, target, weight: (
            weight * (z.softmax(0) - target)
        ),
        "the weight is missing.": lambda z, target, weight: target - z.softmax(0),
        "compare the target with the prediction, the softmax of z.": lambda z, target, weight: (
            weight * (target - z)
        ),
        "the target is a distribution already: no softmax of it.": lambda z, target, weight: (
            weight * (target.softmax(0) - z.softmax(0))
        ),
        "the weight multiplies the difference, not the target alone.": lambda z, target, weight: (
            weight * target - z.softmax(0)
        ),
        "that is the loss in each class, not its push.": lambda z, target, weight: (
            -weight * target * z.log_softmax(0)
        ),
    },
    hidden=[(draw(6, seed=125), draw(6, seed=126).softmax(0), 3.0)],
)
def push(z: Tensor, target: Tensor, weight: float) -> Tensor:
    return weight * (target - z.softmax(0))


def _case(
    n: int, carried: int, b: float, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    """A batch of n samples of three classes, the first `carried` of which are carried."""
    z, past = draw(n, 3, seed=seed), draw(n, 3, seed=seed + 1)
    return z, draw(n, 3, seed=seed + 2).softmax(1), past, torch.arange(n) < carried, b


def _parts(z: Tensor, targets: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """For mistakes: cross-entropy and KL of each sample, [B] and [B]."""
    ce = -(targets * z.log_softmax(1)).sum(1)
    return ce, (past.softmax(1) * (past.log_softmax(1) - z.log_softmax(1))).sum(1)


@exercise(
    Ladder(
        minutes=10,
        difficulty=3,
        hints=(
            "Each sample has one loss: a new one a cross-entropy, a carried one a KL.",
            "L1 is the mean over the new, L2 over the carried; an empty mean would be NaN.",
            "ce[~carried].mean() + b * kl[carried].sum() / max(1, int(carried.sum())).",
        ),
    ),
    [_case(5, 2, 3.0, 131), _case(3, 0, 3.0, 134), _case(6, 1, 0.5, 137), _case(3, 2, 1.5, 140)],
    {
        "a carried sample does not show its label: L1 is the mean over the new ones.": (
            lambda z, targets, past, carried, b: (
                toast_loss(z, targets, past, carried, b)
                + _parts(z, targets, past)[0].mean()
                - _parts(z, targets, past)[0][~carried].mean()
            )
        ),
        "the weight b is missing.": lambda z, targets, past, carried, b: toast_loss(
            z, targets, past, carried, 1.0
        ),
        "L2 is the mean over the carried samples, not over the batch.": (
            lambda z, targets, past, carried, b: toast_loss(
                z, targets, past, carried, b * float(carried.float().mean())
            )
        ),
        "L1 is the mean over the new samples, not over the batch.": (
            lambda z, targets, past, carried, b: (
                toast_loss(z, targets, past, carried, b)
                - _parts(z, targets, past)[0][~carried].mean() * carried.float().mean()
            )
        ),
        "the direction: KL(past || now), the past is the target.": (
            lambda z, targets, past, carried, b: (
                toast_loss(z, targets, past, carried, 0.0)
                + b * _parts(past, targets, z)[1][carried].sum() / max(1, int(carried.sum()))
            )
        ),
        "where nobody is carried a mean is NaN: then there is no L2.": (
            lambda z, targets, past, carried, b: (
                _parts(z, targets, past)[0][~carried].mean()
                + b * _parts(z, targets, past)[1][carried].mean()
            )
        ),
        "the KL is of the carried samples, whose past is known; the others have none.": (
            lambda z, targets, past, carried, b: (
                _parts(z, targets, past)[0][~carried].mean()
                + b * _parts(z, targets, past)[1].mean()
            )
        ),
    },
    hidden=[_case(12, 6, 3.0, 143), _case(7, 0, 1.0, 146)],
)
def toast_loss(z: Tensor, targets: Tensor, past: Tensor, carried: Tensor, b: float) -> Tensor:
    ce = -(targets * z.log_softmax(1)).sum(1)
    kl = (past.softmax(1) * (past.log_softmax(1) - z.log_softmax(1))).sum(1)
    return ce[~carried].mean() + b * kl[carried].sum() / max(1, int(carried.sum()))
