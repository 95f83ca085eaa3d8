"""The losses and the carry on odd cases, against slow readings in float64."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.properties.fuzz import (
    BAD,
    FLOATS,
    Draw,
    Refused,
    attempt,
    fuzz,
    generator,
    labels_of,
    laid,
    numbers,
    some,
    spoil,
)
from toastlab.core.carry import CRITERIA, Carry, select, under_trained
from toastlab.core.losses import (
    Loss,
    combine,
    distilled,
    masked_mean,
    past_kl,
    past_targets,
    probability_kl,
    soft_cross_entropy,
    wide,
)


def log_softmax(z: Tensor, heat: float = 1.0) -> Tensor:
    """In float64, its largest logit taken off first."""
    z = z.double() / heat
    z = z - z.amax(1, keepdim=True)
    return z - z.exp().sum(1, keepdim=True).log()


def probabilities(draw: Draw, b: int, k: int) -> Tensor:
    p = numbers(draw, b, k).double().softmax(1).to(some(draw, (torch.float32, torch.float64)))
    return laid(draw, torch.eye(k, dtype=p.dtype)[p.argmax(1)] if draw(st.booleans()) else p)


def close(found: Tensor, wanted: Tensor, rtol: float = 1e-4, size: float = 1.0) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=rtol, atol=1e-5 * size)


def shape(draw: Draw) -> tuple[int, int]:
    return draw(st.integers(1, 9)), draw(st.integers(1, 6))


@fuzz(soft_cross_entropy)
def test_soft_cross_entropy(draw: Draw) -> None:
    b, k = shape(draw)
    z = numbers(draw, b, k, dtype=some(draw, FLOATS))
    given: dict[str, Any] = {"logits": z, "targets": probabilities(draw, b, k)}
    if draw(st.booleans()):
        found = attempt(soft_cross_entropy, **given)
        close(found, -(given["targets"].double() * log_softmax(z)).sum(1))
        return
    spoil(draw, given)
    assert isinstance(attempt(soft_cross_entropy, **given), Refused)


@fuzz(past_kl, probability_kl)
def test_kl(draw: Draw) -> None:
    b, k = shape(draw)
    z = numbers(draw, b, k, dtype=some(draw, FLOATS))
    heat = draw(st.floats(1e-2, 1e3))
    if draw(st.booleans()):
        target = probabilities(draw, b, k)
        given: dict[str, Any] = {"logits": z, "target": target}
        f: Any = probability_kl
    else:
        past = numbers(draw, b, k, dtype=some(draw, FLOATS))
        target, f, given = log_softmax(past, heat).exp(), past_kl, {"logits": z, "past": past}
    bad = some(draw, ("no", "no", "tensors", "heat"))
    if bad == "tensors":
        spoil(draw, given)
    elif bad == "heat":
        heat = some(draw, (0, -1.0, float("nan"), "warm", None))
    found = attempt(f, **given, temperature=heat)
    if bad != "no":
        assert isinstance(found, Refused)
        return
    t = target.double()
    wanted = heat**2 * (torch.special.xlogy(t, t) - t * log_softmax(z, heat)).sum(1)
    # what rounding of z / T does is as large as z / T, times T^2
    close(found, wanted, size=heat**2 * (1 + float(z.double().abs().max()) / heat))


@fuzz(wide)
def test_wide(draw: Draw) -> None:
    z = numbers(draw, draw(st.integers(0, 4)), 3, dtype=some(draw, FLOATS))
    found = attempt(wide, z)
    assert found.dtype == (torch.float64 if z.dtype == torch.float64 else torch.float32)
    assert torch.equal(found, z.to(found.dtype))


@fuzz(masked_mean)
def test_masked_mean(draw: Draw) -> None:
    b = draw(st.integers(1, 9))
    given: dict[str, Any] = {
        "values": numbers(draw, b, kinds=("normal", "same", "large", *BAD)),
        "mask": laid(draw, torch.rand(b, generator=generator(draw)) < draw(st.floats(0, 1))),
    }
    divide = some(draw, ("carried", "batch", "all"))
    bad = draw(st.booleans())
    if bad:
        spoil(draw, given)
    found = attempt(masked_mean, **given, divide_by=divide)
    if bad or divide == "all":
        assert isinstance(found, Refused)
        return
    kept = [float(v) for v, m in zip(given["values"], given["mask"], strict=True) if m]
    wanted = sum(kept) / (b if divide == "batch" else max(1, len(kept)))
    np.testing.assert_allclose(float(found), wanted, rtol=1e-4, atol=1e-2)


@fuzz(combine, Loss)
def test_combine(draw: Draw) -> None:
    given: dict[str, Any] = {
        "stage1": numbers(draw, draw(st.integers(1, 9))).abs(),
        "stage2": numbers(draw).abs(),
    }
    weight = draw(st.floats(0, 10))
    if draw(st.booleans()):
        found = attempt(combine, **given, past_weight=weight)
        wanted = float(given["stage1"].double().mean()) + weight * float(given["stage2"])
        np.testing.assert_allclose(float(found.total), wanted, rtol=1e-4, atol=1e-30)
        assert isinstance(attempt(Loss, found.total).parts, dict)
        return
    spoil(draw, given)
    refused = attempt(combine, **given, past_weight=weight)
    longer = isinstance(given["stage1"], Tensor) and given["stage1"].is_cpu
    if not (longer and given["stage1"].ndim == 1 and given["stage1"].is_floating_point()):
        assert isinstance(refused, Refused)


@fuzz(distilled)
def test_distilled(draw: Draw) -> None:
    b, k = shape(draw)
    z = numbers(draw, b, k, dtype=some(draw, FLOATS))
    heat, weight = draw(st.floats(1e-2, 1e3)), draw(st.floats(0, 10))
    given: dict[str, Any] = {
        "logits": z,
        "targets": probabilities(draw, b, k),
        "log_past": log_softmax(numbers(draw, b, k), heat).to(torch.float32),
        "carried": laid(draw, torch.rand(b, generator=generator(draw)) < 0.5),
    }
    bad = some(draw, ("no", "no", "tensors", "heat", "divisor"))
    if bad == "tensors":
        spoil(draw, given)
    heat = some(draw, (0, -1.0, float("nan"), "warm", None)) if bad == "heat" else heat
    divide = "all" if bad == "divisor" else some(draw, ("carried", "batch"))
    stages = torch.tensor([[False], [True]])
    found = attempt(
        distilled, **given, stages=stages, past_weight=weight, temperature=heat, divide_by=divide
    )
    if bad != "no":
        assert isinstance(found, Refused)
        return
    found, known = found
    assert (known is None) == (heat != 1)
    carried, q = given["carried"], given["log_past"].double()
    new = int((~carried).sum())
    first = -(given["targets"].double() * log_softmax(z)).sum(1)[~carried].sum() / max(1, new)
    kl = heat**2 * (q.exp() * (q - log_softmax(z, heat))).sum(1)[carried].sum()
    second = kl / (b if divide == "batch" else max(1, b - new))
    size = heat**2 * (1 + float(z.double().abs().max()) / heat)
    close(found.parts["stage1"], first, size=1 + float(z.double().abs().max()))
    close(found.parts["stage2"], second, size=size)
    close(found.total, first + weight * second, size=(1 + weight) * (1 + size))


@fuzz(past_targets)
def test_past_targets(draw: Draw) -> None:
    b, k = shape(draw)
    given: dict[str, Any] = {
        "targets": probabilities(draw, b, k),
        "hard": torch.eye(k)[labels_of(draw, b, k)],
        "past": probabilities(draw, b, k),
        "carried": torch.rand(b, generator=generator(draw)) < 0.5,
    }
    weight = draw(st.floats(0, 1))
    if draw(st.booleans()):
        spoil(draw, given)
        assert isinstance(attempt(past_targets, **given, weight=weight), Refused)
        return
    found = attempt(past_targets, **given, weight=weight)
    for i in range(b):
        wanted = given["targets"][i].double()
        if given["carried"][i]:
            wanted = wanted + weight * (given["past"][i].double() - given["hard"][i].double())
        close(found[i], wanted)
    close(found.sum(1), torch.ones(b))


@fuzz(under_trained)
def test_under_trained(draw: Draw) -> None:
    b, k = shape(draw)
    z = numbers(draw, b, k, dtype=some(draw, FLOATS), kinds=("normal", "grid", "same", "large"))
    y = labels_of(draw, b, k)
    given: dict[str, Any] = {
        "logits": z,
        "labels": y,
        "medoid_logits": numbers(draw, k, k),
        "medoid_exists": torch.rand(k, generator=generator(draw)) < 0.7,
        "eligible": torch.rand(b, generator=generator(draw)) < 0.7,
    }
    criterion = some(draw, (*CRITERIA, "none"))
    threshold, share = draw(st.floats(-0.5, 1.5)), draw(st.floats(-0.5, 1.5))
    spoilt = draw(st.integers(0, 2)) == 0
    if spoilt:
        spoil(draw, given)
    g = generator(draw)
    found = attempt(
        under_trained, criterion=criterion, threshold=threshold, share=share, generator=g, **given
    )
    sound = criterion in CRITERIA and 0 < threshold <= 1 and 0 < share <= 1
    if spoilt or not sound:
        assert isinstance(found, Refused)
        return
    marked, urgency = found
    z = z.float()
    p = log_softmax(z).exp()[torch.arange(b), y]
    wrong = [int(z[i].argmax()) != int(y[i]) for i in range(b)]
    count = max(1, round(share * b))
    if criterion in ("misclassified", "all"):
        assert marked.tolist() == (wrong if criterion == "misclassified" else [True] * b)
    elif criterion == "probability":
        sure = (p - threshold).abs() > 1e-5
        assert marked[sure].tolist() == (p < threshold)[sure].tolist()
    elif criterion == "random":
        mine = torch.tensor(wrong) & given["eligible"]
        assert int(marked.sum()) == int(mine.sum())
        assert not bool((marked & ~given["eligible"]).any())
    else:
        badness = -log_softmax(z)[torch.arange(b), y]
        exists = given["medoid_exists"][y]
        if criterion == "medoid-distance":
            far = (z.double() - given["medoid_logits"].double()[y]).square().sum(1).sqrt()
            badness = torch.where(exists, far, 0.0)
            assert not bool((marked & ~exists).any())
        else:
            assert int(marked.sum()) == count
        if bool(marked.any()):
            others = ~marked & (exists if criterion == "medoid-distance" else True)
            least = float(badness[marked].min())
            assert not bool((badness[others] > least * (1 + 1e-5) + 1e-5).any())
    if criterion in ("misclassified", "probability", "quantile", "all"):
        close(urgency, -log_softmax(z)[torch.arange(b), y])


@fuzz(select, Carry, Carry.empty)
def test_select(draw: Draw) -> None:
    b, k = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    given: dict[str, Any] = {
        "marked": torch.rand(b, generator=generator(draw)) < draw(st.floats(0, 1)),
        "urgency": numbers(draw, b, kinds=("normal", "grid", "same", "large")),
        "index": torch.randperm(50, generator=generator(draw))[:b],
        "logits": numbers(draw, b, k, dtype=some(draw, FLOATS)),
        "visits": torch.randint(4, (b,), generator=generator(draw)),
    }
    size, most = draw(st.integers(-1, b + 1)), draw(st.integers(0, 3))
    spoilt = draw(st.integers(0, 2)) == 0
    if spoilt:
        spoil(draw, given)
    found = attempt(select, **given, size=size, max_visits=most)
    if spoilt or not 0 <= size <= b or most < 1:
        assert isinstance(found, Refused)
        assert isinstance(attempt(Carry.empty, size, -1), Refused)
        return
    able = [i for i in range(b) if given["marked"][i] and given["visits"][i] < most]
    count = min(size, len(able))
    assert int(found.count) == count
    assert len(found.index) == len(attempt(Carry.empty, size, k).index) == size
    assert isinstance(attempt(Carry, *vars(found).values()), Carry)
    rows = [given["index"].tolist().index(i) for i in found.index[:count].tolist()]
    assert set(rows) <= set(able)
    assert len(set(rows)) == count
    urgency = [float(given["urgency"][i]) for i in rows]
    assert urgency == sorted((float(given["urgency"][i]) for i in able), reverse=True)[:count]
    assert torch.equal(found.logits[:count], given["logits"].float()[rows])
    assert found.visits[:count].tolist() == [int(given["visits"][i]) + 1 for i in rows]
