"""Medoids of large banks: exact within a memory budget, in any precision, near the CPU's roof."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kmedoids
import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers import carrying, tiny
from tests.medoids.clouds import KINDS, by_definition, cloud
from toastlab.bench.medoids import like_logits
from toastlab.core.errors import TrainingDiverged
from toastlab.medoids import bounds
from toastlab.medoids.blocks import MEMORY, Rows, alike_in_size, least_memory, padded
from toastlab.medoids.exact import DISTANCES, medoid_rows
from toastlab.medoids.targets import class_medoids
from toastlab.methods import Plan, PsKdConfig, Toast, ToastConfig
from toastlab.store.names import run_key
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train


def rows_of(z: Tensor, index: Tensor, dtype: torch.dtype = torch.float32) -> Rows:
    return Rows(z, index, MEMORY, dtype)


def peak_of(work: Callable[[], object]) -> int:
    """Most bytes that tensors held above what was held before."""
    with torch.profiler.profile(profile_memory=True) as profile:
        work()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pass is taken, in several blocks, however small the class."""
    monkeypatch.setattr("toastlab.medoids.blocks.TILE", 70)
    monkeypatch.setattr("toastlab.medoids.blocks.PART", 2**14)
    small = {"LITTLE": 0, "FEW": 1, "NARROWEST": 7, "PROMISING": 5, "FEW_COLUMNS": 9, "CHEAP": 0}
    for name, value in small.items():
        monkeypatch.setattr(bounds, name, value)


@pytest.fixture
def moments_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all pairs of a small class alone took longer than its moments."""
    monkeypatch.setattr(bounds, "CHEAP", 0)


@pytest.fixture
def no_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every class were too small for moments: products are asked first."""
    monkeypatch.setattr(bounds, "by_moments", lambda rows, real: real)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("first", ["moments", "products"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), [(201, 3), (201, 40), (90, 300)])
def test_no_bound_rules_out_the_medoid(
    kind: str, n: int, k: int, first: str, request: pytest.FixtureRequest
) -> None:
    """Whether moments or products are asked first, with blocks held and with blocks made again."""
    if first == "products":
        request.getfixturevalue("no_moments")
    for seed in range(3):
        z = cloud(kind, n, k, seed)
        everyone = [torch.arange(n)]
        expected = by_definition(z)
        assert int(medoid_rows(z, everyone, "euclidean")) == expected
        assert int(medoid_rows(z, everyone, "euclidean", least_memory(k))) == expected


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("memory", [MEMORY, least_memory(24)])
def test_classes_of_all_sizes_and_kinds_at_once(memory: int) -> None:
    """Side by side, filled up to the largest of their group, each as if it were alone."""
    g = torch.Generator().manual_seed(0)
    sizes = [1, 2, 3, 17, 18, 40, 41, 200, 230, 250, 251, 300]
    made = [cloud(KINDS[i % len(KINDS)], max(n, 4), 24, i)[:n] for i, n in enumerate(sizes)]
    mixed = torch.randperm(sum(sizes), generator=g)
    z = torch.cat(made)[mixed]
    places = mixed.argsort().split(sizes)
    found = medoid_rows(z, places, "euclidean", memory)
    expected = [place[by_definition(rows)] for place, rows in zip(places, made, strict=True)]
    assert found.tolist() == torch.stack(expected).tolist()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many classes were in each group that moments were asked of."""
    found: list[int] = []
    moments = bounds.by_moments

    def noted(rows: Rows, real: Tensor) -> Tensor:
        found.append(len(real))
        return moments(rows, real)

    monkeypatch.setattr(bounds, "by_moments", noted)
    return found


def test_a_small_class_alone_is_not_asked_for_its_moments(asked: list[int]) -> None:
    for n, groups in ((500, []), (700, [1])):
        z = cloud("logits", n, 100)
        assert int(medoid_rows(z, [torch.arange(n)], "euclidean")) == by_definition(z)
        assert asked == groups


@pytest.mark.parametrize(("fails", "groups"), [("never", 12), ("always", 3), ("first", 11)])
def test_moments_pause_after_they_failed(
    fails: str, groups: int, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For 1, 3, 7, .. groups after the 1st, 2nd, 3rd failure; the medoids are the same."""
    monkeypatch.setattr(bounds, "GROUP_BYTES", 4 * 300 * 64 * 2)  # two classes
    kinds = {"never": ["logits"] * 24, "always": ["two clouds"] * 24}
    kinds["first"] = ["two clouds"] * 2 + ["logits"] * 22
    made = [cloud(kind, 300, 64, seed) for seed, kind in enumerate(kinds[fails])]
    members = list(torch.arange(24 * 300).split(300))
    found = medoid_rows(torch.cat(made), members, "euclidean")
    assert (found - torch.arange(24) * 300).tolist() == [by_definition(z) for z in made]
    assert asked == [2] * groups


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_only_fill_up_count_for_nothing(kind: str) -> None:
    """A class filled up with itself, twice over, loses the same rows as alone."""
    z = cloud(kind, 150, 12)
    index, real = padded([torch.arange(150)])
    alone = bounds.by_moments(rows_of(z, index), real)
    index, real = padded([torch.arange(150), torch.arange(150).repeat(3)])
    both = bounds.by_moments(rows_of(z, index), real)
    assert torch.equal(both[0, :150], alone[0])
    assert not both[0, 150:].any()


