"""Each measure against a slow reading of its definition."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
)

from toastlab.analysis.metrics import METRICS, evaluate, fit_temperature, reliability_bins


def slow(logits: Tensor, labels: Tensor, bins: int = 15) -> dict[str, float]:
    n, k = logits.shape
    top1 = top5 = nll = brier = 0.0
    confidence, odds, right = [], [], []
    for i in range(n):
        z = [float(v) for v in logits[i]]
        top = max(z)
        e = [math.exp(v - top) for v in z]
        p = [v / sum(e) for v in e]
        y = int(labels[i])
        order = sorted(range(k), key=lambda c: -z[c])  # of equal logits the lower class first
        rest = [z[c] for c in order[1:]]
        above = max(rest, default=0.0)
        tail = sum(math.exp(v - above) for v in rest)
        odds.append(top - above - math.log(tail) if rest else math.inf)
        top1 += order[0] == y
        top5 += y in order[:5]
        nll += math.log(sum(e)) - (z[y] - top)
        brier += sum((p[c] - (c == y)) ** 2 for c in range(k))
        confidence.append(max(p))
        right.append(order[0] == y)
    # by falling log-odds of the confidence; of equal ones each has the share of errors among them
    wrong, count, area = 0.0, 0, 0.0
    for value in sorted(set(odds), reverse=True):
        equal = [i for i in range(n) if odds[i] == value]
        share = sum(not right[i] for i in equal) / len(equal)
        for _ in equal:
            wrong, count = wrong + share, count + 1
            area += wrong / count / n
    ece = 0.0
    for b in range(bins):
        inside = [
            i
            for i in range(n)
            if np.float32(b / bins) < np.float32(confidence[i]) <= np.float32((b + 1) / bins)
        ]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            ece += len(inside) / n * abs(accuracy - mean)
    found = {"top1": top1 / n, "top5": top5 / n, "nll": nll / n, "brier": brier / n}
    return found | {"ece": ece, "aurc": area}


@given(n=st.integers(1, 60), k=st.integers(2, 8), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_against_slow_definitions(n: int, k: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=g) * 3
    labels = torch.randint(0, k, (n,), generator=g)
    found = evaluate(logits, labels)
    assert set(found) == set(METRICS)
    for name, value in slow(logits, labels).items():
        assert found[name] == pytest.approx(value, abs=1e-5), name


def test_ece_agrees_with_torchmetrics_off_the_edges() -> None:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 10, generator=g) * 2
    labels = torch.randint(0, 10, (500,), generator=g)
    theirs = multiclass_calibration_error(logits.softmax(1), labels, 10, 15, "l1")
    assert reliability_bins(logits, labels).ece == pytest.approx(float(theirs), abs=1e-6)


def test_accuracies_are_torchmetrics_without_ties() -> None:
    g = torch.Generator().manual_seed(1)
    logits = torch.randn(500, 10, generator=g) * 2
    labels = torch.randint(0, 10, (500,), generator=g)
    found = evaluate(logits, labels)
    for k in (1, 5):
        theirs = float(multiclass_accuracy(logits, labels, 10, "micro", top_k=k))
        assert found[f"top{k}"] == theirs, "to the last bit: stored rows are compared"


def test_bins_are_open_below_and_closed_above() -> None:
    """Confidences that lie exactly on an edge belong to the bin below it; so does 1."""
    logits = torch.tensor([[0.0, 0.0], [50.0, -50.0], [0.1, 0.0]])
    bins = reliability_bins(logits, torch.tensor([0, 0, 1]), bins=2)
    assert bins.count.tolist() == [1, 2]
    assert bins.confidence[0] == 0.5
    assert bins.accuracy.tolist() == [1.0, 0.5]
    empty = reliability_bins(logits, torch.tensor([0, 0, 1]), bins=15)
    assert empty.count.sum() == 3
    assert np.isnan(empty.accuracy[0])
    assert np.isfinite(empty.ece)


def test_extreme_logits() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4], [1e4, 0.0, -1e4]])
    found = evaluate(logits, torch.tensor([0, 2]))
    assert found["nll"] == pytest.approx(1e4)
    assert found["top1"] == 0.5
    assert found["brier"] == pytest.approx(1.0)


def test_ties_go_to_the_lower_class_in_top_1_and_in_top_5() -> None:
    for label, five in enumerate([1.0] * 5 + [0.0] * 5):
        found = evaluate(torch.zeros(1, 10), torch.tensor([label]))
        assert (found["top1"], found["top5"]) == (float(label == 0), five)
    g = torch.Generator().manual_seed(0)
    for k in (2, 5, 6, 12):  # few values, so many ties
        logits = torch.randint(0, 3, (300, k), generator=g).to(torch.bfloat16)
        labels = torch.randint(0, k, (300,), generator=g)
        found, wanted = evaluate(logits, labels), slow(logits, labels)
        assert found["top1"] == pytest.approx(wanted["top1"])
        assert found["top5"] == pytest.approx(wanted["top5"])
        assert found["top5"] >= found["top1"]


def test_aurc_does_not_depend_on_the_order_of_equal_confidences() -> None:
    """It is the mean over all orders of them."""
    odd, wrong = [3.0, 1.0, 1.0, 1.0, 0.5], [True, False, False, True, False]
    means = []
    for order in itertools.permutations((1, 2, 3)):
        rank = [0, *order, 4]
        means.append(sum(sum(wrong[i] for i in rank[:n]) / n for n in range(1, 6)) / 5)
    for order in itertools.permutations(range(5)):
        logits = torch.tensor([[odd[i], 0.0] for i in order])
        labels = torch.tensor([int(wrong[i]) for i in order])
        assert evaluate(logits, labels)["aurc"] == pytest.approx(sum(means) / len(means))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_aurc_tells_sure_predictions_apart(dtype: torch.dtype) -> None:
    """Gaps above 37, where the probability is 1 even in float64: the widest gap goes first."""
    gaps, wrong = [60.0, 50.0, 45.0, 40.0], [0, 0, 0, 1]
    for order in itertools.permutations(range(4)):
        logits = torch.tensor([[gaps[i], 0.0] for i in order], dtype=dtype)
        labels = torch.tensor([wrong[i] for i in order])
        assert evaluate(logits, labels)["aurc"] == pytest.approx(1 / 16)
    alike = torch.tensor([[40.0, 0.0]] * 4, dtype=dtype)
    for labels in torch.eye(4, dtype=torch.int64):
        assert evaluate(alike, labels)["aurc"] == pytest.approx(0.25)


def test_ece_of_logits_beyond_float32() -> None:
    """Sure and wrong, wrong with 0.73, right with 0.88: all three count."""
    logits = torch.tensor([[1e39, 0.0], [0.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    found = evaluate(logits, torch.tensor([1, 0, 0]))
    gaps = [1.0, 1 / (1 + math.exp(-1)), 1 - 1 / (1 + math.exp(-2))]
    assert found["ece"] == pytest.approx(sum(gaps) / 3, abs=1e-6)
    assert reliability_bins(logits, torch.tensor([1, 0, 0])).count.sum() == 3


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        evaluate(torch.tensor([[torch.nan, 0.0]]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
        evaluate(torch.zeros(2, 2), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="cannot measure"):
        evaluate(torch.zeros(0, 2), torch.zeros(0).long())


def test_temperature_is_recovered_and_beats_a_fine_grid() -> None:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 5, generator=g) * 2
    labels = torch.multinomial(z.softmax(1), 1, generator=g)[:, 0]
    assert fit_temperature(3 * z, labels) == pytest.approx(3, rel=0.08)
    found = fit_temperature(z / 2, labels)
    nll = torch.nn.functional.cross_entropy
    best = min(float(nll(z.double() / 2 / t, labels)) for t in np.geomspace(0.1, 5, 400))
    assert float(nll(z.double() / 2 / found, labels)) <= best + 1e-9
