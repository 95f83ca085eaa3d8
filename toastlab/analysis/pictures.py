"""The images of samples, from whatever the user has: an array, files, or a function of rows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toastlab.core.errors import DataError
from toastlab.data.image_files import Files
from toastlab.data.raw import as_tensor

Pictures = Callable[[np.ndarray], np.ndarray]  # rows [n] -> uint8 [n, C, H, W]
SIDE = 64  # pixels of the squares that files are resized to


def pictures(images: Any, count: int) -> Pictures:
    """A function that gives some images, uint8 [n, C, H, W], by rows [n].

    Args:
        images: uint8, or floating point in 0..1: [N, H, W], [N, C, H, W] or [N, H, W, C], C 1 or 3;
            or N paths of image files, of any sizes; or such a function itself.
        count: N.

    Raises:
        DataError: something else, or of more or fewer samples.
    """
    if callable(images):
        return lambda rows: _as_bytes(images(np.asarray(rows)))
    if isinstance(images, Sequence) and all(isinstance(one, str | Path) for one in images):
        _check_count(len(images), count)
        files = Files(tuple(Path(one) for one in images), SIDE, grey=False)
        return lambda rows: files.some(list(map(int, rows)), 4).numpy()
    pixels = as_tensor("images", images)
    if not (pixels.dtype == torch.uint8 or pixels.is_floating_point()):
        raise DataError(f"images are {pixels.dtype}; give uint8, or floats in 0..1.")
    array = _channels_first(pixels.detach().cpu().numpy())
    _check_count(len(array), count)
    return lambda rows: _as_bytes(array[rows])


def _check_count(found: int, wanted: int) -> None:
    if found != wanted:
        raise DataError(f"{found} images for {wanted} samples; give one for each.")


def _channels_first(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array.transpose(0, 3, 1, 2)
    raise DataError(
        f"images have the shape {array.shape}; give [N, H, W], or [N, C, H, W] or [N, H, W, C] "
        "with one or three channels."
    )


def _as_bytes(images: np.ndarray) -> np.ndarray:
    images = _channels_first(np.asarray(images))
    if images.dtype == np.uint8:
        return images
    return np.asarray((images.astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8))