@pytest.mark.parametrize("first", ["moments_first", "no_moments"])
@pytest.mark.parametrize("exponent", [-37, -22, -19, -12, 12, 18, 19, 30, 37])
def test_tiny_and_huge_logits(exponent: int, first: str, request: pytest.FixtureRequest) -> None:
    """Where squares, and their squares, are no float32 any more."""
    request.getfixturevalue(first)
    for z in (cloud("normal", 300, 40), cloud("logits", 300, 3)):
        scaled = z.double() * 10.0**exponent
        for dtype in (torch.float32, torch.float64):
            found = medoid_rows(scaled.to(dtype), [torch.arange(300)], "euclidean")
            assert int(found) == by_definition(z), dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), [(500, 100), (1281, 1000), (700, 10)])
def test_moments_leave_whatever_could_win(kind: str, n: int, k: int) -> None:
    """And of logits and of one cloud few else; what they sum lies where it is said to."""
    z = cloud(kind, n, k)
    index, real = padded([torch.arange(n), torch.arange(n - 90)])
    left = bounds.by_moments(rows_of(z, index), real)
    pairs = torch.cdist(z.double(), z.double(), compute_mode="donot_use_mm_for_euclid_dist")
    for part, found in ((pairs, left[0]), (pairs[:-90, :-90], left[1])):
        sums = part.sum(1)
        assert found[: len(sums)][sums <= sums.min() * (1 + 1e-12)].all()
        assert not found[len(sums) :].any()
    if kind in ("normal", "logits", "far off"):
        assert int(left[0].sum()) <= n / 16
    first = torch.arange(0, n, n // 7)[None]
    rows = rows_of(z, index[:1])
    a = torch.cat(list(rows.centred()), 1).square().sum(2)
    least, most = bounds.sums_of_products(rows, real[:1], first, a)
    exact = pairs.sum(1)[first]
    assert ((least <= exact) & (exact <= most)).all()
    near = 1e-4 if kind in ("normal", "logits") else 0.02
    assert (most - least <= near * exact).all()


def test_the_medoid_stays_where_another_row_is_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds within a per cent of the sums, and the lowest of them often another row's."""
    monkeypatch.setattr(bounds, "PROMISING", 1)
    monkeypatch.setattr(bounds, "FEW", 120)  # what is left is not summed
    others = 0
    for seed in range(20):
        z = cloud("normal", 120, 800, seed)
        index, real = padded([torch.arange(120)])
        left = bounds.by_moments(rows_of(z, index), real)[0]
        assert left[by_definition(z)]
        others += int(left.sum()) > 1
    assert others >= 5


def test_what_the_moments_leave_of_narrow_logits_is_summed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Classes of unlike sizes, side by side: of dozens of rows one or two are left, in each the
    medoid among them."""
    g, sizes = torch.Generator().manual_seed(0), (590, 560, 600, 540)
    z = torch.randn(sum(sizes), 10, generator=g) * torch.tensor([4, 2] + [1] * 4 + [0.5] * 4)
    members = list(torch.arange(len(z)).split(sizes))
    index, real = padded(members)
    at_once = bounds.by_moments(rows_of(z, index), real)
    monkeypatch.setattr(bounds, "FEW", len(z))
    before = bounds.by_moments(rows_of(z, index), real)
    assert not (at_once & ~before).any(), "nobody comes back"
    assert before.sum(1).amin() > 30
    assert at_once.sum(1).amax() <= 3
    for c, own in enumerate(members):
        assert at_once[c, by_definition(z[own])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), [(500, 100), (300, 400), (700, 10), (40, 2)])
def test_lower_bounds_are_below_and_near_the_sums(kind: str, n: int, k: int) -> None:
    """Of all rows below; of one cloud, in many columns, by no more than 4 % for the best ones."""
    z = cloud(kind, n, k)
    index, real = padded([torch.arange(n)])
    rows = rows_of(z, index)
    squares = torch.cat([bounds._squares(x, bounds._wide(rows)) for x in rows.centred()], 2)
    low = bounds._lower_bounds(rows, real, squares)[0]
    sums = torch.cdist(z.double(), z.double(), compute_mode="donot_use_mm_for_euclid_dist").sum(1)
    assert (low <= sums * (1 + 1e-12)).all()
    if kind in ("normal", "logits", "far off") and k >= 100:
        best = sums.topk(10, largest=False).indices
        assert (low[best] >= 0.96 * sums[best]).all()


@pytest.mark.parametrize("wide", [1, 3, 64])
def test_the_largest_eigenvalue_is_not_exceeded(wide: int) -> None:
    g = torch.Generator().manual_seed(wide)
    for scale in (1e-12, 1.0, 1e12):
        y = torch.randn(2, 5, 40, wide, generator=g) * torch.rand(wide, generator=g) ** 4 * scale
        y[0, 0] = 0
        squares = y.mT @ y
        exact = torch.linalg.eigvalsh(squares.double())[..., -1:]
        found = bounds._largest(squares, 1e-5)
        assert (found >= exact).all()
        assert (found <= 1.7 * exact + 1e-30).all()


def test_groups_are_alike_in_size() -> None:
    sizes = [5, 100, 99, 80, 20, 300, 6, 5, 1]
    groups = list(alike_in_size(sizes, 300))
    assert sorted(c for group in groups for c in group) == list(range(len(sizes)))
    for group in groups:
        rows = len(group) * max(sizes[c] for c in group)
        assert len(group) == 1 or rows <= 300
        assert 4 * rows <= 5 * sum(sizes[c] for c in group)
    assert groups == [[5], [1, 2, 3], [4], [6, 0, 7], [8]]
    assert list(alike_in_size([], 10)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_over_products_lie_where_they_are_said_to(kind: str, dtype: torch.dtype) -> None:
    """Every row that could win by the exact sums and the claimed error is left, few others are."""
    z = cloud(kind, 500, 24)
    rows = rows_of(z, torch.arange(500)[None], dtype)
    left = bounds.by_products(rows, torch.arange(500))
    sums = torch.cdist(z.double(), z.double(), compute_mode="donot_use_mm_for_euclid_dist").sum(1)
    best = sums <= sums.min() * (1 + 1e-12)
    assert set(best.nonzero()[:, 0].tolist()) <= set(left.tolist())
    worst = float(sums[left].max() / sums.min()) - 1
    assert worst <= (0.02 if dtype == torch.float32 else 1e-6), worst
    squares = torch.cat([bounds._squares(x, 9).sum(0) for x in rows.centred()], 1)
    every = torch.arange(500)[None]
    least, most = bounds.sums_of_products(rows, torch.ones_like(every).bool(), every, squares)
    assert ((least[0] <= sums) & (sums <= most[0])).all()
    part = torch.arange(100, 400)
    some = bounds.by_products(rows, part)
    assert int(part[sums[part].argmin()]) in some.tolist()


class Products(TorchDispatchMode):
    """What matrix products are made of, and how precise they may be."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[tuple[str, torch.dtype, str]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm", "baddbmm", "baddbmm_", "addmm_", "mv"):
            self.seen.add((name, found.dtype, torch.get_float32_matmul_precision()))
        return found


