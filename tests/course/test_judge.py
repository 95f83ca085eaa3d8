"""Exercises: right answers in any form pass, wrong ones are told what failed and, if usual, why."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.analysis.fixed_point import fixed_point
from toastlab.course.judge import EXERCISES, check, hint, marks, solution


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_as_it_is_shown_is_right(name: str) -> None:
    space: dict[str, object] = {"torch": torch, "Tensor": torch.Tensor}
    exec(solution(name), space)
    count = len(EXERCISES[name].inputs)
    said = check(name, space[name])  # type: ignore[arg-type]
    assert said == f"Right: equal to the solution on all {count} inputs."


@pytest.mark.parametrize("name", EXERCISES)
def test_unfinished_is_not_attempted_and_a_forgotten_return_is_named(name: str) -> None:
    ladder = EXERCISES[name].ladder
    assert check(name, lambda *a: ...) == (
        f"Not attempted yet: replace the dots (about {ladder.minutes} minutes, "
        f'difficulty {ladder.difficulty} of 3). Help: hint("{name}", 1) to 3; solution("{name}").'
    )
    said = check(name, lambda *a: None)
    assert said.startswith("Not yet: your function returned None: is the return missing?\n")
    assert said.endswith("got:      None")


CASES = [(name, hint) for name, e in EXERCISES.items() for hint in e.mistakes]


def shows_the_failure(said: str, name: str) -> bool:
    """Whether the three lines are there, and short."""
    first, given, expected, got = said.split("\n")
    argument = EXERCISES[name].solution.__code__.co_varnames[0]
    return (
        first.startswith("Not yet: ")
        and given.startswith(f"  input:    {argument} = ")
        and expected.startswith("  expected: ")
        and got.startswith("  got:      ")
        and max(map(len, (given, expected, got))) < 400
    )


@pytest.mark.parametrize(("name", "hint"), CASES, ids=lambda x: str(x)[:30])
def test_a_usual_mistake_gets_its_hint(name: str, hint: str) -> None:
    said = check(name, EXERCISES[name].mistakes[hint])
    assert said.startswith(f"Not yet: {hint}\n")
    assert shows_the_failure(said, name)


def _loop_medoid(z: Tensor) -> int:
    sums = [sum(float((a - b).norm()) for b in z) for a in z]
    return sums.index(min(sums))


def _loop_suspects(p: Tensor, labels: Tensor, share: float) -> list[int]:
    found: list[int] = []
    for c in set(labels.tolist()):
        rows = [i for i in range(len(p)) if labels[i] == c]
        found += sorted(rows, key=lambda i: float(p[i]))[: int(share * len(rows))]
    return sorted(found)


# Other right answers: plain loops, formulas as the text has them.
RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("soften", lambda z, t: F.softmax(z / t, dim=z.ndim - 1)),
    ("entropy", lambda q: torch.special.entr(q).sum(-1)),
    ("entropy", lambda q: -(q * q.clamp(min=1e-30).log()).sum(dim=-1)),
    ("medoid", _loop_medoid),
    ("class_target", lambda q, c, a: a * q + (1 - a) * F.one_hot(torch.tensor(c), len(q))),
    ("forgetting_events", lambda c: int((c.int().diff() == -1).sum())),
    (
        "least_confident",
        lambda p, r, n: sorted((i for i in range(len(p)) if not r[i]), key=lambda i: p[i])[:n],
    ),
    (
        "past_kl",
        lambda p, q, t: (
            t**2
            * F.kl_div(
                (q / t).log_softmax(1),
                (p / t).log_softmax(1),
                reduction="batchmean",
                log_target=True,
            )
        ),
    ),
    ("hellinger", lambda p, q: (1 - (p * q).sqrt().sum()).sqrt()),
    ("hellinger", lambda p, q: (p.sqrt() - q.sqrt()).norm() / 2**0.5),
    (
        "neighbour_purity",
        lambda x, y, k: (
            (y[torch.cdist(x, x).argsort(1)[:, 1 : k + 1]] == y[:, None]).double().mean()
        ),
    ),
    ("chosen", lambda val, test: test[val == val.max()].max()),
    ("suspects", _loop_suspects),
    ("holm", lambda p: _loop_holm(p.tolist())),
    ("clear", lambda low, high: torch.where(low > 0, 1, torch.where(high < 0, -1, 0))),
    ("ramp", lambda right, start: ((right - start) / (1 - start)).clamp(0, 1)),
    ("softened", lambda p, t, k: _rest_shared(p, k).log().div(t).softmax(-1)[..., 0]),
    ("runner_up", lambda z, y: _loop_runner_up(z.tolist(), y.tolist())),
    ("related_share", lambda z, y, r: _loop_related(z, y, r)),
    ("still_possible", lambda low, high: [bool(x <= min(high.tolist())) for x in low.tolist()]),
    ("degrees", lambda p, y: (F.one_hot(y).float() / y.bincount()).T @ p),
    ("ends_at", lambda a, t, k: fixed_point(a, t, k)),
    ("ends_at", lambda a, t, k: _loop_end(a, t, k)),
    ("lost", lambda curve: 100 * max(curve.tolist()) - 100 * curve.tolist()[-1]),
    ("too_sure", lambda p, y: 100 * float((p.max(1).values - (p.argmax(1) == y).int()).mean())),
    (
        "satisfied",
        lambda h, f: [
            sum(int(a > 0 and b == 0) for a, b in zip(*pair, strict=True)) for pair in _rows(h, f)
        ],
    ),
]


def _rows(holds: Tensor, fails: Tensor) -> list[tuple[list[int], list[int]]]:
    return list(zip(holds.tolist(), fails.tolist(), strict=True))


def _loop_runner_up(rows: list[list[float]], labels: list[int]) -> list[int]:
    return [
        max((k for k in range(len(row)) if k != label), key=lambda k: row[k])
        for row, label in zip(rows, labels, strict=True)
    ]


def _loop_related(z: Tensor, labels: Tensor, related: Tensor) -> float:
    second = _loop_runner_up(z.tolist(), labels.tolist())
    right = [i for i in range(len(z)) if int(z[i].argmax()) == int(labels[i])]
    return sum(bool(related[labels[i], second[i]]) for i in right) / len(right)


def _rest_shared(p: Tensor, k: int) -> Tensor:
    """[..., K]: p for the first class, the rest in equal parts."""
    return torch.cat([p[..., None], ((1 - p) / (k - 1))[..., None].expand(*p.shape, k - 1)], -1)


def _loop_end(a: float, t: float, k: int) -> float:
    p, before = 0.5, 0.0
    while abs(p - before) > 1e-12:
        own, other = p ** (1 / t), ((1 - p) / (k - 1)) ** (1 / t)
        p, before = 1 - a + a * own / (own + (k - 1) * other), p
    return p


def _loop_holm(p: list[float]) -> list[float]:
    corrected, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = min(1.0, max(highest, p[i] * (len(p) - rank)))
        corrected[i] = highest
    return corrected


@pytest.mark.parametrize(("name", "attempt"), RIGHT)
def test_another_right_answer_is_right(name: str, attempt: Callable[..., Any]) -> None:
    assert check(name, attempt).startswith("Right:")


# Usual slips, at least five an exercise with the mistakes that have hints of their own.
WRONG: list[tuple[str, Callable[..., Any]]] = [
    ("soften", lambda z, t: (z / t).log_softmax(-1)),
    ("soften", lambda z, t: z.softmax(-1) ** (1 / t)),
    ("soften", lambda z, t: (z / t).softmax(-1).round()),
    ("entropy", lambda q: -torch.special.xlogy(q, q).sum()),
    ("entropy", lambda q: -torch.special.xlogy(q, q).sum(0)),
    ("entropy", lambda q: -torch.special.xlogy(q, q).sum(1)),
    ("entropy", lambda q: -torch.special.xlogy(q, q).sum(-1, keepdim=True)),
    ("entropy", lambda q: -q.log().sum(-1)),
    ("entropy", lambda q: torch.special.entr(q).sum(-1) / torch.tensor(q.shape[-1]).log()),
    ("medoid", lambda z: torch.cdist(z, z).max(1).values.argmin()),
    ("medoid", lambda z: torch.cdist(z, z).square().sum(1).argmin()),
    ("medoid", lambda z: (z - z.median(0).values).norm(dim=1).argmin()),
    ("medoid", lambda z: z.norm(dim=1).argmin()),
    ("medoid", lambda z: (F.normalize(z, dim=1) @ F.normalize(z, dim=1).T).sum(1).argmax()),
    ("medoid", lambda z: torch.cdist(z, z).sum(1).min()),
    ("class_target", lambda q, c, a: q),
    ("class_target", lambda q, c, a: (a * q).softmax(0)),
    ("class_target", lambda q, c, a: F.one_hot(torch.tensor(c), len(q)).float()),
    ("forgetting_events", lambda c: c.sum()),
    ("forgetting_events", lambda c: (c & ~c.roll(-1)).sum()),
    ("forgetting_events", lambda c: c[:-1] & ~c[1:]),
    ("forgetting_events", lambda c: bool((c[:-1] & ~c[1:]).any())),
    ("least_confident", lambda p, r, n: p.masked_fill(r, 9).argsort()[:n]),
    ("least_confident", lambda p, r, n: torch.nonzero(~r)[:, 0][:n]),
    ("least_confident", lambda p, r, n: torch.nonzero(~r)[:n]),
    ("past_kl", lambda p, q, t: t * _kl(p, q, t)),
    ("past_kl", lambda p, q, t: t**2 * _kl(p, q, 1.0)),
    ("past_kl", lambda p, q, t: t**2 * F.kl_div((q / t).softmax(1), (p / t).softmax(1))),
    ("past_kl", lambda p, q, t: -(t**2) * _kl(p, q, t)),
    ("hellinger", lambda p, q: (p - q).norm()),
    ("hellinger", lambda p, q: (p - q).abs().sum() / 2),
    ("hellinger", lambda p, q: (1 - (p * q).sqrt()).sqrt()),
    ("neighbour_purity", lambda x, y, k: _purity(torch.cdist(x, x, p=1), y, k)),
    ("neighbour_purity", lambda x, y, k: _purity(torch.cdist(x, x), y, k + 1)),
    ("neighbour_purity", lambda x, y, k: 1 - _purity(torch.cdist(x, x), y, k)),
    ("paired_interval", lambda a, b, t: torch.stack([(b - a).mean() - t, (b - a).mean()])),
    ("paired_interval", lambda a, b, t: _interval(a, b, 1.96)),
    ("paired_interval", lambda a, b, t: _interval(a, b, t)[[1, 0, 2]]),
    ("paired_interval", lambda a, b, t: _interval(a, b, t / 2)),
    ("chosen", lambda val, test: test.mean()),
    ("chosen", lambda val, test: test.argmax()),
    ("suspects", lambda p, y, share: p.argsort()[:3].sort().values),
    ("suspects", lambda p, y, share: torch.nonzero(p < p.quantile(share))[:, 0]),
    ("holm", lambda p: (p * (torch.arange(len(p)) + 1)).clamp(max=1)),
    ("holm", lambda p: _hochberg(p)),
    ("holm", lambda p: p),
    ("aurc", lambda c, r: (c * (~r)).mean()),
    ("aurc", lambda c, r: _risks(c, r)[-1]),
    ("aurc", lambda c, r: torch.trapezoid(_risks(c, r)) / len(c)),
    ("aurc", lambda c, r: _risks(c, r)),
    ("clear", lambda low, high: (low >= 0).int() - (high <= 0).int()),
    ("clear", lambda low, high: (low > 0).int()),
    ("clear", lambda low, high: (low * high > 0).int()),
    ("clear", lambda low, high: ((low + high) > 0).int()),
    ("ramp", lambda right, start: (right / start).clamp(max=1)),
    ("ramp", lambda right, start: (right >= start).float()),
    ("ramp", lambda right, start: ((right - start) / (1 - start)).abs()),
    ("ramp", lambda right, start: ((right - start) / (1 - start)).clamp(min=0) ** 2),
    ("softened", lambda p, t, k: p ** (1 / t)),
    ("softened", lambda p, t, k: p / t),
    ("softened", lambda p, t, k: (p / t).softmax(-1)),
    ("runner_up", lambda z, y: z.argsort(1)[:, -2]),
    ("runner_up", lambda z, y: z.scatter(1, y[:, None], -torch.inf).argmax(0)),
    ("runner_up", lambda z, y: z.scatter(1, y[:, None], -torch.inf).softmax(1)),
    ("runner_up", lambda z, y: _without_own(z, y).argmax(1)),  # its columns have moved
    ("related_share", lambda z, y, r: r[y, z.argsort(1)[:, -2]].float().mean()),
    ("related_share", lambda z, y, r: r.float().mean()),
    ("still_possible", lambda low, high: low.argmin()),
    ("still_possible", lambda low, high: low <= high.max()),
    ("still_possible", lambda low, high: low <= high.mean()),
    ("degrees", lambda p, y: torch.stack([p[p.argmax(1) == c].mean(0) for c in range(len(p[0]))])),
    ("degrees", lambda p, y: (F.one_hot(y).float().T @ p).softmax(1)),
    ("ends_at", lambda a, t, k: 1 - a + a / k),
    ("ends_at", lambda a, t, k: 1.0),
    ("ends_at", lambda a, t, k: (1 - a) ** t),
    ("satisfied", lambda holds, fails: holds.sum(1) - fails.sum(1)),
    ("satisfied", lambda holds, fails: ((holds > 0) & (fails == 0)).float().mean(1)),
    ("satisfied", lambda holds, fails: (holds > 0) & (fails == 0)),
    ("lost", lambda curve: 100 * curve.max()),
    ("lost", lambda curve: 100 * (curve.max() - curve.mean())),
    ("lost", lambda curve: curve.argmax()),
    ("too_sure", lambda p, y: 100 * (p.mean() - (p.argmax(1) == y).float().mean())),
    ("too_sure", lambda p, y: 100 * (p.amax(1)[p.argmax(1) == y].mean() - 1)),
    ("too_sure", lambda p, y: 100 * (p.amax() - (p.argmax(1) == y).float().mean())),
]


def _without_own(z: Tensor, y: Tensor) -> Tensor:
    """[n, K - 1]: each row without the class of its label."""
    return z[F.one_hot(y, z.shape[1]) == 0].view(len(z), -1)


def _kl(p: Tensor, q: Tensor, t: float) -> Tensor:
    a, b = (p / t).log_softmax(1), (q / t).log_softmax(1)
    return (a.exp() * (a - b)).sum(1).mean()


def _purity(d: Tensor, y: Tensor, k: int) -> Tensor:
    near = d.fill_diagonal_(9e9).topk(min(k, len(y) - 1), largest=False).indices
    return (y[near] == y[:, None]).float().mean()


def _interval(a: Tensor, b: Tensor, t: float) -> Tensor:
    half = t * (b - a).std() / len(a) ** 0.5
    return (b - a).mean() + half * torch.tensor([0.0, -1, 1])


def _hochberg(p: Tensor) -> Tensor:
    order, m = p.argsort(descending=True), len(p)
    steps = (p[order] * m / torch.arange(m, 0, -1)).cummin(0).values
    return steps[order.argsort()]


def _risks(c: Tensor, r: Tensor) -> Tensor:
    wrong = (~r)[c.argsort(descending=True)].float()
    return wrong.cumsum(0) / torch.arange(1, len(c) + 1)


@pytest.mark.parametrize(("name", "attempt"), WRONG)
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_answer_is_refused_with_the_input_that_fails(
    name: str, attempt: Callable[..., Any]
) -> None:
    assert shows_the_failure(check(name, attempt), name)


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_come_in_three_steps_and_do_not_begin_with_the_solution(name: str) -> None:
    ladder = EXERCISES[name].ladder
    for step, text in enumerate(ladder.hints, 1):
        assert hint(name, step) == f"Hint: {step} of 3. {text}"
        assert 15 < len(text) < 110
    assert len(set(ladder.hints)) == 3
    assert "(" not in ladder.hints[0].replace("(1, 1)", "").replace("(start, 0)", "")  # no code
    for step in (0, 4):
        with pytest.raises(ValueError, match="step of a hint"):
            hint(name, step)
    assert 1 <= ladder.minutes <= 15


@pytest.mark.parametrize("name", EXERCISES)
def test_marks(name: str) -> None:
    one = EXERCISES[name]
    assert marks(name, one.solution) == one.points == 2 * one.ladder.difficulty
    assert marks(name, lambda *a: ...) == 0
    assert marks(name, lambda *a: 1 / 0) == 0
    assert [h for h, mistake in one.mistakes.items() if marks(name, mistake)] == []


def test_marks_try_what_check_does_not_show() -> None:
    """Who only knows the answers to the inputs that are shown gets no points."""
    one = EXERCISES["runner_up"]
    known = {str(args): one.solution(*args) for args in one.inputs}

    def learnt(*args: Tensor) -> Tensor:
        return known.get(str(args), torch.zeros(1))

    assert check("runner_up", learnt).startswith("Right:")
    assert marks("runner_up", learnt) == 0


@pytest.mark.parametrize("name", EXERCISES)
def test_enough_wrong_answers_are_tried(name: str) -> None:
    assert len(EXERCISES[name].mistakes) + [n for n, _ in WRONG].count(name) >= 5
    assert len(EXERCISES[name].inputs) >= 3


def test_hints_of_their_own() -> None:
    """Wrong answers that once passed, or were explained by another mistake."""
    assert "last axis only" in check("entropy", lambda q: -torch.special.xlogy(q, q).sum())
    assert "not the first" in check("entropy", lambda q: -torch.special.xlogy(q, q).sum(0))
    minimax = check("medoid", lambda z: torch.cdist(z, z).max(1).values.argmin())
    assert "farthest other row" in minimax
    assert "ends at zero" in check("clear", lambda a, b: (a >= 0).int() - (b <= 0).int())


def test_what_no_hint_explains() -> None:
    def raises(*args: object) -> object:
        raise KeyError("oops")

    said = check("entropy", raises)
    assert said.startswith("Not yet: it raised KeyError: 'oops'\n  input:    q = [")
    assert "the numbers differ." in check("entropy", lambda q: q.sum(-1))
    assert "must have the shape [], not [3]." in check("entropy", lambda q: q)
    assert "give back a tensor, not str." in check("entropy", lambda q: "text")
    assert check("soften", lambda z, t: 3 * z) == (
        "Not yet: the numbers differ.\n  input:    z = [900, 0], temperature = 0.5\n"
        "  expected: [1, 0]\n  got:      [2700, 0]"
    )
    assert ", ... of shape [2, 3, 3]" in check("aum", lambda z, y: z[:, 1:])


def test_an_attempt_cannot_change_the_inputs() -> None:
    def spoils(z: torch.Tensor, t: float) -> torch.Tensor:
        z.zero_()
        return z.softmax(-1)

    assert not check("soften", spoils).startswith("Right")
    assert check("soften", EXERCISES["soften"].solution).startswith("Right")


def test_unknown_exercise() -> None:
    with pytest.raises(ValueError, match="Did you mean 'medoid'"):
        check("mediod", lambda z: z)
