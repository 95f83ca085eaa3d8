"""Label noise on purpose: the clean labels stay known, so that analysis can look them up."""

from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.core.checks import check_labels
from toastlab.core.errors import BadValue, in_range, one_of

ClassNoise = Literal["symmetric", "pairwise"]  # which labels flip has nothing to do with the image
Noise = Literal["symmetric", "pairwise", "feature-dependent"]
NOISES = get_args(ClassNoise)

# Of the small network that says where labels are easily mistaken
SIDE = 7  # images are averaged down to so many pixels a side
HIDDEN = 32
STEPS = 60  # of Adam, each on all images
RATE = 0.03  # its learning rate


def flip_labels(
    labels: Tensor, num_classes: int, kind: ClassNoise, rate: float, seed: int
) -> Tensor:
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
    _check(labels, num_classes, rate, seed)
    random = np.random.default_rng(seed)
    clean = labels.cpu().numpy()
    noisy = clean.copy()
    for c in range(num_classes):
        members = np.flatnonzero(clean == c)
        chosen = random.permutation(members)[: round(rate * len(members))]
        step = 1 if kind == "pairwise" else random.integers(1, num_classes, len(chosen))
        noisy[chosen] = (c + step) % num_classes
    return torch.from_numpy(noisy).to(labels.device)


def flip_where_unsure(
    images: Tensor, labels: Tensor, num_classes: int, rate: float, seed: int
) -> Tensor:
    """Flips round(rate * n_c) labels of each class c, where a small network is unsure.

    The idea is that of Chen et al., 2021 (instance-dependent noise): people mistake what looks
    like something else. A network of one hidden layer learns the clean labels; with its p, labels
    are drawn without replacement with weights 1 - p_y, and each goes to another class c in
    proportion to p_c (the drawing is ours). Numbers are float64, so that the same seed gives the
    same flips however sums are ordered, but for labels whose keys agree to some twelve digits.

    Args:
        images: [N, C, H, W] uint8, or floating point in 0..1; labels: [N] int64, the clean ones.
        rate: share flipped, in [0, 1).

    Returns:
        [N] int64, on the labels' device.

    Raises:
        ValueError, TypeError: as of `flip_labels`, or images that do not fit.
    """
    _check(labels, num_classes, rate, seed)
    if images.ndim != 4 or len(images) != len(labels) or not images.numel():
        raise BadValue(
            f"images {list(images.shape)} and labels {list(labels.shape)} do not fit; give "
            "[N, C, H, W] and [N], N at least 1."
        )
    log_p = _small_network(images, labels.cpu(), num_classes, seed)
    random, clean = np.random.default_rng(seed), labels.cpu().numpy()
    others = log_p.scatter(1, labels.cpu()[:, None], -torch.inf)
    # adding Gumbel noise to logarithms of weights and taking the largest draws by these weights
    keys = others.logsumexp(1).numpy() + random.gumbel(size=len(clean))  # log(1 - p_y)
    mistaken = (others.numpy() + random.gumbel(size=others.shape)).argmax(1)
    noisy = clean.copy()
    for c in range(num_classes):
        members = np.flatnonzero(clean == c)
        order = members[np.argsort(-keys[members], kind="stable")]
        chosen = order[: round(rate * len(members))]
        noisy[chosen] = mistaken[chosen]
    return torch.from_numpy(noisy).to(labels.device)


def _check(labels: Tensor, num_classes: int, rate: float, seed: int) -> None:
    in_range("noise rate", rate, 0, 1, open_high=True)
    in_range("noise seed", seed, 0)
    check_labels(labels, num_classes)
    if num_classes < 2 and rate > 0:
        raise BadValue(f"noise rate is {rate:g}, but one class has no other to flip labels to.")


def _small_network(images: Tensor, labels: Tensor, num_classes: int, seed: int) -> Tensor:
    """Log-probabilities [N, K] float64 of a network with one hidden layer, on its training data."""
    generator = torch.Generator().manual_seed(seed)
    x = averaged(images).flatten(1)
    x = (x - x.mean(0)) / x.std(0, correction=0).clamp(min=1e-3)
    sizes = ((x.shape[1], HIDDEN), (HIDDEN, num_classes))
    weights = [
        torch.randn(a, b, generator=generator, dtype=torch.float64) / max(a, 1) ** 0.5
        for a, b in sizes
    ]
    weights += [torch.zeros(b, dtype=torch.float64) for _, b in sizes]
    for weight in weights:
        weight.requires_grad_()
    optimizer = torch.optim.Adam(weights, lr=RATE)

    def forward() -> Tensor:
        hidden = F.relu(x @ weights[0] + weights[2])
        return (hidden @ weights[1] + weights[3]).log_softmax(1)

    with torch.enable_grad():
        for _ in range(STEPS):
            optimizer.zero_grad()
            F.nll_loss(forward(), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return forward().detach()


def averaged(images: Tensor) -> Tensor:
    """Images [N, C, h, w] float64 on the host, averaged down to at most 7 pixels a side."""
    pixels = images.cpu().double()
    pixels = pixels / 255 if images.dtype == torch.uint8 else pixels
    size = (min(SIDE, images.shape[2]), min(SIDE, images.shape[3]))
    return F.adaptive_avg_pool2d(pixels, size)
