"""The loss against slow loops of its own, and the properties its docstrings promise."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from toastlab.core.losses import (
    Divisor,
    Loss,
    combine,
    distilled,
    masked_mean,
    past_kl,
    past_targets,
    probability_kl,
    soft_cross_entropy,
)

STAGES = torch.tensor([[False], [True]])


def softmax(row: Tensor, t: float = 1.0) -> list[float]:
    top = max(float(v) for v in row)
    e = [math.exp((float(v) - top) / t) for v in row]
    return [v / sum(e) for v in e]


def slow_kl(z: Tensor, past: Tensor, t: float) -> float:
    p, q = softmax(past, t), softmax(z, t)
    return t * t * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_soft_cross_entropy(dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(0)
    z = (torch.randn(6, 4, generator=g) * 3).to(dtype)
    t = torch.rand(6, 4, generator=g).softmax(1)
    found = soft_cross_entropy(z, t)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    for i in range(6):
        expected = -sum(float(t[i, k]) * math.log(p) for k, p in enumerate(softmax(z[i].float())))
        assert float(found[i]) == pytest.approx(expected, rel=1e-5)


def test_hard_targets_give_cross_entropy() -> None:
    z = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    y = torch.arange(8) % 5
    found = soft_cross_entropy(z, torch.eye(5)[y])
    expected = torch.nn.functional.cross_entropy(z, y, reduction="none")
    torch.testing.assert_close(found, expected)


@given(t=st.floats(0.2, 20), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_past_kl(t: float, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    z, past = torch.randn(2, 5, 6, generator=g) * 4
    found = past_kl(z, past, t)
    for i in range(5):
        assert float(found[i]) == pytest.approx(slow_kl(z[i], past[i], t), rel=1e-3, abs=1e-4)


def test_no_gradient_reaches_the_past() -> None:
    z = torch.randn(3, 4, requires_grad=True)
    past = torch.randn(3, 4, requires_grad=True)
    past_kl(z, past, 2.0).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    assert past.grad is None


def test_gradient_does_not_scale_with_temperature() -> None:
    """For logits small against T the gradient tends to (z - past) / K, whatever T."""
    g = torch.Generator().manual_seed(0)
    values, past = torch.randn(2, 16, 10, generator=g, dtype=torch.float64) * 0.1
    norms = []
    for t in (1.0, 4.0, 16.0):
        z = values.clone().requires_grad_()
        past_kl(z, past, t).sum().backward()  # type: ignore[no-untyped-call]
        assert z.grad is not None
        norms.append(float(z.grad.norm()))
    assert max(norms) / min(norms) < 1.1


def test_classes_of_probability_zero_change_nothing() -> None:
    z, past = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(3))
    nothing = torch.full((4, 3), -1e4)
    wider = past_kl(torch.cat([z, nothing], 1), torch.cat([past, nothing], 1), 2.0)
    torch.testing.assert_close(wider, past_kl(z, past, 2.0))


def test_extreme_logits_stay_finite() -> None:
    z = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    past = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 0.0, 0.0]])
    assert bool(torch.isfinite(past_kl(z, past, 1.0)).all())
    assert bool(torch.isfinite(soft_cross_entropy(z, past.softmax(1))).all())


def test_masked_mean() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, torch.nan])
    mask = torch.tensor([True, False, True, False])
    assert masked_mean(values, mask) == 2.0
    assert masked_mean(values, mask, "batch") == 1.0
    assert masked_mean(values, torch.zeros(4, dtype=torch.bool)) == 0.0
    with pytest.raises(ValueError, match="Choose one of: batch, carried"):
        masked_mean(values, mask, "all")


def test_combine_is_linear_and_returns_its_parts() -> None:
    first = torch.tensor([1.0, 3.0], requires_grad=True)
    loss = combine(first, torch.tensor(0.5), 4.0)
    assert loss.total.item() == 4.0
    assert {k: float(v) for k, v in loss.parts.items()} == {"stage1": 2.0, "stage2": 0.5}
    assert not any(part.requires_grad for part in loss.parts.values())


@pytest.mark.parametrize("weight", [1.0, 3.0, torch.tensor(0.7, dtype=torch.float64)])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("divide_by", ["carried", "batch"])
@pytest.mark.parametrize("many", [0, 5, 16])
def test_distilled_is_the_two_stages_put_together(
    weight: float | Tensor, temperature: float, divide_by: Divisor, many: int
) -> None:
    """Value, parts and gradient, in float64, with nobody, some or everybody carried."""
    g = torch.Generator().manual_seed(0)
    z, past, t = 3 * torch.randn(3, 16, 6, generator=g, dtype=torch.float64)
    t, carried = t.softmax(1), torch.randperm(16, generator=g) < many
    both: list[tuple[Loss, Tensor]] = []
    for at_once in (False, True):
        own = z.clone().requires_grad_()
        if at_once:
            q = (past / temperature).log_softmax(1)
            loss, log_p = distilled(own, t, q, carried, STAGES, weight, temperature, divide_by)
        else:
            kl = masked_mean(past_kl(own, past, temperature), carried, divide_by)
            loss = combine(soft_cross_entropy(own, t), kl, weight, ~carried)
        loss.total.backward()  # type: ignore[no-untyped-call]
        assert own.grad is not None
        both.append((loss, own.grad))
    (slow, slow_gradient), (fast, gradient) = both
    # the share of a sample in its mean is float32
    torch.testing.assert_close(fast.total, slow.total, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(fast.parts, slow.parts, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(gradient, slow_gradient, rtol=1e-6, atol=1e-7)
    if temperature == 1:
        assert log_p is not None
        assert torch.equal(log_p, z.log_softmax(1))
    else:
        assert log_p is None, "it is not of the logits as they are"


def test_target_form() -> None:
    """Its weights are those of the equation, row by row, and only carried rows change."""
    a, b = 0.3, 0.5
    hard = torch.eye(3)[[0, 2]]
    q = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    past = torch.tensor([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]])
    stage1 = (1 - a) * hard + a * q
    found = past_targets(stage1, hard, past, torch.tensor([True, False]), b)
    torch.testing.assert_close(found[0], (1 - a - b) * hard[0] + a * q[0] + b * past[0])
    assert torch.equal(found[1], stage1[1])


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="past temperature"):
        past_kl(torch.zeros(1, 2), torch.zeros(1, 2), temperature)


def test_gradients_in_float64_match_finite_differences() -> None:
    target = torch.rand(3, 4, dtype=torch.float64).softmax(1)
    z = torch.randn(3, 4, dtype=torch.float64)
    z32 = z.float().requires_grad_()
    probability_kl(z32, target.float(), 2.0).sum().backward()  # type: ignore[no-untyped-call]
    assert z32.grad is not None
    expected = 2.0 * ((z / 2).softmax(1) - target)  # T^2 / T (q - p)
    torch.testing.assert_close(z32.grad, expected.float(), rtol=1e-4, atol=1e-6)
