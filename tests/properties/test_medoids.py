"""Medoids, the bank and label noise on odd cases, against the definitions read aloud."""

from typing import Any, get_args

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.properties.fuzz import (
    BAD,
    FINITE,
    FLOATS,
    Draw,
    Refused,
    attempt,
    fuzz,
    generator,
    labels_of,
    numbers,
    some,
    spoil,
)
from toastlab.core.bank import Bank
from toastlab.core.checks import check_labels
from toastlab.core.class_index import ClassIndex
from toastlab.data.noise import NOISES, averaged, flip_labels, flip_where_unsure
from toastlab.medoids.exact import DISTANCES, medoid_rows
from toastlab.medoids.targets import (
    SCOPES,
    Medoids,
    Prototype,
    candidates,
    class_means,
    class_medoids,
    class_targets,
    describe_medoids,
    prototype_targets,
    soft_targets,
)


def sums(x: Tensor, distance: str) -> np.ndarray:
    """[n] sums of distances of each row of x to all, in float64, pair by pair."""
    z = x.double().numpy()
    if distance == "cosine":
        norm = np.linalg.norm(z, axis=1, keepdims=True)
        z = np.where(norm > 0, z / np.where(norm > 0, norm, 1), 0)
        return np.asarray((1 - z @ z.T).sum(1))
    gap = z[:, None] - z[None]
    if distance == "manhattan":
        return np.asarray(np.abs(gap).sum((1, 2)))
    square = (gap**2).sum(2)
    return np.asarray((np.sqrt(square) if distance == "euclidean" else square).sum(1))


def is_medoid(z: Tensor, members: list[int], found: int, distance: str) -> None:
    """No member is nearer to all, and none before it as near, up to rounding."""
    all_sums = sums(z[members], distance)
    size = max(float(all_sums.min()), len(members) if distance == "cosine" else 0.0)
    place = members.index(found)
    assert all_sums[place] <= all_sums.min() + 1e-9 * size
    assert not (all_sums[:place] < all_sums[place]).any() or distance != "manhattan"
    twins = [i for i in range(place) if bool((z[members[i]] == z[found]).all())]
    assert not twins, "of equal rows the first"


@fuzz(class_medoids, candidates, Medoids, medoid_rows, part=1.5)
def test_class_medoids(draw: Draw) -> None:
    n, k = draw(st.integers(0, 30)), draw(st.integers(1, 5))
    z = numbers(draw, n, k, dtype=some(draw, FLOATS), kinds=(*FINITE, *FINITE, *BAD))
    given: dict[str, Any] = {"logits": z, "labels": labels_of(draw, n, k)}
    if draw(st.booleans()):
        given["seen"] = torch.rand(n, generator=generator(draw)) < 0.7
    distance, scope = some(draw, (*DISTANCES, "euclid")), some(draw, (*SCOPES, "none"))
    bad = some(draw, ("no", "no", "no", "tensors", "labels"))
    if bad == "tensors":
        spoil(draw, given)
    elif bad == "labels" and n:
        given["labels"] = given["labels"] + some(draw, (-k, k))
    found = attempt(class_medoids, **given, distance=distance, scope=scope)
    known = distance in DISTANCES and scope in SCOPES
    if bad == "tensors" or (bad == "labels" and n) or not known:
        assert isinstance(found, Refused)
        return
    seen = given.get("seen", torch.ones(n, dtype=torch.bool))
    if not bool(torch.isfinite(z[seen]).all()):
        assert isinstance(found, Refused)
        return
    chosen = attempt(candidates, z, given["labels"], scope) & seen
    wanted = torch.ones(n, dtype=torch.bool) if scope == "all" else z.argmax(1) == given["labels"]
    assert torch.equal(chosen, wanted & seen)
    for c, i in enumerate(found.index.tolist()):
        members = [j for j in range(n) if chosen[j] and given["labels"][j] == c]
        assert (i >= 0) == bool(members)
        assert torch.equal(found.logits[c], z[i] if members else torch.zeros(k, dtype=z.dtype))
        if members:
            is_medoid(z, members, i, distance)
            rows = attempt(medoid_rows, z, [torch.tensor(members)], distance)
            assert rows.tolist() == [i]
    again = attempt(Medoids, found.index, found.logits)
    assert again.exists.tolist() == [i >= 0 for i in found.index.tolist()]


@fuzz(class_medoids, part=0.3)
def test_classes_too_large_for_a_direct_sum(draw: Draw) -> None:
    """Bounds and products decide here, and must not rule out the medoid, whatever the scale."""
    n, k = draw(st.integers(20, 300)), draw(st.integers(2, 5))
    scale = 10.0 ** draw(st.integers(-35, 25))
    offset = some(draw, (0.0, 1.0, 1e3)) * scale
    z = (torch.randn(n, k, generator=generator(draw)) * scale + offset).to(torch.float32)
    if draw(st.booleans()):
        z = torch.nn.functional.normalize(z, dim=1) * scale  # all at one distance from the middle
    distance = some(draw, DISTANCES)
    found = attempt(class_medoids, z, torch.zeros(n).long(), distance=distance, scope="all")
    is_medoid(z, list(range(n)), int(found.index[0]), distance)


