"""The exercises about where a method helps: notebook 10, beside `clear` and `ramp` of
`exercises_peers`. See `toastlab.course.exercises`.
"""

import torch
from torch import Tensor

from toastlab.course.exercises import Ladder, draw, exercise
from toastlab.course.questions import QUESTIONS, Question


def _gain_of(choose: Tensor, measure: Tensor, k: int) -> Tensor:
    """For mistakes: the mean of one [C] in the k cells that are largest in another [C]."""
    return measure[choose.topk(k).indices].mean()


@exercise(
    Ladder(
        minutes=6,
        difficulty=2,
        hints=(
            "Some seeds choose the cells, another one says what is gained there.",
            "Take the mean of all rows but the last; its k largest are the chosen cells.",
            "gains[-1] at the indices of gains[:-1].mean(0).topk(k), then the mean.",
        ),
    ),
    [
        (torch.tensor([[3.0, 0, 2, 2], [0.0, 1, 2, 3], [1.0, 9, 2, 4]]), 2),
        (draw(3, 9, seed=151), 3),
        (draw(5, 12, seed=152), 1),
        (draw(2, 6, seed=153), 4),
    ],
    {
        "the last seed must not choose: where it is lucky, it chooses itself.": lambda gains, k: (
            _gain_of(gains.mean(0), gains.mean(0), k)
        ),
        "the last seed measures; it must not choose.": lambda gains, k: _gain_of(
            gains.mean(0), gains[-1], k
        ),
        "that chooses and measures by the same seeds; measure by the last.": lambda gains, k: (
            _gain_of(gains[:-1].mean(0), gains[:-1].mean(0), k)
        ),
        "the last seed measures, the others choose: not the other way round.": (
            lambda gains, k: _gain_of(gains[-1], gains[:-1].mean(0), k)
        ),
        "the cells that gain most, not least.": lambda gains, k: _gain_of(
            -gains[:-1].mean(0), gains[-1], k
        ),
        "in the chosen cells only, not in all.": lambda gains, k: gains[-1].mean(),
        "give back what is gained there, not which cells they are.": lambda gains, k: (
            gains[:-1].mean(0).topk(k).indices
        ),
    },
    hidden=[(draw(3, 72, seed=154), 10), (draw(4, 20, seed=155), 5)],
)
def fresh_gain(gains: Tensor, k: int) -> Tensor:
    cells = gains[:-1].mean(0).topk(k).indices
    return gains[-1, cells].mean()


QUESTIONS["one_cell"] = Question(
    minutes=5,
    difficulty=2,
    model="I would ask whether plain training had passed its best there: how does it do when it is "
    "stopped early? Then how the setting was chosen, and by which seeds, since the best of many "
    "flatters. Then I would try both ends myself: a short training and a long one, with several "
    "seeds each, on data like mine. A method made for one end may do harm at the other.",
    says=(
        "compare with plain training that is stopped at its best",
        "who chooses the best of many settings by the same seeds is flattered",
        "try a short and a long training on data of your own, with several seeds",
    ),
)
