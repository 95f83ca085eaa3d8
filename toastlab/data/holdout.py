"""Which images stay in training, and which are held out or left out, by row numbers."""

import numpy as np

from toastlab.core.errors import DataError
from toastlab.data.raw import Raw

TEST_SHARE = 0.15  # of a source without a test split


def three_splits(raw: Raw, val_share: float, seed: int) -> Raw:
    """Holds out what the source does not: a validation split, and a test split if there is none.

    Raises:
        DataError: too few images for that.
    """
    splits = dict(raw.splits)
    for name, share in (("test", TEST_SHARE), ("val", val_share)):
        if name not in splits:
            train = splits["train"]
            rest, held = hold_out(train.labels, share, seed)
            splits["train"], splits[name] = train.take(rest), train.take(held)
    return Raw({k: splits[k] for k in ("train", "val", "test")}, raw.classes, raw.note)


def hold_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers that stay and row numbers held out, ascending, each class in proportion.

    Raises:
        DataError: too few images for that.
    """
    from sklearn.model_selection import train_test_split  # here, since it takes a second

    rows = np.arange(len(labels))
    try:
        rest, held = train_test_split(rows, test_size=share, random_state=seed, stratify=labels)
    except ValueError as error:
        raise DataError(
            f"cannot hold out {share:.0%} of {len(labels)} images with every class in both parts: "
            f"{error} Add images, or give the split yourself."
        ) from error
    return np.sort(rest), np.sort(held)


def per_class(labels: np.ndarray, count: int, num_classes: int, seed: int) -> np.ndarray:
    """Row numbers of `count` images of each class, drawn at random, ascending.

    Raises:
        DataError: a class has fewer.
    """
    sizes = np.bincount(labels, minlength=num_classes)
    if sizes.min() < count:
        raise DataError(
            f"per class is {count}, but class {int(sizes.argmin())} has {int(sizes.min())} "
            "training images; ask for fewer, or 0 for all."
        )
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(labels == c))[:count] for c in range(num_classes)]
    return np.sort(np.concatenate(chosen))
