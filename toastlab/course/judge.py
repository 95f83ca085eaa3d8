"""Judges the notebooks' exercises: an attempt is compared with the solution and with the usual
mistakes, on inputs that include the awkward ones.
"""

import html
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toastlab.core.errors import one_of
from toastlab.course import exercises_peers, exercises_readings  # noqa: F401  add to EXERCISES
from toastlab.course.exercises import EXERCISES as EXERCISES
from toastlab.course.exercises import Exercise

# How a verdict begins -> its colour in a notebook, of a palette that the colour-blind can read.
COLOURS = {"Right": "#0072b2", "Not yet": "#d55e00", "Not attempted yet": "#8c8c8c"}
SHOWN = 12  # numbers of a tensor that are shown


class Verdict(str):
    """What `check` says: a text, which a notebook shows with a coloured bar and without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        word, rest = self.split(":", 1)
        head, *shown = rest.split("\n")
        lines = html.escape("\n".join(shown))
        return (
            f'<div style="border-left: 0.4em solid {COLOURS[word]}; padding-left: 0.8em">'
            f"<b>{word}:</b>{html.escape(head)}"
            f'<pre style="white-space: pre-wrap; margin: 0">{lines}</pre></div>'
        )


def check(name: str, attempt: Callable[..., Any]) -> Verdict:
    """Judges an attempt; never raises for what the attempt does.

    Args:
        name: of an exercise of `EXERCISES`.
        attempt: the reader's function. One that still returns `...` is not attempted.

    Returns:
        A line that begins with one of `COLOURS`. If it is "Not yet", three more show an input that
        fails (the smallest), what was expected and what came.

    Raises:
        ValueError: there is no such exercise.
    """
    exercise = EXERCISES[one_of("exercise", name, EXERCISES)]
    answers: list[Any] = []
    for args in exercise.inputs:
        try:
            answer = attempt(*(a.clone() if isinstance(a, Tensor) else a for a in args))
        except Exception as error:  # the reader's own code
            why = f"it raised {type(error).__name__}: {error}"
            return _not_yet(why, exercise, args, "an error")
        if answer is ...:
            return Verdict("Not attempted yet: replace the dots.")
        if answer is None:
            why = "your function returned None: is the return missing?"
            return _not_yet(why, exercise, args, "None")
        answers.append(answer)
    wanted = [exercise.solution(*args) for args in exercise.inputs]
    problems = list(map(_problem, answers, wanted))
    if not any(problems):
        return Verdict(f"Right: equal to the solution on all {len(wanted)} inputs.")
    failing = [i for i, problem in enumerate(problems) if problem]
    first = min(failing, key=lambda i: sum(torch.as_tensor(a).numel() for a in exercise.inputs[i]))
    why = problems[first]
    for hint, mistake in exercise.mistakes.items():
        if not any(map(_problem, answers, [mistake(*args) for args in exercise.inputs])):
            why = hint
            break
    return _not_yet(why, exercise, exercise.inputs[first], _short(answers[first]))


def solution(name: str) -> str:
    """The source of a solution, to be read after trying."""
    exercise = EXERCISES[one_of("exercise", name, EXERCISES)]
    return "def " + inspect.getsource(exercise.solution).partition("\ndef ")[2]  # not `@exercise`


def _not_yet(why: str, exercise: Exercise, args: tuple[Any, ...], got: str) -> Verdict:
    names = inspect.signature(exercise.solution).parameters
    given = ", ".join(f"{name} = {_short(a)}" for name, a in zip(names, args, strict=True))
    expected = _short(exercise.solution(*args))
    return Verdict(
        f"Not yet: {why}\n  input:    {given}\n  expected: {expected}\n  got:      {got}"
    )


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