@pytest.mark.parametrize("first", ["moments", "products"])
def test_products_keep_their_precision(first: str, request: pytest.FixtureRequest) -> None:
    """Under autocast, and where the user allows float32 products to be rounded to 16 bits."""
    request.getfixturevalue("no_moments" if first == "products" else "moments_first")
    z = cloud("normal", 600, 64, seed=1)
    labels = torch.zeros(600, dtype=torch.int64)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16), Products() as products:
            found = class_medoids(z, labels, scope="all").index[0]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert int(found) == by_definition(z)
    assert {"bmm", "baddbmm_"} <= {name for name, *_ in products.seen} or first == "products"
    # nothing was switched; float32 products would be rounded here, so there is none
    assert {(dtype, allowed) for _, dtype, allowed in products.seen} == {(torch.float64, "medium")}


def test_float32_products_are_left_where_devices_round_differently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyTorch's newer switches set devices apart, and then the one for all cannot be read."""

    def differ() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", differ)
    z = cloud("normal", 600, 64, seed=1)
    assert int(medoid_rows(z, [torch.arange(600)], "euclidean")) == by_definition(z)


@pytest.mark.parametrize("distance", DISTANCES)
def test_extra_memory_stays_under_the_budget(distance: str) -> None:
    """One class of 8,000 x 60: 256 MB as pairs in float32. 8 MiB, and 64 bytes a sample; of
    40,000 x 10, most of it is what is kept of each row."""
    n = 1500 if distance == "manhattan" else 8000
    bank, labels = cloud("normal", n, 60), torch.zeros(n, dtype=torch.int64)
    budget, found = 8 * 2**20, []

    def work() -> None:
        found.append(class_medoids(bank, labels, distance=distance, scope="all", memory=budget))

    assert 0 < peak_of(work) <= budget + 64 * n
    if distance == "euclidean":
        large = cloud("normal", 40_000, 10)
        zeros = torch.zeros(len(large), dtype=torch.int64)
        many = peak_of(lambda: class_medoids(large, zeros, scope="all", memory=2**20))
        assert many <= 2**20 + 184 * len(large)
    usual = class_medoids(bank, labels, distance=distance, scope="all")
    assert torch.equal(found[0].index, usual.index)


