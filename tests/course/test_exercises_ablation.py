"""The exercises of notebook 7: other right answers pass, more slips are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from toastlab.course.judge import EXERCISES, check, marks


def _looped(plane: Tensor) -> list[float]:
    rows, columns = plane.tolist(), plane.T.tolist()
    cells = [x for row in rows for x in row]
    middle = sum(cells) / len(cells)
    found = []
    for lines in (rows, columns):
        each = [(sum(line) / len(line) - middle) ** 2 * len(line) for line in lines]
        found.append(sum(each) / sum((x - middle) ** 2 for x in cells))
    return found


RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("explained", _looped),
    (
        "explained",
        lambda plane: (
            torch.stack([plane.mean(i).var(correction=0) for i in (1, 0)]) / plane.var(correction=0)
        ),
    ),
]
WRONG: list[tuple[str, Callable[..., Any]]] = [
    ("explained", lambda plane: torch.stack([plane.mean(1).std(), plane.mean(0).std()])),
    ("explained", lambda plane: explained_of(plane).sqrt()),
    ("explained", lambda plane: explained_of(plane) / 100),
    ("explained", lambda plane: 1 - explained_of(plane).flip(0)),
]


def explained_of(plane: Tensor) -> Tensor:
    found: Tensor = EXERCISES["explained"].solution(plane)
    return found


@pytest.mark.parametrize(("name", "attempt"), RIGHT)
def test_another_right_answer_is_right(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Right:")
    assert marks(name, attempt) == EXERCISES[name].points


@pytest.mark.parametrize(("name", "attempt"), WRONG)
def test_a_wrong_answer_is_refused(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Not yet:")
    assert marks(name, attempt) == 0


def test_a_plane_of_equal_rows_is_explained_by_its_columns() -> None:
    (plane,) = EXERCISES["explained"].inputs[0]
    assert torch.allclose(explained_of(plane), torch.tensor([0.0, 1.0]), atol=1e-6)
    assert torch.allclose(explained_of(plane.T), torch.tensor([1.0, 0.0]), atol=1e-6)
