"""Judges the notebooks' exercises: an attempt is compared with the solution and with the usual
mistakes, on inputs that include the awkward ones.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# these add to EXERCISES
import toastlab.course.exercises_ablation
import toastlab.course.exercises_first
import toastlab.course.exercises_own
import toastlab.course.exercises_peers
import toastlab.course.exercises_plane
import toastlab.course.exercises_readings
import toastlab.course.exercises_regime
import toastlab.course.exercises_samples
import toastlab.course.exercises_stages
import toastlab.course.exercises_stopping
import toastlab.course.exercises_targets  # noqa: F401
from toastlab.core.errors import in_range, one_of
from toastlab.course.card import Card
from toastlab.course.exercises import EXERCISES as EXERCISES
from toastlab.course.exercises import Exercise

SHOWN = 12  # numbers of a tensor that are shown


def check(name: str, attempt: Callable[..., Any]) -> Card:
    """Judges an attempt; never raises for what the attempt does.

    Args:
        name: of an exercise of `EXERCISES`.
        attempt: the reader's function. One that still returns `...` is not attempted.

    Returns:
        A card that begins with "Right", "Not yet" or "Not attempted yet". If it is "Not yet", three
        more lines show an input that fails (the smallest), what was expected and what came.

    Raises:
        ValueError: there is no such exercise.
    """
    exercise = EXERCISES[one_of("exercise", name, EXERCISES)]
    answers: list[Any] = []
    for args in exercise.inputs:
        try:
            answer = _tried(attempt, args)
        except Exception as error:  # the reader's own code
            why = f"it raised {type(error).__name__}: {error}"
            return _not_yet(why, exercise, args, "an error")
        if answer is ...:
            return Card(
                f"Not attempted yet: replace the dots ({exercise.ladder}). "
                f'Help: hint("{name}", 1) to 3; solution("{name}").'
            )
        if answer is None:
            why = "your function returned None: is the return missing?"
            return _not_yet(why, exercise, args, "None")
        answers.append(answer)
    wanted = [exercise.solution(*args) for args in exercise.inputs]
    problems = list(map(_problem, answers, wanted))
    if not any(problems):
        return Card(f"Right: equal to the solution on all {len(wanted)} inputs.")
    failing = [i for i, problem in enumerate(problems) if problem]
    first = min(failing, key=lambda i: sum(torch.as_tensor(a).numel() for a in exercise.inputs[i]))
    why = problems[first]
    for said, mistake in exercise.mistakes.items():
        if not any(map(_problem, answers, [mistake(*args) for args in exercise.inputs])):
            why = said
            break
    return _not_yet(why, exercise, exercise.inputs[first], _short(answers[first]))


def hint(name: str, step: int = 1) -> Card:
    """One of an exercise's three hints: the idea, the way, nearly the code.

    Raises:
        ValueError: there is no such exercise, or no such step.
    """
    hints = EXERCISES[one_of("exercise", name, EXERCISES)].ladder.hints
    in_range("step of a hint", step, 1, len(hints))
    return Card(f"Hint: {step} of {len(hints)}. {hints[int(step) - 1]}")


def marks(name: str, attempt: Callable[..., Any]) -> int:
    """The points of an attempt where a course is marked: all, or 0 where an input fails.

    It tries the exercise's hidden inputs too; never raises for what the attempt does.

    Raises:
        ValueError: there is no such exercise.
    """
    exercise = EXERCISES[one_of("exercise", name, EXERCISES)]
    try:
        right = all(_right(exercise, attempt, args) for args in exercise.inputs + exercise.hidden)
    except Exception:  # the reader's own code
        right = False
    return exercise.points if right else 0


def solution(name: str) -> str:
    """The source of a solution, to be read after trying."""
    exercise = EXERCISES[one_of("exercise", name, EXERCISES)]
    return "def " + inspect.getsource(exercise.solution).partition("\ndef ")[2]  # not `@exercise`


def _tried(attempt: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """The attempt's answer; it gets copies, so that it cannot change the inputs."""
    return attempt(*(a.clone() if isinstance(a, Tensor) else a for a in args))


def _right(exercise: Exercise, attempt: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    return not _problem(_tried(attempt, args), exercise.solution(*args))


def _not_yet(why: str, exercise: Exercise, args: tuple[Any, ...], got: str) -> Card:
    names = inspect.signature(exercise.solution).parameters
    given = ", ".join(f"{name} = {_short(a)}" for name, a in zip(names, args, strict=True))
    expected = _short(exercise.solution(*args))
    return Card(f"Not yet: {why}\n  input:    {given}\n  expected: {expected}\n  got:      {got}")


def _problem(answer: Any, wanted: Any) -> str:
    """What is wrong with an answer; empty if nothing is."""
    try:
        got, right = (torch.as_tensor(x, dtype=torch.float64) for x in (answer, wanted))
    except (TypeError, ValueError, RuntimeError):
        return f"give back a tensor, not {type(answer).__name__}."
    if got.shape != right.shape:
        return f"the answer must have the shape {list(right.shape)}, not {list(got.shape)}."
    same = torch.allclose(got, right, rtol=1e-4, atol=1e-6, equal_nan=True)
    return "" if same else "the numbers differ."


def _short(value: Any) -> str:
    """A number or a small tensor rounded to four digits; of a large one the shape and a part."""
    if isinstance(value, Tensor) and value.numel() > SHOWN:
        part = ", ".join(_short(v) for v in value.flatten()[: SHOWN // 2].tolist())
        return f"{part}, ... of shape {list(value.shape)}"
    if isinstance(value, Tensor):
        return _short(value.tolist())
    if isinstance(value, list):
        return f"[{', '.join(_short(v) for v in value[:SHOWN])}]"
    if isinstance(value, float):
        return f"{value + 0.0:.4g}"  # no minus before a zero
    return repr(value)[:60]