def test_a_budget_smaller_than_the_class() -> None:
    """12,000 x 100 float32 rows take 4.8 MB themselves: they are read again and again."""
    bank, labels = cloud("logits", 12_000, 100).half(), torch.zeros(12_000, dtype=torch.int64)
    budget, found = 2 * 2**20, []

    def work() -> None:
        found.append(class_medoids(bank, labels, scope="all", memory=budget).index)

    assert 0 < peak_of(work) <= budget + 64 * len(bank)
    assert torch.equal(found[0], class_medoids(bank, labels, scope="all").index)


def test_a_budget_for_many_small_classes() -> None:
    """300 classes of 17 to 24: what is kept of a class may be more than its rows."""
    sizes = [17 + c % 8 for c in range(300)]
    bank = cloud("logits", sum(sizes), 300)
    labels = torch.arange(300).repeat_interleave(torch.tensor(sizes))
    budget, found = least_memory(300), []

    def work() -> None:
        found.append(class_medoids(bank, labels, scope="all", memory=budget))

    own = 4 * 300 * 300  # of the medoids' logits
    assert 0 < peak_of(work) <= budget + 64 * len(bank) + own
    assert torch.equal(found[0].index, class_medoids(bank, labels, scope="all").index)


def test_too_small_a_budget_is_said() -> None:
    z, labels = torch.randn(40, 5), torch.zeros(40, dtype=torch.int64)
    with pytest.raises(ValueError, match="memory is 1000 bytes, but medoids among 5 classes need"):
        class_medoids(z, labels, memory=1000)
    with pytest.raises(ValueError, match="medoid memory is 3"):
        carrying(medoid_memory=3)


