"""Medoids against what else gives them, and against the matrix products that they consist of.

Letters: N samples, K classes, n rows of one class.
"""

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.metrics import pairwise_distances
from torch import Tensor

from toastlab.bench.config import BenchConfig, Row, over_parts
from toastlab.medoids import class_medoids

ROOF, KMEDOIDS = "torch.mm of all pairs", "kmedoids on them"  # names of two ways
SHAPES = {  # n, K, and how many classes
    "CIFAR-100's": (500, 100, 100),
    "four of ImageNet's": (1281, 1000, 4),
    "a large class": (6000, 100, 1),
}
# Where the bound rules out too little, or takes longer than all pairs.
HARD = {
    "two clouds": (500, 100, 100),
    "heavy tails": (500, 100, 100),
    "a small class alone": (500, 100, 1),
}


def like_logits(n: int, k: int, classes: int, device: torch.device, seed: int = 0) -> Tensor:
    """[n x classes, K] float16, made class by class: features of unequal length through a head of
    rank 64, the own class raised; class c has n rows after one another."""
    g = torch.Generator().manual_seed(seed)
    head = torch.randn(64, k, generator=g) / 8
    bank = torch.empty(n * classes, k, dtype=torch.float16, device=device)
    for c in range(classes):
        length = 0.5 + torch.rand(n, 1, generator=g)
        block = torch.randn(n, 64, generator=g) * length @ head
        block[:, c % k] += 8 * torch.rand(n, generator=g)
        bank[c * n : (c + 1) * n] = block.half()
    return bank


def made(name: str, n: int, k: int, classes: int, device: torch.device) -> Tensor:
    """[n x classes, K] float16 for a row of `SHAPES` or `HARD`: as `like_logits`, or rows of two
    clouds nine apart in each column, or rows whose lengths differ as e^(2 x), x a normal number."""
    if name not in ("two clouds", "heavy tails"):
        return like_logits(n, k, classes, device)
    g = torch.Generator().manual_seed(0)
    z = torch.randn(n * classes, k, generator=g)
    if name == "two clouds":
        z += 9 * (torch.rand(len(z), 1, generator=g) > 0.5)
    else:
        z *= torch.randn(len(z), 1, generator=g).mul(2).exp()
    return z.half().to(device)


def medoids(config: BenchConfig, device: torch.device) -> Iterator[list[Row]]:
    """Exact Euclidean medoids of made-up logits against what else gives them, and against the
    matrix products of all pairs alone (torch.mm, float32)."""
    shapes = {"tiny": (60, 10, 2)} if config.small else SHAPES | HARD
    parts = (
        (f"{name}: {classes} x {n} x {k}", _ways(made(name, n, k, classes, device), n), classes)
        for name, (n, k, classes) in shapes.items()
    )
    return over_parts("logits", "way", parts, config.rounds, device)


def _ways(bank: Tensor, n: int) -> dict[str, Callable[[], object]]:
    wide = bank.float()
    arrays = np.split(wide.cpu().numpy(), len(bank) // n)
    labels = torch.arange(len(arrays), device=bank.device).repeat_interleave(n)
    ways: dict[str, Callable[[], object]] = {
        "toastlab": lambda: class_medoids(bank, labels, scope="all").index.tolist(),
        ROOF: lambda: [float(torch.mm(z, z.T)[0, 0]) for z in wide.split(n)],
        "scikit-learn distances": lambda: [
            int(pairwise_distances(z).sum(1).argmin()) for z in arrays
        ],
    }
    if importlib.util.find_spec("kmedoids") is not None:
        import kmedoids

        ways[KMEDOIDS] = lambda: [
            int(kmedoids.pam_build(pairwise_distances(z), 1).medoids[0]) for z in arrays
        ]
    return ways


def imagenet(rows: list[Row]) -> Row:
    """What all 1,000 classes of ImageNet would take here, at the rate of the four in `rows`.

    Returns:
        seconds: of one class; `whole_here_s`: of all; `roof_share`: torch.mm's time for all pairs
        over ours.
    """
    ours, roof = (r for r in rows if "ImageNet" in r["logits"] and r["way"] in ("toastlab", ROOF))
    one = ours["seconds"] / SHAPES["four of ImageNet's"][2]
    return {"seconds": one, "whole_here_s": 1000 * one, "roof_share": roof["time_ratio"]}
