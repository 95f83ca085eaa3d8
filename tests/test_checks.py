"""Exercises: solutions pass, unfinished ones cannot, usual mistakes get their own hint."""

import re

import pytest
import torch

from toastlab.checks import EXERCISES, check, solution


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_as_it_is_shown_is_right(name: str) -> None:
    space: dict[str, object] = {"torch": torch, "Tensor": torch.Tensor}
    exec(solution(name), space)
    assert check(name, space[name]) == "Right."  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXERCISES)
def test_unfinished_is_not_attempted(name: str) -> None:
    for unfinished in (lambda *a: ..., lambda *a: None):
        assert check(name, unfinished) == "Not attempted yet: replace the dots."


CASES = [(name, hint) for name, e in EXERCISES.items() for hint in e.mistakes]


@pytest.mark.parametrize(("name", "hint"), CASES, ids=lambda x: str(x)[:30])
def test_a_usual_mistake_gets_its_hint(name: str, hint: str) -> None:
    assert check(name, EXERCISES[name].mistakes[hint]) == f"Not yet: {hint}"


@pytest.mark.parametrize("name", EXERCISES)
def test_other_mistakes_are_refused(name: str) -> None:
    assert len(EXERCISES[name].mistakes) >= 3
    assert len(EXERCISES[name].inputs) >= 3

    def raises(*args: object) -> object:
        raise KeyError("oops")

    assert check(name, raises).startswith("Not yet: it raised KeyError")
    assert re.match("Not yet: expected .*, got", check(name, lambda *a: 123456.0))
    assert check(name, lambda *a: "text").startswith("Not yet: expected")


def test_an_attempt_cannot_change_the_inputs() -> None:
    def spoils(z: torch.Tensor, t: float) -> torch.Tensor:
        z.zero_()
        return z.softmax(-1)

    assert check("soften", spoils) != "Right."
    assert check("soften", EXERCISES["soften"].solution) == "Right."


def test_unknown_exercise() -> None:
    with pytest.raises(ValueError, match="Did you mean 'medoid'"):
        check("mediod", lambda z: z)