@fuzz(check_labels)
def test_check_labels(draw: Draw) -> None:
    k = draw(st.integers(-1, 4))
    y = torch.tensor(draw(st.lists(st.integers(-2, 5), max_size=6)), dtype=torch.int64)
    dtype = some(draw, (torch.int64, torch.int64, torch.int32, torch.float32, torch.bool))
    found = attempt(check_labels, y.to(dtype), k)
    sound = k >= 1 and dtype == torch.int64 and all(0 <= v < k for v in y.tolist())
    assert isinstance(found, Refused) == (not sound)


@fuzz(class_means, describe_medoids)
def test_class_means(draw: Draw) -> None:
    n, k = draw(st.integers(0, 12)), draw(st.integers(1, 4))
    z = numbers(draw, n, k, dtype=some(draw, FLOATS))
    chosen = torch.rand(n, generator=generator(draw)) < 0.7
    given: dict[str, Any] = {"logits": z, "labels": labels_of(draw, n, k), "chosen": chosen}
    softmax, wrong = draw(st.booleans()), draw(st.integers(0, 2)) == 0
    if wrong:
        spoil(draw, given)
        assert isinstance(attempt(class_means, **given, softmax=softmax), Refused)
        return
    found = attempt(class_means, **given, softmax=softmax)
    rows = z.double().softmax(1) if softmax else z.double()
    for c in range(k):
        mine = rows[chosen & (given["labels"] == c)]
        wanted = mine.mean(0) if len(mine) else torch.zeros(k, dtype=torch.float64)
        size = float(rows.abs().max()) if n else 0.0
        torch.testing.assert_close(found[c].double(), wanted, rtol=1e-4, atol=1e-6 * size + 1e-30)
    medoids = attempt(class_medoids, z, given["labels"], scope="all")
    if isinstance(medoids, Medoids):
        soft = torch.eye(k)
        said = attempt(describe_medoids, medoids, z, given["labels"], chosen, soft)
        assert said["target_entropy"] == 0
        assert said["medoid_to_mean"] >= 0 or np.isnan(said["medoid_to_mean"])


@fuzz(prototype_targets)
def test_prototypes(draw: Draw) -> None:
    n, k = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    z = numbers(draw, n, k, dtype=some(draw, FLOATS))
    y = labels_of(draw, n, k)
    medoids = attempt(class_medoids, z, y, scope="all")
    if not isinstance(medoids, Medoids):
        return
    given: dict[str, Any] = {"logits": z, "labels": y, "chosen": torch.ones(n, dtype=torch.bool)}
    prototype = some(draw, (*get_args(Prototype), "medoids"))
    heat = draw(st.floats(1e-2, 1e3))
    more = {"medoids": medoids, "prototype": prototype, "temperature": heat}
    if draw(st.integers(0, 2)) == 0:
        spoil(draw, given)
        assert isinstance(attempt(prototype_targets, **given, **more), Refused)
        return
    q = attempt(prototype_targets, **given, **more)
    if prototype == "medoids":
        assert isinstance(q, Refused)
        return
    torch.testing.assert_close(q.sum(1), torch.ones(k), rtol=1e-4, atol=1e-4)
    if prototype != "uniform":
        assert torch.equal(q[~medoids.exists], torch.eye(k)[~medoids.exists])


@fuzz(soft_targets, class_targets)
def test_targets(draw: Draw) -> None:
    k = draw(st.integers(1, 6))
    given: dict[str, Any] = {
        "medoid_logits": numbers(draw, k, k, dtype=some(draw, FLOATS)),
        "exists": torch.rand(k, generator=generator(draw)) < 0.7,
    }
    heat, weight = draw(st.floats(1e-2, 1e3)), draw(st.floats(-0.2, 1.2))
    if draw(st.integers(0, 2)) == 0:
        spoil(draw, given)
        assert isinstance(attempt(soft_targets, **given, temperature=heat), Refused)
        return
    for cold in (0.0, -heat, float("nan"), float("inf"), "warm"):
        assert isinstance(attempt(soft_targets, **given, temperature=cold), Refused)
    q = attempt(soft_targets, **given, temperature=heat)
    hot = torch.eye(k, dtype=torch.float64)
    wanted = (given["medoid_logits"].double() / heat).softmax(1)
    wanted = torch.where(given["exists"][:, None], wanted, hot)
    torch.testing.assert_close(q.double(), wanted, rtol=1e-3, atol=1e-3)
    found = attempt(class_targets, q, weight)
    if not 0 <= weight <= 1:
        assert isinstance(found, Refused)
        return
    mixed = (1 - weight) * hot + weight * q.double()
    torch.testing.assert_close(found.double(), mixed, rtol=1e-5, atol=1e-6)
    assert isinstance(attempt(class_targets, q[:, :1], weight), Refused) == (k > 1)


