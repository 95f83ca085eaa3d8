"""The exercises of notebooks 6 and 8: other right answers pass, more slips are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from toastlab.course.judge import check, marks


def _loop_aum(z: Tensor, labels: Tensor) -> list[float]:
    found = []
    for i, y in enumerate(labels.tolist()):
        rows = [epoch[i].tolist() for epoch in z]
        margins = [row[y] - max(v for k, v in enumerate(row) if k != y) for row in rows]
        found.append(sum(margins) / len(margins))
    return found


def _angle(xy: Tensor, onto: Tensor) -> Tensor:
    """By the best angle, with and without a mirror."""
    tried = []
    for mirror in (1.0, -1.0):
        from_ = xy.double() * torch.tensor([1.0, mirror])
        a, b = (from_ * onto).sum(), (from_[:, 0] * onto[:, 1] - from_[:, 1] * onto[:, 0]).sum()
        c, s = a / torch.hypot(a, b), b / torch.hypot(a, b)
        tried.append(from_ @ torch.stack([torch.stack([c, s]), torch.stack([-s, c])]))
    return min(tried, key=lambda got: float((got - onto).norm()))


RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("by_heart", lambda p, y, c: sum((p == y) & (y != c)) / sum(y != c)),
    ("turned", _angle),
    ("hits", lambda s, f, n: sum(f[i] for i in sorted(range(len(s)), key=lambda i: s[i])[:n]) / n),
    ("aum", _loop_aum),
]
WRONG: list[tuple[str, Callable[..., Any]]] = [
    ("by_heart", lambda p, y, c: (p != y)[y != c].float().mean()),
    ("by_heart", lambda p, y, c: (p == y)[y == c].float().mean()),
    ("turned", lambda xy, onto: onto),
    ("turned", lambda xy, onto: (xy + onto) / 2),
    ("hits", lambda s, f, n: f[s.sort().values[:n].long()].float().mean()),
    ("hits", lambda s, f, n: f[s.argsort()[:n]]),
    ("aum", lambda z, y: z.mean(0).gather(1, y[:, None])[:, 0]),
    ("aum", lambda z, y: (z.topk(2).values[..., 0] - z.topk(2).values[..., 1]).mean(0)),
]


@pytest.mark.parametrize(("name", "attempt"), RIGHT)
def test_another_right_answer_is_right(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Right:")
    assert marks(name, attempt) > 0


@pytest.mark.parametrize(("name", "attempt"), WRONG)
def test_a_wrong_answer_is_refused(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Not yet:")
    assert marks(name, attempt) == 0
