"""The exercises of notebooks 4 and 5: other right answers pass, usual slips are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.course.judge import EXERCISES, check, marks


def _ranked(score: Tensor, wrong: Tensor) -> float:
    rows = sorted(range(len(score)), key=lambda i: -float(score[i]))[: int(wrong.sum())]
    return sum(bool(wrong[i]) for i in rows) / len(rows)


def _by_autograd(z: Tensor, target: Tensor, weight: float) -> Tensor:
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(-weight * (target * z.log_softmax(0)).sum(), z)
    return -gradient


def _looped(z: Tensor, targets: Tensor, past: Tensor, carried: Tensor, b: float) -> float:
    new, kept = [], []
    for i in range(len(z)):
        if carried[i]:
            kept.append(float(F.kl_div(z[i].log_softmax(0), past[i].softmax(0), reduction="sum")))
        else:
            new.append(float(F.cross_entropy(z[i], targets[i])))
    return sum(new) / len(new) + (b * sum(kept) / len(kept) if kept else 0.0)


RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("hit_rate", _ranked),
    ("hit_rate", lambda s, w: w[s.topk(int(w.sum())).indices].double().mean()),
    ("push", _by_autograd),
    ("push", lambda z, t, w: w * t - w * F.softmax(z, 0)),
    ("toast_loss", _looped),
]

WRONG: list[tuple[str, Callable[..., Any]]] = [
    ("hit_rate", lambda s, w: s.argsort(descending=True)[: int(w.sum())]),
    ("hit_rate", lambda s, w: w[: int(w.sum())].float().mean()),
    ("push", lambda z, t, w: w * (t - z.log_softmax(0))),
    ("push", lambda z, t, w: w * (t - z.sigmoid())),
    ("toast_loss", lambda z, t, past, c, b: F.cross_entropy(z, t)),
    ("toast_loss", lambda z, t, past, c, b: F.cross_entropy(z[~c], t[~c])),
    (
        "toast_loss",
        lambda z, t, past, c, b: F.cross_entropy(z[~c], t[~c]) + b * (z - past)[c].square().sum(),
    ),
]


@pytest.mark.parametrize(("name", "attempt"), RIGHT)
def test_another_right_answer_is_right(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Right:")
    assert marks(name, attempt) == EXERCISES[name].points


@pytest.mark.parametrize(("name", "attempt"), WRONG)
def test_a_wrong_answer_is_refused_with_the_input_that_fails(
    name: str, attempt: Callable[..., Any]
) -> None:
    said = check(name, attempt)
    assert said.startswith("Not yet: ")
    assert [line.split(":")[0].strip() for line in said.split("\n")[1:]] == [
        "input",
        "expected",
        "got",
    ]
    assert marks(name, attempt) == 0


def test_the_push_of_stage_2_is_zero_where_nothing_changed() -> None:
    z = torch.tensor([2.0, -1.0, 0.5])
    assert EXERCISES["push"].solution(z, z.softmax(0), 3.0).abs().max() < 1e-6


def test_a_carried_sample_shows_no_label() -> None:
    z, targets, past, carried, b = EXERCISES["toast_loss"].inputs[0]
    other = torch.where(carried[:, None], targets.flip(1), targets)
    loss = EXERCISES["toast_loss"].solution
    assert torch.equal(loss(z, targets, past, carried, b), loss(z, other, past, carried, b))
