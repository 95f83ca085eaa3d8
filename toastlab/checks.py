"""The notebooks' exercises, judged at once: an attempt is compared with the reference and with the
usual mistakes, on inputs that include the awkward ones.
"""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from toastlab.errors import one_of
from toastlab.exercises import EXERCISES as BASIC
from toastlab.exercises import Exercise
from toastlab.exercises_compare import COMPARING

EXERCISES: dict[str, Exercise] = {**BASIC, **COMPARING}


def check(name: str, attempt: Callable[..., Any]) -> str:
    """Judges an attempt in one line; never raises for what the attempt does.

    Args:
        name: of an exercise of `EXERCISES`.
        attempt: the reader's function. One that still returns `...` or None is not attempted.

    Raises:
        ValueError: there is no such exercise.
    """
    exercise = EXERCISES[one_of("exercise", name, EXERCISES)]
    answers = []
    for args in exercise.inputs:
        try:
            answer = attempt(*(a.clone() if isinstance(a, Tensor) else a for a in args))
        except Exception as error:  # the reader's own code
            return f"Not yet: it raised {type(error).__name__}: {error}"
        if answer is None or answer is ...:
            return "Not attempted yet: replace the dots."
        answers.append(answer)
    wanted = [exercise.solution(*args) for args in exercise.inputs]
    if all(_same(a, b) for a, b in zip(answers, wanted, strict=True)):
        return "Right."
    for hint, mistake in exercise.mistakes.items():
        wrong = [mistake(*args) for args in exercise.inputs]
        if all(_same(a, b) for a, b in zip(answers, wrong, strict=True)):
            return f"Not yet: {hint}"
    a, b = next((a, b) for a, b in zip(answers, wanted, strict=True) if not _same(a, b))
    return f"Not yet: expected {_short(b)}, got {_short(a)}."


def solution(name: str) -> str:
    """The source of a solution, to be read after trying."""
    exercise = EXERCISES[one_of("exercise", name, EXERCISES)]
    return textwrap.dedent(inspect.getsource(exercise.solution))


def _same(a: Any, b: Any) -> bool:
    try:
        x, y = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return False
    return x.shape == y.shape and torch.allclose(x, y, rtol=1e-4, atol=1e-6, equal_nan=True)


def _short(value: Any) -> str:
    if isinstance(value, Tensor) and value.ndim:
        flat = ", ".join(f"{v:.3g}" for v in value.flatten()[:4].tolist())
        return f"shape {tuple(value.shape)} [{flat}{', ...' if value.numel() > 4 else ''}]"
    return f"{float(value):.4g}" if isinstance(value, (int, float, Tensor)) else repr(value)[:60]
