"""Label noise on purpose: the clean labels stay known, so that analysis can look them up."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from toastlab.core.checks import check_labels
from toastlab.core.errors import BadValue, in_range, one_of

Noise = Literal["symmetric", "pairwise"]
NOISES = get_args(Noise)


def flip_labels(labels: Tensor, num_classes: int, kind: Noise, rate: float, seed: int) -> Tensor:
    """Flips round(rate * n_c) labels of each class c, chosen at random.

    Args:
        labels: [N] int64.
        kind: "symmetric": to one of the other classes, evenly; "pairwise": from c to c + 1 mod K.
        rate: share flipped, in [0, 1); no flipped label keeps its class.

    Returns:
        [N] int64, on the labels' device.

    Raises:
        ValueError: labels out of range, a rate out of range, or one class only, which leaves no
            other to flip to. TypeError: labels that are no int64.
    """
    one_of("label noise", kind, NOISES)
    in_range("noise rate", rate, 0, 1, open_high=True)
    in_range("noise seed", seed, 0)
    check_labels(labels, num_classes)
    if num_classes < 2 and rate > 0:
        raise BadValue(f"noise rate is {rate:g}, but one class has no other to flip labels to.")
    random = np.random.default_rng(seed)
    clean = labels.cpu().numpy()
    noisy = clean.copy()
    for c in range(num_classes):
        members = np.flatnonzero(clean == c)
        chosen = random.permutation(members)[: round(rate * len(members))]
        step = 1 if kind == "pairwise" else random.integers(1, num_classes, len(chosen))
        noisy[chosen] = (c + step) % num_classes
    return torch.from_numpy(noisy).to(labels.device)
