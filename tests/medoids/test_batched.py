"""Medoids of many classes at once, as on a GPU: the same as class by class."""

import pytest
import torch

from tests.medoids.clouds import KINDS, by_definition, cloud
from toastlab.medoids import blocks, bounds
from toastlab.medoids.batched import medoid_rows_at_once
from toastlab.medoids.blocks import MEMORY, least_memory
from toastlab.medoids.exact import class_medoids, medoid_rows

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(params=["whole", "small blocks"])
def block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "small blocks":
        monkeypatch.setattr(blocks, "TILE", 70)
        monkeypatch.setattr(blocks, "PART", 2**14)
        monkeypatch.setattr(bounds, "PROMISING", 5)
        monkeypatch.setattr(bounds, "FEW_COLUMNS", 9)


@pytest.mark.usefixtures("block_size")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), [(1, 3), (40, 3), (201, 40), (90, 300)])
def test_one_class(kind: str, n: int, k: int) -> None:
    for seed in range(3):
        z = cloud(kind, max(n, 4), k, seed)[:n]
        for memory in (MEMORY, least_memory(k)):
            found = medoid_rows_at_once(z, [torch.arange(n)], memory)
            assert found.tolist() == [by_definition(z)]


@pytest.mark.usefixtures("block_size")
@pytest.mark.parametrize("memory", [MEMORY, least_memory(24)])
@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_classes_of_all_sizes_and_kinds(memory: int, precision: str) -> None:
    g = torch.Generator().manual_seed(0)
    sizes = [1, 2, 3, 17, 18, 40, 41, 200, 230, 250, 251, 300]
    made = [cloud(KINDS[i % len(KINDS)], max(n, 4), 24, i)[:n] for i, n in enumerate(sizes)]
    mixed = torch.randperm(sum(sizes), generator=g)
    z, places = torch.cat(made)[mixed], mixed.argsort().split(sizes)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found = medoid_rows_at_once(z, places, memory)
    finally:
        torch.set_float32_matmul_precision(before)
    expected = [int(place[by_definition(rows)]) for place, rows in zip(places, made, strict=True)]
    assert found.tolist() == expected


def test_few_rows_are_left_to_be_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of products are close: of logits they leave a handful, which makes it quick."""
    left: list[int] = []
    pairs = bounds.all_pairs

    def noted(*args: object) -> torch.Tensor:
        found = pairs(*args)  # type: ignore[arg-type]
        left.extend(found.sum(1).tolist())
        return found

    monkeypatch.setattr("toastlab.medoids.batched.all_pairs", noted)
    z = torch.cat([cloud("logits", 300, 50, seed) for seed in range(8)])
    medoid_rows_at_once(z, list(torch.arange(len(z)).split(300)), MEMORY)
    assert len(left) == 8
    assert max(left) <= 4


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_they_are_those_of_the_cpu(kind: str) -> None:
    """Of classes of all sizes, and of whole logits; the device is asked a few times only."""
    sizes = [1, 2, 18, 41, 200, 201, 700]
    z = torch.cat([cloud(kind, max(n, 4), 24, n)[:n] for n in sizes])
    places = list(torch.arange(len(z)).split(sizes))
    here = medoid_rows(z, places, "euclidean")
    there = medoid_rows(z.cuda(), [p.cuda() for p in places], "euclidean")
    assert there.tolist() == here.tolist()
    z = torch.cat([cloud(kind, 60, 20, seed) for seed in range(20)])
    labels = torch.arange(20).repeat_interleave(60)
    found = class_medoids(z.cuda(), labels.cuda(), scope="all").index
    assert found.tolist() == class_medoids(z, labels, scope="all").index.tolist()
