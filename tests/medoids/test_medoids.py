"""Medoids against brute force, against the kmedoids package, and against their own definition."""

import kmedoids
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances
from torch import Tensor

from toastlab.core.errors import TrainingDiverged
from toastlab.medoids import bounds
from toastlab.medoids.exact import DISTANCES
from toastlab.medoids.targets import (
    candidates,
    class_means,
    class_medoids,
    class_targets,
    soft_targets,
)

METRICS = {"squared-euclidean": "sqeuclidean"}


def brute_force(logits: Tensor, labels: Tensor, distance: str, scope: str) -> list[int]:
    """The definition, read aloud: a double loop in float64, lowest index first."""
    z = logits.double().numpy()
    found = []
    for c in range(z.shape[1]):
        members = [
            i
            for i in range(len(z))
            if labels[i] == c and (scope == "all" or logits[i].argmax() == c)
        ]
        best, best_sum = -1, np.inf
        for i in members:
            total = 0.0
            for j in members:
                a, b = z[i], z[j]
                if distance == "euclidean":
                    total += float(np.sqrt(((a - b) ** 2).sum()))
                elif distance == "squared-euclidean":
                    total += float(((a - b) ** 2).sum())
                elif distance == "manhattan":
                    total += float(np.abs(a - b).sum())
                else:
                    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
                    total += 1.0 - (float(a @ b) / norm if norm else 0.0)
            if total < best_sum - 1e-9 * max(1.0, abs(best_sum) if np.isfinite(best_sum) else 1.0):
                best, best_sum = i, total
        found.append(best)
    return found


def bank(n: int, k: int, seed: int, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, k, (n,), generator=g)
    logits = torch.randn(n, k, generator=g) * spread
    logits[torch.arange(n), labels] += 2
    return logits, labels


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("scope", ["correct", "all"])
@given(n=st.integers(0, 40), k=st.integers(1, 6), seed=st.integers(0, 10**6), grid=st.booleans())
@settings(max_examples=25, deadline=None)
def test_equals_brute_force(
    distance: str, scope: str, n: int, k: int, seed: int, grid: bool
) -> None:
    """Also with empty classes, one-sample classes and, on a grid, many exact ties."""
    logits, labels = bank(n, k, seed)
    if grid:
        logits = logits.round()
    found = class_medoids(logits, labels, distance=distance, scope=scope)
    assert found.index.tolist() == brute_force(logits, labels, distance, scope)
    for c, i in enumerate(found.index.tolist()):
        expected = logits[i] if i >= 0 else torch.zeros(k)
        assert torch.equal(found.logits[c], expected)


@pytest.mark.parametrize("distance", DISTANCES)
def test_equals_kmedoids(distance: str) -> None:
    logits, labels = bank(1500, 5, seed=3)
    found = class_medoids(logits, labels, distance=distance, scope="all").index.tolist()
    metric = METRICS.get(distance, distance)
    for c in range(5):
        members = np.flatnonzero(labels.numpy() == c)
        distances = pairwise_distances(logits.double().numpy()[members], metric=metric)
        assert found[c] == members[kmedoids.pam_build(distances, 1).medoids[0]]


@pytest.mark.parametrize("distance", DISTANCES)
def test_ties_go_to_the_lowest_index(distance: str) -> None:
    """Two points tie always; a thousand copies of one point tie whatever the blocks do."""
    pair = torch.tensor([[5.0, 1.0], [3.0, 2.0]])
    assert class_medoids(pair, torch.tensor([0, 0]), distance=distance).index[0] == 0
    copies = torch.tensor([[0.3, 0.1, -0.2]]).repeat(1000, 1) * 1.1
    copies[0] += torch.tensor([5.0, -1.0, 0.0])
    found = class_medoids(copies, torch.zeros(1000, dtype=torch.int64), distance=distance)
    assert found.index.tolist() == [1, -1, -1]


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_near_ties_are_decided_exactly(offset: float) -> None:
    """A difference far below float32's rounding of the sums still decides."""
    g = torch.Generator().manual_seed(0)
    ring = torch.randn(400, 3, generator=g, dtype=torch.float64)
    centre = torch.zeros(2, 3, dtype=torch.float64)
    centre[1, 0] = 2e-3
    logits = torch.cat([centre, ring, -ring]) + offset  # symmetric: the centre is the best
    labels = torch.zeros(802, dtype=torch.int64)
    assert class_medoids(logits, labels, scope="all").index[0] == 0
    swapped = logits.clone()
    swapped[[0, 1]] = logits[[1, 0]]
    assert class_medoids(swapped, labels, scope="all").index[0] == 1


