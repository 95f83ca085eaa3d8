"""Medoids against what else gives them, and against the matrix products that they consist of.

Letters: N samples, K classes, n rows of one class.
"""

import importlib.util
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import torch
from sklearn.metrics import pairwise_distances
from torch import Tensor

from toastlab.bench.config import BenchConfig, Row, against
from toastlab.bench.timing import in_turns
from toastlab.medoids.targets import class_medoids

# Published peaks of two GPUs in TFLOP/s of float32 without tensor cores, and in TB/s of memory:
# the vendor's own figures (data sheets of A100 SXM 80 GB and H100 SXM), not measured here.
PEAKS = {"A100": (19.5, 2.039), "H100 SXM": (67.0, 3.35)}
IMAGENET = (1_281_167, 1000)  # N, K
ROOF, KMEDOIDS = "torch.mm of all pairs", "kmedoids on them"  # names of two ways


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


def medoids(config: BenchConfig, device: torch.device) -> Iterator[list[Row]]:
    """Exact Euclidean medoids of made-up logits against what else gives them, and against the
    matrix products of all pairs alone (torch.mm, float32)."""
    shapes = {
        "CIFAR-100's": (500, 100, 100),
        "four of ImageNet's": (1281, 1000, 4),
        "a large class": (6000, 100, 1),
    }
    if config.small:
        shapes = {"tiny": (60, 10, 2)}
    done: list[Row] = []
    for name, (n, k, classes) in shapes.items():
        bank = like_logits(n, k, classes, device)
        labels = torch.arange(classes, device=device).repeat_interleave(n)
        rows: list[Row] = []
        what = f"{name}: {classes} x {n} x {k}"
        for rows in against(_ways(bank, labels, n), config.rounds, device, classes, "way"):
            yield done + [{"logits": what, **row} for row in rows]
        done += [{"logits": what, **row} for row in rows]
    yield done


def _ways(bank: Tensor, labels: Tensor, n: int) -> dict[str, Callable[[], object]]:
    held = bank.float()
    array = held.cpu().numpy()

    def ours() -> object:
        return class_medoids(bank, labels, scope="all").index.tolist()

    def roof() -> object:
        return [float(torch.mm(z, z.T)[0, 0]) for z in held.split(n)]

    def sklearn() -> object:
        return [
            int(pairwise_distances(z).sum(1).argmin()) for z in np.split(array, len(array) // n)
        ]

    ways: dict[str, Callable[[], object]] = {
        "toastlab": ours,
        ROOF: roof,
        "scikit-learn distances": sklearn,
    }
    if importlib.util.find_spec("kmedoids") is not None:
        import kmedoids

        def pam() -> object:
            return [
                int(kmedoids.pam_build(pairwise_distances(z), 1).medoids[0])
                for z in np.split(array, len(array) // n)
            ]

        ways[KMEDOIDS] = pam
    return ways


def imagenet(device: torch.device, rounds: int = 5, classes: int = 4) -> Row:
    """Some classes of ImageNet's medoids, measured, and what the whole would take.

    On paper: all pairs within each class are 2 n^2 K operations, of which symmetry leaves half. At
    a GPU's published peak that is the least time for the products; the bounds leave out most of
    them, so what is reached here of the CPU's roof, if reached there too, is less time than that.
    Reading the float16 bank once is below both.

    Args:
        classes: so many are measured.

    Returns:
        seconds: of one class here; flop: of all pairs of the whole, without symmetry;
        `roof_share`: torch.mm's time for all pairs over ours; `plan`: per GPU the seconds for all
        pairs at peak, and at that share.
    """
    total, k = IMAGENET
    n = round(total / k)
    bank = like_logits(n, k, classes, device)
    labels = torch.arange(classes, device=device).repeat_interleave(n)
    ways = _ways(bank, labels, n)
    works = {"ours": ways["toastlab"], "roof": ways[ROOF]}
    times = list(in_turns(works, rounds, device))
    seconds = median(t["ours"] for t in times) / classes
    share = median(t["roof"] / t["ours"] for t in times)
    flop = 2.0 * k * n * n * k
    plan = {
        gpu: {
            "peak_tflops": peak,
            "products_at_peak_s": flop / peak / 1e12,
            "at_the_share_measured_s": flop / peak / 1e12 / share,
            "reading_the_bank_s": 2 * total * k / band / 1e12,
        }
        for gpu, (peak, band) in PEAKS.items()
    }
    whole = seconds * k
    return {
        "seconds": seconds,
        "whole_here_s": whole,
        "flop": flop,
        "roof_share": share,
        "plan": plan,
    }
