"""The exercises about lists of doubtful labels: notebook 8, beside those of `exercises_samples`.
See `toastlab.course.exercises`.
"""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise
from toastlab.course.questions import QUESTIONS, Question

WRONG = torch.tensor([c == "1" for c in "0110000100"])


@exercise(
    Ladder(
        minutes=3,
        difficulty=1,
        hints=(
            "Sort the samples by their score; a low score is doubtful.",
            "Take the first `count` of them, and see which are wrong.",
            "flipped[scores.argsort()[:count]], and its mean as numbers.",
        ),
    ),
    [(draw(10, seed=100 + i), WRONG.roll(3 * i), count) for i, count in enumerate((4, 3, 6))],
    {
        "low scores are doubtful: take the lowest.": lambda s, f, n: hits(-s, f, n),
        "that is the share of all wrong ones; divide by `count`.": lambda s, f, n: (
            f[s.argsort()[:n]].sum() / f.sum()
        ),
        "give the share, not the number.": lambda s, f, n: f[s.argsort()[:n]].sum(),
        "sort by the scores first.": lambda s, f, n: f[:n].float().mean(),
        "that is the share in the whole list; take its beginning.": lambda s, f, n: (
            f.float().mean()
        ),
    },
    hidden=[(draw(10, seed=104), WRONG, 10), (draw(10, seed=105), ~WRONG, 1)],
)
def hits(scores: Tensor, flipped: Tensor, count: int) -> Tensor:
    return flipped[scores.argsort()[:count]].float().mean()


def _margin(z: Tensor, labels: Tensor) -> Tensor:
    """Of logits [..., N, K], the label's less the largest other: [..., N]."""
    own = labels.expand(z.shape[:-1])[..., None]
    return z.gather(-1, own)[..., 0] - z.scatter(-1, own, -torch.inf).amax(-1)


def _to_the_mean(z: Tensor, labels: Tensor) -> Tensor:
    """For mistakes: the label's less the mean of the others."""
    own = z.gather(2, labels.expand(len(z), -1)[..., None])[..., 0]
    return (own - (z.sum(2) - own) / (z.shape[2] - 1)).mean(0)


def _to_the_largest(z: Tensor, labels: Tensor) -> Tensor:
    """For mistakes: the label's less the largest of all."""
    return _margin(z, labels).clamp(max=0).mean(0)


@exercise(
    Ladder(
        minutes=7,
        difficulty=2,
        hints=(
            "First one epoch: the label's logit less the largest of the other classes.",
            "Make the label's own logit minus infinity before you look for the largest.",
            "gather takes the label's, scatter and amax the largest other; then mean over dim 0.",
        ),
    ),
    [
        (draw(e, n, k, seed=110 + e), torch.arange(n) % k)
        for e, n, k in ((2, 3, 3), (3, 4, 5), (4, 6, 3))
    ],
    {
        "the largest other: leave the label's own out.": _to_the_largest,
        "the mean over the epochs, not the sum.": lambda z, y: _margin(z, y).sum(0),
        "that is the last epoch alone.": lambda z, y: _margin(z[-1], y),
        "the largest of the others, not their mean.": _to_the_mean,
        "the label's less the other's, not the other way round.": lambda z, y: -aum(z, y),
        "of logits, not of probabilities.": lambda z, y: _margin(z.softmax(2), y).mean(0),
        "first the difference in each epoch, then the mean.": lambda z, y: _margin(z.mean(0), y),
        "the mean over the epochs only: one number a sample.": lambda z, y: _margin(z, y).mean(),
    },
    hidden=[
        (draw(5, 8, 4, seed=120), torch.arange(8) % 4),
        (draw(1, 2, 2, seed=121), torch.ones(2).long()),
    ],
)
def aum(logits: Tensor, labels: Tensor) -> Tensor:
    own = labels.expand(len(logits), -1)[..., None]  # [E, N, 1]
    other = logits.scatter(2, own, -torch.inf).amax(2)
    return (logits.gather(2, own)[..., 0] - other).mean(0)


QUESTIONS["delete_a_hundred"] = Question(
    minutes=5,
    difficulty=2,
    model="A sample that is rare, badly cut or between two classes has a low score, too, and may "
    "be the most instructive of all. Who deletes the first hundred unseen loses such samples, and "
    "rare classes first. So look at each image: mend a wrong label, keep a rare sample, and note "
    "what neither of two people can name. Whether mending helped is to be seen on a test split "
    "that was mended in the same way, or whose labels are sure.",
    says=(
        "rare or hard samples have low scores, too",
        "deleting without looking takes away rare samples and classes first",
        "look, then mend, keep or note; and measure on labels that are sure",
    ),
)