@pytest.mark.parametrize("far", [2.0**20, 2.0**33])
@pytest.mark.parametrize("symmetric", [False, True])
def test_squared_distances_far_from_the_origin(symmetric: bool, far: float) -> None:
    """Offsets of whole steps of 2^-19, which float64 has exactly there: the medoid is that of the
    sums in whole numbers, of equal ones the first."""
    for seed in range(40):
        g = torch.Generator().manual_seed(seed)
        steps = torch.randint(-500, 501, (300, 1), generator=g)
        if symmetric:
            steps = torch.cat([steps, -steps])
        sums = (steps[:, None] - steps).square().sum((1, 2))
        labels = torch.zeros(len(steps), dtype=torch.int64)
        logits = steps.double() * 2.0**-19 + far
        found = class_medoids(logits, labels, distance="squared-euclidean", scope="all")
        assert found.index[0] == (sums == sums.min()).int().argmax(), seed


@pytest.mark.parametrize("distance", DISTANCES)
def test_huge_logits_are_refused_before_their_distances_overflow(distance: str) -> None:
    logits, labels = (x[:100] for x in bank(100, 3, seed=2))
    wanted = class_medoids(logits, labels, distance=distance, scope="all").index
    logits = logits.double()
    for scale in (1e-100, 1e60, 1e150):
        found = class_medoids(logits * scale, labels, distance=distance, scope="all")
        assert torch.equal(found.index, wanted), scale
    for scale in (1e155, 1e200, 1e300):
        with pytest.raises(TrainingDiverged, match="logits of sample 0 reach beyond 4e"):
            class_medoids(logits * scale, labels, distance=distance, scope="all")
    # rows that were never seen may hold anything
    logits[7] = 1e200
    seen = torch.arange(100) != 7
    assert class_medoids(logits, labels, distance=distance, seen=seen).index[0] >= 0