@fuzz(Bank, Bank.write, Bank.start_epoch)
def test_bank(draw: Draw) -> None:
    n, k = draw(st.integers(-1, 8)), draw(st.integers(0, 4))
    bank = attempt(Bank, n, k, "cpu")
    if n < 0 or k < 1:
        assert isinstance(bank, Refused)
        return
    logits, seen, visits = torch.zeros(n, k), [False] * n, [0] * n
    for _ in range(draw(st.integers(0, 3))):
        b = draw(st.integers(0, n))
        given: dict[str, Any] = {
            "index": torch.randperm(n, generator=generator(draw))[:b],
            "logits": numbers(draw, b, k, dtype=some(draw, FLOATS)),
            "pure": torch.rand(b, generator=generator(draw)) < 0.7,
            "carried": torch.rand(b, generator=generator(draw)) < 0.3,
        }
        if draw(st.integers(0, 3)) == 0:
            spoil(draw, given)
            assert isinstance(attempt(bank.write, **given), Refused)
            continue
        if draw(st.booleans()):
            given["pure"] = None
        assert attempt(bank.write, **given) is None
        for row, i in enumerate(given["index"].tolist()):
            visits[i] += 1
            if given["pure"] is None or given["pure"][row]:
                logits[i], seen[i] = given["logits"][row].float(), True
    state = bank.state_dict()
    assert torch.equal(state["logits"], logits)
    assert state["seen"].tolist() == seen
    assert state["visits"].tolist() == visits
    attempt(bank.start_epoch)
    assert not bool(bank.visits.any() | bank.carried.any())


@fuzz(flip_labels)
def test_flip_labels(draw: Draw) -> None:
    n, k = draw(st.integers(0, 30)), draw(st.integers(0, 5))
    y = labels_of(draw, n, max(1, k))
    kind, rate = some(draw, (*NOISES, "some")), draw(st.floats(-0.2, 1.2))
    seed = draw(st.integers(-2, 2**33))
    outside = draw(st.integers(0, 4)) == 0 and n > 0
    found = attempt(flip_labels, y + k if outside else y, k, kind, rate, seed)
    sound = kind in NOISES and 0 <= rate < 1 and seed >= 0 and k >= 1
    sound = sound and not outside and (k > 1 or not rate)
    assert isinstance(found, Refused) == (not sound)
    if not sound:
        return
    for c in range(k):
        mine = y == c
        assert int((found[mine] != c).sum()) == round(rate * int(mine.sum()))
        if kind == "pairwise":
            assert set(found[mine].tolist()) <= {c, (c + 1) % k}
    assert bool(((found >= 0) & (found < k)).all())
    assert isinstance(attempt(flip_labels, y.float(), k, kind, rate, seed), Refused)


@fuzz(flip_where_unsure, averaged, part=0.5)
def test_flip_where_unsure(draw: Draw) -> None:
    n, k, size = draw(st.integers(0, 20)), draw(st.integers(1, 4)), draw(st.integers(1, 12))
    y, rate = labels_of(draw, n, k), draw(st.floats(0, 1))
    images = torch.randint(256, (n, some(draw, (1, 3)), size, 3)).to(torch.uint8)
    outside = draw(st.integers(0, 4)) == 0 and n > 0
    given = (y + k if outside else y, k, rate, draw(st.integers(0, 2**31)))
    found = attempt(flip_where_unsure, images, *given)
    sound = n > 0 and rate < 1 and not outside and (k > 1 or not rate)
    assert isinstance(found, Refused) == (not sound)
    if not sound:
        return
    for c in range(k):
        mine = y == c
        assert int((found[mine] != c).sum()) == round(rate * int(mine.sum()))
    assert bool(((found >= 0) & (found < k)).all())
    assert torch.equal(found, flip_where_unsure(images, *given))
    small = attempt(averaged, images)
    assert small.shape == (n, images.shape[1], min(size, 7), 3)
    assert isinstance(attempt(flip_where_unsure, images[:-1], *given), Refused)


@fuzz(ClassIndex, ClassIndex.draw, ClassIndex.draw_others)
def test_classmates(draw: Draw) -> None:
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    y = labels_of(draw, n, k)
    mates = attempt(ClassIndex, y, k, generator(draw))
    found = attempt(mates.draw, y)
    assert torch.equal(y[found], y)
    index, many = torch.arange(n), draw(st.integers(-1, 6))
    others = attempt(mates.draw_others, index, y, many)
    assert isinstance(others, Refused) == (many < 0)
    if many >= 0:
        assert others.shape == (many, n)
        for i, mine in enumerate(others.T.tolist()):
            rest = set((y == y[i]).nonzero()[:, 0].tolist()) - {i}
            assert set(mine) <= (rest or {i})
            assert len(set(mine)) == many or len(rest) < many
    assert isinstance(attempt(mates.draw_others, index, y[:-1], 1), Refused)
    assert isinstance(attempt(ClassIndex, y + k, k), Refused)
    assert isinstance(attempt(ClassIndex, y.float(), k), Refused)
