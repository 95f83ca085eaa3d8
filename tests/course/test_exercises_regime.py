"""The exercises of notebook 10: other right answers pass, usual slips are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from toastlab.course.judge import EXERCISES, check, marks


def _sorted(gains: Tensor, k: int) -> float:
    cells = sorted(range(gains.shape[1]), key=lambda c: -float(gains[:-1, c].mean()))[:k]
    return sum(float(gains[-1, c]) for c in cells) / k


RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("fresh_gain", _sorted),
    ("fresh_gain", lambda g, k: g[-1][g[:-1].sum(0).argsort(descending=True)[:k]].mean()),
    ("ramp", lambda right, start: torch.relu(right - start) / (1 - start)),
    ("clear", lambda low, high: ((low > 0) * 1) + ((high < 0) * -1)),
]

WRONG: list[tuple[str, Callable[..., Any]]] = [
    ("fresh_gain", lambda g, k: g[-1].topk(k).values.mean()),
    ("fresh_gain", lambda g, k: g[-1][g[:-1].mean(0).topk(k).indices].sum()),
    ("fresh_gain", lambda g, k: g[-1][g[:-1].mean(1).argsort()[:1]].mean()),
]


@pytest.mark.parametrize(("name", "attempt"), RIGHT)
def test_another_right_answer_is_right(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Right:")
    assert marks(name, attempt) == EXERCISES[name].points


@pytest.mark.parametrize(("name", "attempt"), WRONG)
def test_a_wrong_answer_is_refused(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Not yet: ")
    assert marks(name, attempt) == 0


def test_who_chooses_by_all_seeds_is_flattered() -> None:
    """Of pure chance: no cell gains, and the best ten seem to."""
    g = torch.randn(3, 72, generator=torch.Generator().manual_seed(0))
    flattered = g.mean(0).topk(10).values.mean()
    assert float(flattered) > 0.5 > abs(float(EXERCISES["fresh_gain"].solution(g, 10)))