@pytest.mark.parametrize("distance", DISTANCES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_order_of_samples_changes_nothing(distance: str, seed: int) -> None:
    logits, labels = bank(200, 4, seed)
    shuffle = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
    straight = class_medoids(logits, labels, distance=distance)
    shuffled = class_medoids(logits[shuffle], labels[shuffle], distance=distance)
    assert torch.equal(straight.logits, shuffled.logits)
    assert shuffle[shuffled.index].tolist() == straight.index.tolist()


def test_medoid_is_a_member_and_unseen_rows_do_not_count() -> None:
    logits, labels = bank(300, 5, seed=1)
    seen = torch.arange(300) % 3 > 0
    logits[~seen] = torch.nan
    found = class_medoids(logits, labels, seen=seen)
    assert bool(seen[found.index].all())
    assert labels[found.index].tolist() == [0, 1, 2, 3, 4]
    assert logits[found.index].argmax(1).tolist() == [0, 1, 2, 3, 4]
    kept = class_medoids(logits[seen], labels[seen])
    assert torch.equal(kept.logits, found.logits)


def test_shortcuts_of_two_distances() -> None:
    """Squared Euclidean: nearest to the mean. Cosine: most aligned with the mean direction."""
    logits, labels = bank(100, 1, seed=5)
    logits = torch.cat([logits, torch.randn(100, 4)], 1)
    squared = class_medoids(logits, labels, distance="squared-euclidean", scope="all").index[0]
    assert squared == (logits - logits.mean(0)).square().sum(1).argmin()
    unit = logits / logits.norm(dim=1, keepdim=True)
    cosine = class_medoids(logits, labels, distance="cosine", scope="all").index[0]
    assert cosine == (unit @ unit.mean(0)).argmax()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    logits, labels = bank(200, 4, seed=2)
    logits = logits.to(dtype)
    expected = brute_force(logits, labels, "euclidean", "correct")
    assert class_medoids(logits, labels).index.tolist() == expected


def test_errors() -> None:
    z, y = torch.zeros(4, 3), torch.tensor([0, 1, 2, 2])
    with pytest.raises(ValueError, match="Did you mean 'euclidean'"):
        class_medoids(z, y, distance="euclidian")
    with pytest.raises(ValueError, match="Choose one of: all, correct"):
        class_medoids(z, y, scope="some")
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2"):
        class_medoids(z, y + 1)
    with pytest.raises(ValueError, match="do not belong together"):
        class_medoids(z, y[:2])
    with pytest.raises(TypeError, match="floating-point"):
        class_medoids(z.long(), y)
    for bad in (torch.nan, torch.inf):
        z[2, 1] = bad
        with pytest.raises(ValueError, match="sample 2 are not finite"):
            class_medoids(z, y)


def test_soft_targets() -> None:
    z = torch.tensor([[4.0, 2.0, 0.0], [9.0, 9.0, 9.0], [0.0, 0.0, 0.0]])
    q = soft_targets(z, torch.tensor([True, True, False]), temperature=2.0)
    expected = np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum()
    np.testing.assert_allclose(q[0].numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(q[1].numpy(), [1 / 3] * 3, rtol=1e-6)
    assert q[2].tolist() == [0.0, 0.0, 1.0], "no medoid: the hard target stays"
    with pytest.raises(ValueError, match="medoid temperature is 0"):
        soft_targets(z, torch.ones(3, dtype=torch.bool), 0)


def test_class_targets() -> None:
    uniform = torch.full((4, 4), 0.25)
    smoothed = class_targets(uniform, 0.1)
    expected = 0.9 * torch.eye(4) + 0.1 / 4
    torch.testing.assert_close(smoothed, expected)
    assert torch.equal(class_targets(uniform, 0), torch.eye(4))
    with pytest.raises(ValueError, match=r"medoid weight is 1\.2"):
        class_targets(uniform, 1.2)


@pytest.mark.parametrize("softmax", [False, True])
def test_class_means(softmax: bool) -> None:
    logits, labels = bank(60, 3, seed=9)
    labels[labels == 2] = 1  # a class without members
    chosen = candidates(logits, labels)
    means = class_means(logits, labels, chosen, softmax=softmax)
    rows = logits.softmax(1) if softmax else logits
    for c in range(2):
        members = [rows[i] for i in range(60) if labels[i] == c and logits[i].argmax() == c]
        torch.testing.assert_close(means[c], torch.stack(members).mean(0))
    assert means[2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "two clouds", "few directions", "alike"])
@pytest.mark.parametrize(("size", "cheap"), [(40, 0), (700, 0), (700, bounds.CHEAP)])
def test_bounds_never_rule_out_the_medoid(
    kind: str, size: int, cheap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever shape a class has: pruning by bounds gives the member that all pairs give."""
    monkeypatch.setattr(bounds, "CHEAP", cheap)
    g = torch.Generator().manual_seed(size)
    z = torch.randn(size, 12, generator=g)
    scale = torch.randn(size, 1, generator=g)
    if kind == "heavy tails":
        z = z * (2 * scale).exp()
    elif kind == "two clouds":
        z = z + 9 * (scale > 0)
    elif kind == "few directions":
        z = z[:, :2] @ torch.randn(2, 12, generator=g) + 1000
    elif kind == "alike":
        z = z[:1].expand(size, -1)
    labels = torch.zeros(size, dtype=torch.long)
    pairs = torch.cdist(z.double(), z.double(), compute_mode="donot_use_mm_for_euclid_dist")
    expected = 0 if kind == "alike" else int(pairs.sum(1).argmin())
    assert int(class_medoids(z, labels, scope="all").index[0]) == expected


def test_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    class_medoids(*bank(60, 3, seed=0), scope="all")
    assert torch.get_num_threads() == before


def test_those_of_kmedoids_at_the_size_of_cifar100() -> None:
    """50,000 x 100 in 100 classes; `toastlab bench` times both."""
    logits, labels = bank(50_000, 100, seed=0, spread=2.0)
    expected = []
    for c in range(100):
        members = np.flatnonzero(labels.numpy() == c)
        distances = pairwise_distances(logits.numpy()[members])
        expected.append(int(members[kmedoids.pam_build(distances, 1).medoids[0]]))
    assert class_medoids(logits, labels, scope="all").index.tolist() == expected
