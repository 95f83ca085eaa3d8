"""Second-split forgetting (Maini et al., 2022): learn one half, then the other, and see what goes.

A network learns one half of the training data and is then trained on the other half alone. Samples
of the first half with a wrong label are forgotten within few epochs; what is rare but right stays
longer. Both halves take turns, so that every sample has a value. A short loop of its own, since
between the two trainings it changes the data and keeps the network. Letters: N samples.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toastlab.analysis.scores import second_split_forgetting
from toastlab.core.errors import BadType
from toastlab.data.augment import Augment, pixel_statistics
from toastlab.data.dataset import Dataset
from toastlab.data.splits import Split
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig, make_optimizer
from toastlab.training.models import build


def parts(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Which of `count` parts each sample is in [N], every class spread evenly and at random.

    Args:
        labels: [N].
    """
    random, part = np.random.default_rng(seed), np.empty(len(labels), dtype=np.int64)
    for c in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == c))
        # a class begins where it likes, or the first parts would be the larger ones
        part[members] = (np.arange(len(members)) + random.integers(count)) % count
    return part


def second_split(data: Dataset, config: TrainConfig, device: str = "cpu") -> np.ndarray:
    """The epoch [N] of the second training from which a sample is wrong; epochs + 1: it is not.

    Cross-entropy at the config's learning rate, which stays. Each training has all the epochs of
    the config on its half of the data, so that the whole costs two runs.

    Args:
        data: with its training split in memory; labels as trained on.
        config: network, batch size, epochs, optimizer and seed.

    Raises:
        TypeError: the images are on disk.
    """
    split, chosen = data.train, devices.choose(device)
    if not isinstance(split, Split):
        raise BadType("images are on disk; load them into memory with stream=False.")
    forgotten = np.empty(len(split))
    half = parts(split.labels.cpu().numpy(), 2, config.seed)
    with devices.reproducible(config.seed, config.threads, chosen):
        labels = split.labels.to(chosen)
        normal = Augment(config.augment, *pixel_statistics(split.images))
        images = normal.evaluate(split.images.to(chosen))
        for first in (0, 1):
            rows = [torch.from_numpy(np.flatnonzero(half == side)).to(chosen) for side in (0, 1)]
            model = build(
                config.model, data.num_classes, data.channels, data.image_size, config.seed
            ).to(chosen)
            order = torch.Generator().manual_seed(config.seed + first)
            own, other = rows[first], rows[1 - first]
            optimizer, size = make_optimizer(config, model), config.batch_size
            for _ in range(config.epochs):
                _epoch(model, optimizer, images, labels, _batches(own, size, order))
            right = []
            for _ in range(config.epochs):
                _epoch(model, optimizer, images, labels, _batches(other, size, order))
                right.append((_logits(model, images[own]).argmax(1) == labels[own]).cpu().numpy())
            forgotten[own.cpu().numpy()] = second_split_forgetting(np.stack(right))
    return forgotten


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    batches: Iterator[Tensor],
) -> None:
    """One epoch over some rows, batch by batch."""
    model.train()
    for batch in batches:
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _batches(rows: Tensor, size: int, order: torch.Generator) -> Iterator[Tensor]:
    mixed = rows[torch.randperm(len(rows), generator=order).to(rows.device)]
    for batch in mixed.split(size):
        if len(batch) > 1:  # batch norm has no statistics of one
            yield batch


@torch.no_grad()
def _logits(model: nn.Module, images: Tensor) -> Tensor:
    model.eval()
    return torch.cat([model(part).float() for part in images.split(1024)])
