"""Whether images are what was meant: their layout, their range, and that they show something."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from toastlab.core.errors import DataError, DataWarning

ROUNDING = 1e-3  # by how much resizing and half precision may leave 0..1
CHANNELS = (1, 3)


def check_images(images: Tensor) -> None:
    """Checks images [N, C, H, W] of bytes, or of floats in 0..1.

    Raises:
        DataError: channels come last, another dtype, pixels that are not finite or not in 0..1.
    """
    _, c, h, w = images.shape
    if w in CHANNELS and c > max(CHANNELS) and h > 1:
        raise DataError(
            f"images of shape {tuple(images.shape)} seem to have their channels last; give "
            "[N, C, H, W]: images.permute(0, 3, 1, 2), of an array images.transpose(0, 3, 1, 2)."
        )
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise DataError(f"images are {images.dtype}; give uint8, or floats in 0..1.")
    if not images.numel():
        return
    bad = ~torch.isfinite(images).flatten(1).all(1)
    if bool(bad.any()):
        first = int(bad.int().argmax())
        raise DataError(
            f"{int(bad.sum())} images hold NaN or infinite pixels, the first is image {first}; "
            "leave them out or repair them."
        )
    low, high = torch.stack(images.aminmax()).tolist()
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return
    bytes_like = low >= 0 and high <= 255
    fix = "divide them by 255, or give uint8" if bytes_like else "scale them to 0..1"
    raise DataError(
        f"images are floats from {low:g} to {high:g}, but must lie in 0..1: {fix} (mean and "
        "deviation are taken off while training)."
    )


def check_classes(labels: Tensor, num_classes: int | None) -> None:
    """Checks labels [N] before anything is made of them.

    Args:
        num_classes: K; None where the labels themselves are to say it.

    Raises:
        DataError: one is below 0, or so large that a class before it would have no image.
    """
    low, high = torch.stack(labels.aminmax()).tolist()
    if low < 0:
        raise DataError(f"labels begin at {low}, but classes are numbered from 0.")
    if num_classes is not None and high >= num_classes:
        raise DataError(
            f"labels run from {low} to {high}, but there are {num_classes} classes; labels must "
            f"lie in 0..{num_classes - 1}."
        )
    if high >= len(labels):
        raise DataError(
            f"a label is {high}, but there are {len(labels)} images, so that classes lack images: "
            "number the classes from 0 without gaps (torch.unique(labels, return_inverse=True)[1])."
        )


def flat_classes(images: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """[K] bool: all images of the class are one colour throughout.

    Args:
        images: [N, C, H, W]; labels: [N] int64 in 0..K-1.
    """
    low, high = (bound.float() for bound in images.flatten(2).aminmax(dim=2))  # [N, C]
    rows = labels[:, None].expand_as(low)
    empty = low.new_zeros(num_classes, low.shape[1])
    least = empty.scatter_reduce(0, rows, low, "amin", include_self=False)
    most = empty.scatter_reduce(0, rows, high, "amax", include_self=False)
    return (least == most).all(1) & (torch.bincount(labels, minlength=num_classes) > 0)


def warn_of_flat(images: Tensor, labels: Tensor | None = None, classes: Sequence[str] = ()) -> str:
    """Warns (`DataWarning`) where all images, or all of a class, are one flat colour.

    Args:
        images: [N, C, H, W], of a training split.
        labels: [N] int64 in 0..K-1, and classes: K names; without them these are a few images of
            the split, which say nothing of single classes.

    Returns:
        The warning's sentence, or nothing.
    """
    if not images.numel():
        return ""
    everyone = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    if bool(flat_classes(images, everyone, 1)):
        which = f"all {len(images)} training images that were looked at are"
    elif labels is not None and bool((flat := flat_classes(images, labels, len(classes))).any()):
        names = [repr(classes[c]) for c in flat.nonzero().flatten().tolist()]
        more = f" (and of {len(names) - 1} more)" if len(names) > 1 else ""
        which = f"all training images of class {names[0]}{more} are"
    else:
        return ""
    sentence = (
        f"{which} one flat colour, so that there is nothing to see in them: look at the files, and "
        "at how their pixels were scaled."
    )
    # no place in the code: it is the data's, and whoever reads the line looks there
    warnings.warn_explicit(sentence, DataWarning, "toastlab", 1)
    return sentence[0].upper() + sentence[1:]
