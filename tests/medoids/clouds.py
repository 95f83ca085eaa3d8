"""Rows of one class of many kinds, and their medoid by definition."""

import torch
from torch import Tensor

from toastlab.bench.medoids import like_logits

KINDS = ("normal", "logits", "heavy tails", "two clouds", "one at the mean", "copies", "far off")


def cloud(kind: str, n: int, k: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, k, generator=g)
    if kind == "logits":
        return like_logits(n, k, 1, torch.device("cpu"), seed).float()
    if kind == "heavy tails":
        return z * torch.randn(n, 1, generator=g).mul(2).exp()
    if kind == "two clouds":
        return z + 9 * (torch.rand(n, 1, generator=g) > 0.5)
    if kind == "one at the mean":
        z = torch.cat([z, -z])[: n - 1]
        return torch.cat([z, z.mean(0, keepdim=True)])
    if kind == "copies":
        return z[: n // 4].repeat(5, 1)[:n]
    return z + 1000 if kind == "far off" else z


def by_definition(z: Tensor, p: float = 2.0) -> int:
    pairs = torch.cdist(z.double(), z.double(), p=p, compute_mode="donot_use_mm_for_euclid_dist")
    sums = pairs.sum(1)
    return int((sums <= sums.min() * (1 + 1e-12)).int().argmax())
