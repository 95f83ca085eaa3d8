"""Label noise on purpose: the clean labels stay known, so that analysis can look them up."""

import numpy as np
import torch
from torch import Tensor

from toastlab.errors import in_range, one_of

NOISES = ("symmetric", "pairwise")


def flip_labels(labels: Tensor, num_classes: int, kind: str, rate: float, seed: int) -> Tensor:
    """Flips round(rate * n_c) labels of each class c, chosen at random.

    Args:
        labels: [N] int64.
        kind: "symmetric": to one of the other classes, evenly; "pairwise": from c to c + 1 mod K.
        rate: share flipped, in [0, 1); no flipped label keeps its class.

    Returns:
        [N] int64, on the labels' device.
    """
    one_of("label noise", kind, NOISES)
    in_range("noise rate", rate, 0, 1, open_high=True)
    random = np.random.default_rng(seed)
    clean = labels.cpu().numpy()
    noisy = clean.copy()
    for c in range(num_classes):
        members = np.flatnonzero(clean == c)
        chosen = random.permutation(members)[: round(rate * len(members))]
        step = 1 if kind == "pairwise" else random.integers(1, num_classes, len(chosen))
        noisy[chosen] = (c + step) % num_classes
    return torch.from_numpy(noisy).to(labels.device)