def test_only_rows_that_were_seen_must_be_finite() -> None:
    z, labels = torch.randn(400, 3), torch.zeros(400, dtype=torch.int64)
    z[7], z[200] = torch.nan, torch.inf
    seen = torch.ones(400, dtype=torch.bool)
    seen[7] = False
    with pytest.raises(TrainingDiverged, match="sample 200 "):
        class_medoids(z, labels, scope="all", seen=seen, memory=least_memory(3))
    seen[200] = False
    assert int(class_medoids(z, labels, scope="all", seen=seen).index[0]) >= 0


# --- a float16 bank -------------------------------------------------------------------------------


def test_medoids_of_a_float16_bank_are_exact_for_what_is_stored() -> None:
    method = carrying(scope="all").build(torch.arange(300) % 3, 3, 4)
    assert isinstance(method, Toast)
    method.setup(torch.nn.Identity(), torch.zeros(2, 3), Plan(bank="float16"))
    bank = method.bank
    assert bank.logits.dtype == torch.float16
    everyone = torch.arange(300)
    yes = torch.ones(300, dtype=torch.bool)
    bank.write(everyone, cloud("normal", 300, 3), yes, ~yes)
    method.end_epoch()
    for c in range(3):
        members = everyone[everyone % 3 == c]
        assert int(method.medoids.index[c]) == int(members[by_definition(bank.logits[members])])
    assert method.medoids.logits.dtype == torch.float32
    assert torch.equal(method.medoids.logits, bank.logits[method.medoids.index].float())
    bank.write(everyone, torch.full((300, 3), 7e4), yes, ~yes)
    with pytest.raises(TrainingDiverged, match="not finite"):
        method.end_epoch()


@pytest.mark.parametrize(
    "method",
    [carrying(), carrying(source="memory", criterion="medoid-distance"), PsKdConfig()],
)
def test_a_run_with_a_float16_bank_resumes_to_the_bit(
    method: ToastConfig | PsKdConfig, tmp_path: Path
) -> None:
    config = TrainConfig(method=method, epochs=3, batch_size=16, bank="float16", record="summary")
    data, file = tiny(), tmp_path / "checkpoint.pt"
    whole = train(config, dataset=data, device="cpu")
    stop: list[float] = []

    def enough() -> bool:
        return len(stop) == 2

    first = train(
        config,
        dataset=data,
        device="cpu",
        checkpoint=file,
        on_epoch=lambda row: stop.append(row["epoch"]),
        should_stop=enough,
    )
    rest = train(config, dataset=data, device="cpu", checkpoint=file)
    assert first is None
    assert whole is not None
    assert rest is not None
    for name, tensor in whole.weights.items():
        assert torch.equal(tensor, rest.weights[name]), name
    for name, array in whole.medoids.items():
        assert np.array_equal(array, rest.medoids[name]), name


def test_what_names_a_run() -> None:
    """Memory for the medoids changes no result and no name; the bank's dtype changes both."""
    usual = TrainConfig()
    less = replace(usual, method=ToastConfig(medoid_memory=8))
    assert run_key(usual, "x") == run_key(less, "x")
    assert run_key(usual, "x") != run_key(replace(usual, bank="float16"), "x")
    with pytest.raises(ValueError, match="unknown bank 'half'"):
        TrainConfig(bank="half")


# --- as large as real banks; `toastlab bench` times these -----------------------------------------

SHAPES = [(100, 500, 100), (4, 1281, 1000), (1, 6000, 10), (1, 6000, 100)]  # classes, n, K


@pytest.mark.parametrize(("classes", "n", "k"), SHAPES)
def test_the_medoids_of_kmedoids_on_sklearns_distances(classes: int, n: int, k: int) -> None:
    bank = like_logits(n, k, classes, torch.device("cpu")).float()
    labels = torch.arange(classes).repeat_interleave(n)
    pairs = map(pairwise_distances, np.split(bank.numpy(), classes))
    expected = [c * n + int(kmedoids.pam_build(p, 1).medoids[0]) for c, p in enumerate(pairs)]
    assert class_medoids(bank, labels, scope="all").index[:classes].tolist() == expected
