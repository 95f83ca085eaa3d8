"""Numbers at their limits: low precision, logits of 1e4, gradients in float64, threads."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers import carrying
from tests.methods.test_peers import VARIANTS, Setting
from tests.training.test_loop import BASE, run, same
from toastlab.core import losses
from toastlab.medoids.exact import DISTANCES
from toastlab.medoids.targets import class_medoids

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
METHODS = {
    **VARIANTS,
    "toast target": carrying(carried_loss="target", past_weight=0.5),
    "toast distilled": carrying(carried_loss="distilled"),
    "toast confidence": carrying(carried_loss="confidence"),
    "toast stored": carrying(source="memory", mixed_carry="stored"),
}


def oracle_kl(z: Tensor, p: Tensor, t: float) -> Tensor:
    log_q = (z.double() / t).log_softmax(1)
    return t**2 * (torch.special.xlogy(p, p) - p * log_q).sum(1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_losses_in_every_precision(dtype: torch.dtype, size: float) -> None:
    """Within 1e-5 of float64 taken of the same numbers, relative to the logits' size times T."""
    g = torch.Generator().manual_seed(0)
    z, past = (torch.rand(2, 64, 10, generator=g, dtype=torch.float64) * 2 - 1).mul(size).to(dtype)
    t = torch.rand(64, 10, generator=g).softmax(1)
    found = losses.soft_cross_entropy(z, t)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    wanted = -(t.double() * z.double().log_softmax(1)).sum(1)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5 * size)
    for heat in (0.5, 1.0, 4.0):
        p = (past.double() / heat).softmax(1)
        kl = losses.past_kl(z, past, heat)
        torch.testing.assert_close(
            kl.double(), oracle_kl(z, p, heat), rtol=1e-4, atol=1e-5 * max(1, size) * heat
        )


def replayed(f: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same function with what it detaches held at its first value: to a difference quotient a
    stopped gradient would not be stopped."""
    plain = torch.Tensor.detach
    kept: list[Tensor] = []

    def g(z: Tensor) -> Tensor:
        place, first = 0, not kept

        def detach(x: Tensor) -> Tensor:
            nonlocal place
            if first:
                kept.append(plain(x).clone())
            place += 1
            return kept[place - 1]

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "detach", detach)
            return f(z)

    return g


@pytest.mark.parametrize("name", list(METHODS))
def test_gradient_of_every_method(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s = Setting(METHODS[name])
    s.epoch()
    s.stream.start_epoch()
    batch, logits, _ = s.step()
    z = logits.detach().double().requires_grad_()
    f = replayed(lambda z: s.method.loss(z, batch).total, monkeypatch)
    f(z)
    assert torch.autograd.gradcheck(f, (z,), eps=1e-6, atol=1e-6, rtol=1e-5)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda z: f(z) + 1e-3 * z.detach().sum(), (z,), atol=1e-6)


@pytest.mark.parametrize(
    "f", ["soft_cross_entropy", "probability_kl", "past_kl", "combine", "mean"]
)
def test_gradient_of_every_loss(f: str) -> None:
    g = torch.Generator().manual_seed(0)
    z, past = torch.randn(2, 5, 4, generator=g, dtype=torch.float64) * 3
    t = torch.rand(5, 4, generator=g, dtype=torch.float64).softmax(1)
    mask = torch.tensor([True, False, True, True, False])
    kinds: dict[str, Callable[[Tensor], Tensor]] = {
        "soft_cross_entropy": lambda z: losses.soft_cross_entropy(z, t),
        "probability_kl": lambda z: losses.probability_kl(z, t, 3.0),
        "past_kl": lambda z: losses.past_kl(z, past, 2.0),
        "combine": lambda z: losses.combine(z[:, 0], z[0, 1], 0.7).total,
        "mean": lambda z: losses.masked_mean(z[:, 0], mask),
    }
    assert torch.autograd.gradcheck(kinds[f], (z.requires_grad_(),), eps=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_methods_at_extreme_logits(name: str, dtype: torch.dtype) -> None:
    s = Setting(METHODS[name])
    s.epoch()
    s.stream.start_epoch()
    batch, logits, _ = s.step()
    sign = torch.sign(torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)))
    batch.past = -1e4 * sign[: len(batch.past)]
    z = (1e4 * sign).to(dtype).requires_grad_()
    loss = s.method.loss(z, batch)
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert bool(torch.isfinite(loss.total))
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())
    s.method.update(z.detach(), batch)
    s.method.end_epoch()
    assert bool(torch.isfinite(s.method.table).all())


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_medoids_at_extreme_logits(distance: str, dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(1)
    z = ((torch.rand(300, 4, generator=g, dtype=torch.float64) * 2 - 1) * 1e4).to(dtype)
    found = class_medoids(z, torch.zeros(300).long(), distance=distance, scope="all")
    x = z.double()
    if distance == "cosine":
        sums = -(
            torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(x, dim=1).T
        )
    else:
        gap = x[:, None] - x
        p = 1 if distance == "manhattan" else 2
        sums = torch.linalg.vector_norm(gap, ord=p, dim=2)
        sums = sums.square() if distance == "squared-euclidean" else sums
    total = sums.sum(1)
    best = float(total.min())
    assert float(total[found.index[0]]) <= best + 1e-9 * abs(best)
    assert bool(torch.isfinite(found.logits).all())


@pytest.mark.parametrize("threads", [1, 2])
def test_equal_runs_are_bit_equal_at_each_number_of_threads(threads: int) -> None:
    config = replace(BASE, threads=threads, epochs=2, model="resnet-small")
    same(run(config), run(config))


def test_medoids_do_not_depend_on_the_threads() -> None:
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(6000, 3, generator=g), torch.arange(6000) % 2
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append([class_medoids(z, y, distance=d, scope="all").index for d in DISTANCES])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
