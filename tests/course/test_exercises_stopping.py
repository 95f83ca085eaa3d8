"""The exercises of notebook 9 on stopping early: other right answers pass, slips are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from toastlab.course.judge import check, marks

RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("stopped", lambda val, test: test[torch.arange(len(val)), val.argmax(1)]),
    (
        "stopped",
        lambda val, test: [
            b[max(range(len(a)), key=lambda e: a[e])]
            for a, b in zip(val.tolist(), test.tolist(), strict=True)
        ],
    ),
    ("measured", lambda p, r, k: r / (k - 1) + p * (1 - r * k / (k - 1))),
    ("measured", lambda p, r, k: [x - x * r + (1 - x) * r / (k - 1) for x in p.tolist()]),
]
WRONG: list[tuple[str, Callable[..., Any]]] = [
    ("stopped", lambda val, test: test[:, val.argmax(1)]),
    ("stopped", lambda val, test: test.gather(0, val.argmax(0)[None])[0]),
    ("stopped", lambda val, test: test[val.argmax(0)]),
    ("stopped", lambda val, test: test.flatten()[val.argmax()]),
    ("stopped", lambda val, test: test.median(1).values),
    ("measured", lambda p, r, k: p * (1 - r) + r / k),
    ("measured", lambda p, r, k: p * (1 - r) + r / (k - 1)),
    ("measured", lambda p, r, k: (p - r).clamp(min=0)),
    ("measured", lambda p, r, k: (p - r / (k - 1)) / (1 - r * k / (k - 1) + 1e-9)),
    ("measured", lambda p, r, k: p * r + (1 - p) * (1 - r) / (k - 1)),
]


@pytest.mark.parametrize(("name", "attempt"), RIGHT)
def test_another_right_answer_is_right(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Right:")
    assert marks(name, attempt) > 0


@pytest.mark.parametrize(("name", "attempt"), WRONG)
def test_a_wrong_answer_is_refused(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Not yet:")
    assert marks(name, attempt) == 0
