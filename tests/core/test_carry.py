"""Who is under-trained, and who goes into the carry, against plain Python."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from toastlab.core.carry import CRITERIA, Carry, Criterion, select, under_trained


def batch(seed: int, b: int = 16, k: int = 4) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(b, k, generator=g) * 2, torch.randint(0, k, (b,), generator=g)


@given(seed=st.integers(0, 10**6), b=st.sampled_from([2, 8, 16]))
@settings(max_examples=30, deadline=None)
def test_carry_against_a_sorted_list(seed: int, b: int) -> None:
    """The least confident misclassified samples, not yet carried, at most half the batch."""
    logits, labels = batch(seed, b)
    visits = torch.arange(b) % 3 // 2  # every third was carried already
    index = torch.arange(100, 100 + b)
    marked, urgency = under_trained(logits, labels)
    found = select(marked, urgency, index, logits, visits, b // 2)

    p = logits.softmax(1)
    wrong = [
        i for i in range(b) if int(logits[i].argmax()) != int(labels[i]) and int(visits[i]) == 0
    ]
    wrong.sort(key=lambda i: float(p[i, labels[i]]))
    expected = [100 + i for i in wrong[: b // 2]]
    count = int(found.count)
    assert found.index[:count].tolist() == expected
    assert torch.equal(found.logits[:count], logits[[i - 100 for i in expected]])
    assert found.visits[:count].tolist() == [1] * count
    assert len(found.index) == b // 2, "static shape"


def test_a_known_log_softmax_changes_nothing() -> None:
    logits, labels = batch(3)
    for criterion in ("misclassified", "probability", "quantile", "all"):
        plain = under_trained(logits, labels, criterion)
        known = under_trained(logits, labels, criterion, log_p=logits.log_softmax(1))
        assert all(torch.equal(a, b) for a, b in zip(plain, known, strict=True))


def test_order_of_the_least_confident_does_not_saturate() -> None:
    """1 - p(label) is 1 in float32 for all of these gaps; in every order of the batch the three
    widest must go, and go first."""
    gaps = [18.0, 18.5, 19.0, 30.0, 25.0, 22.0]
    labels, no = torch.ones(6, dtype=torch.int64), torch.zeros(6, dtype=torch.int64)
    for order in itertools.permutations(range(6)):
        logits = torch.tensor([[gaps[i], 0.0] for i in order])
        marked, urgency = under_trained(logits, labels)
        found = select(marked, urgency, torch.tensor(order), logits, no, 3)
        assert found.index.tolist() == [3, 4, 5]


def test_criteria() -> None:
    logits, labels = batch(0)
    p = logits.softmax(1)[torch.arange(16), labels]
    wrong = logits.argmax(1) != labels
    assert torch.equal(under_trained(logits, labels, "misclassified")[0], wrong)
    low = under_trained(logits, labels, "probability", threshold=0.3)[0]
    assert torch.equal(low, p < 0.3)
    everyone, urgency = under_trained(logits, labels, "all")
    assert bool(everyone.all())
    torch.testing.assert_close(urgency, -p.log())
    quarter = under_trained(logits, labels, "quantile", share=0.25)[0]
    assert set(quarter.nonzero()[:, 0].tolist()) == set(p.argsort()[:4].tolist())


def test_medoid_distance() -> None:
    logits, labels = batch(1)
    medoids = torch.zeros(4, 4)
    exists = torch.tensor([True, True, True, False])
    marked, urgency = under_trained(
        logits, labels, "medoid-distance", share=0.5, medoid_logits=medoids, medoid_exists=exists
    )
    distance = [float(logits[i].norm()) if labels[i] != 3 else 0.0 for i in range(16)]
    assert urgency.tolist() == pytest.approx(distance)
    far = sorted(range(16), key=lambda i: -distance[i])[:8]
    assert set(marked.nonzero()[:, 0].tolist()) == {i for i in far if labels[i] != 3}
    with pytest.raises(ValueError, match="needs medoid_logits"):
        under_trained(logits, labels, "medoid-distance")


def test_random_control_has_the_same_number_and_no_aim() -> None:
    logits, labels = batch(2, b=64)
    eligible = torch.arange(64) % 4 > 0
    expected = int(((logits.argmax(1) != labels) & eligible).sum())
    seen = torch.zeros(64)
    g = torch.Generator().manual_seed(0)
    for _ in range(400):
        marked, _ = under_trained(logits, labels, "random", eligible=eligible, generator=g)
        assert int(marked.sum()) == expected
        assert not bool((marked & ~eligible).any())
        seen += marked
    share = seen[eligible] / 400
    assert float(share.min()) > 0.5 * expected / 48
    assert float(share.max()) < 1.5 * expected / 48


@pytest.mark.parametrize("criterion", CRITERIA)
def test_what_was_checked_gives_the_same(criterion: Criterion) -> None:
    logits, labels = batch(5)
    medoids, exist = torch.randn(4, 4), torch.ones(4, dtype=torch.bool)
    none = torch.zeros(16, dtype=torch.int64)
    found = []
    for checked in (False, True):
        marked, urgency = under_trained(
            logits,
            labels,
            criterion,
            medoid_logits=medoids,
            medoid_exists=exist,
            generator=torch.Generator().manual_seed(1),
            checked=checked,
        )
        carry = select(marked, urgency, torch.arange(16), logits, none, 8, checked=checked)
        found.append([marked, urgency, *vars(carry).values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_until_trained_has_a_cap() -> None:
    logits, _ = batch(3)
    marked = torch.ones(16, dtype=torch.bool)
    visits = torch.tensor([0, 1, 2, 3] * 4)
    found = select(marked, torch.rand(16), torch.arange(16), logits, visits, 8, max_visits=2)
    assert int(found.count) == 8
    assert all(i % 4 < 2 for i in found.index.tolist())
    assert sorted(found.visits.tolist()) == [1] * 4 + [2] * 4


def test_empty_and_unknown() -> None:
    logits, labels = batch(4)
    none = torch.zeros(16, dtype=torch.bool)
    found = select(none, torch.rand(16), torch.arange(16), logits, torch.zeros(16).long(), 8)
    assert int(found.count) == 0
    assert int(Carry.empty(8, 4).count) == 0
    with pytest.raises(ValueError, match="Did you mean 'misclassified'"):
        under_trained(logits, labels, "misclasified")
    assert len(CRITERIA) == 6
