"""What the notebooks ask: for each exercise a solution, inputs to try it on, the usual mistakes,
and hints in three steps.

An attempt equal to the solution on every input is right; one equal to a mistake on every input is
told which, see `toastlab.course.judge`. They are in `exercises_first` (notebook 1),
`exercises_targets` (1 to 3), `exercises_samples` (4 to 6 and 8), `exercises_stages` (4 and 5),
`exercises_ablation` (7), `exercises_peers` (7, 9 and 10), `exercises_stopping` (9),
`exercises_regime` (10) and `exercises_readings` (11).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Function = Callable[..., Any]
Inputs = list[tuple[Any, ...]]
Difficulty = Literal[1, 2, 3]


@dataclass(frozen=True)
class Ladder:
    """How hard an exercise is, and what helps.

    Attributes:
        minutes: that it takes about; difficulty: 1, one line; 2, two ideas; 3, several steps.
        hints: the idea, then the way, then nearly the code.
    """

    minutes: int
    difficulty: Difficulty
    hints: tuple[str, str, str]

    def __str__(self) -> str:
        return effort(self.minutes, self.difficulty)


def effort(minutes: int, difficulty: Difficulty) -> str:
    """What a reader is told of an exercise before beginning."""
    return f"about {minutes} minutes, difficulty {difficulty} of 3"


@dataclass(frozen=True)
class Exercise:
    """What is asked, and everything needed to judge an attempt.

    Attributes:
        ladder: minutes, difficulty and hints.
        solution: the reference; its source is what `judge.solution` shows.
        inputs: arguments to try, at least three.
        mistakes: what to say -> a function that makes that mistake.
        hidden: more arguments, which `judge.marks` tries and `judge.check` never shows.
    """

    ladder: Ladder
    solution: Function
    inputs: Inputs
    mistakes: dict[str, Function]
    hidden: Inputs

    @property
    def points(self) -> int:
        """What a right answer is worth in a marked course: 2 for each degree of difficulty."""
        return 2 * self.ladder.difficulty


EXERCISES: dict[str, Exercise] = {}  # by the names of their solutions


def exercise(
    ladder: Ladder, inputs: Inputs, mistakes: dict[str, Function], hidden: Inputs | None = None
) -> Callable[[Function], Function]:
    """Makes a function the solution of an exercise, see `Exercise`."""

    def add(solution: Function) -> Function:
        made = Exercise(ladder, solution, inputs, mistakes, hidden or [])
        EXERCISES[solution.__name__] = made
        return solution

    return add


def draw(*shape: int, seed: int) -> Tensor:
    """Numbers to try."""
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


Z = [draw(7, 3, seed=i) for i in range(4)]
Q = [draw(5, seed=i).softmax(0) for i in range(3)]
EVEN = torch.full((4,), 0.25)
RIGHT = [torch.tensor([c == "1" for c in word]) for word in ("110100", "000111", "101010", "1111")]
NONE_RIGHT = torch.zeros(4, dtype=torch.bool)
SKEW = torch.tensor([[0.0, 0], [1, 0], [1.2, 0], [1.1, 0.1], [40, 0]])
