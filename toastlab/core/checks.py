"""Whether tensors or arrays belong together: looked at on the host, without waiting for a device.

PyTorch and NumPy would stretch a [B, 1] over [B, K], or say in their own words what they cannot do.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import FakeTensor  # private, and asked for here only, see `is_fake`

from toastlab.core.errors import BadType, BadValue, in_range

MOST_CLASSES = 2**16  # of a table [K, K] that is 16 GiB already; a label beyond is a mistake
FLOAT, INT, BOOL, REAL, FLAG = "floating-point", "int64", "bool", "real", "bool or int64"
OF_TENSORS: dict[str, Callable[[Any], bool]] = {
    FLOAT: lambda dtype: dtype.is_floating_point,
    INT: lambda dtype: dtype == torch.int64,
    BOOL: lambda dtype: dtype == torch.bool,
    FLAG: lambda dtype: dtype in (torch.bool, torch.int64),
}
OF_ARRAYS: dict[str, Callable[[Any], bool]] = {
    FLOAT: lambda dtype: dtype.kind == "f",
    INT: lambda dtype: dtype.kind in "iu",  # of any size
    BOOL: lambda dtype: dtype.kind == "b",
    REAL: lambda dtype: dtype.kind in "fiub",
}


def check_shapes(**given: tuple[Tensor, str, str]) -> None:
    """Checks several tensors.

    Args:
        given: name -> tensor, kind (a key of `OF_TENSORS`), and one letter for each axis, such as
            "BK"; a letter stands for the same length everywhere.

    Raises:
        TypeError: something is no tensor, or of another kind.
        ValueError: the shapes do not go together, or the devices differ.
    """
    _fit(given, Tensor, OF_TENSORS)
    if len({tensor.device for tensor, _, _ in given.values()}) > 1:
        where = ", ".join(f"{name} on {tensor.device}" for name, (tensor, _, _) in given.items())
        raise BadValue(f"tensors lie on several devices: {where}; move them to one.")


def check_arrays(**given: tuple[np.ndarray, str, str]) -> None:
    """The same for NumPy arrays."""
    _fit(given, np.ndarray, OF_ARRAYS)


def _fit(
    given: dict[str, tuple[Any, str, str]], wanted: Any, kinds: dict[str, Callable[[Any], bool]]
) -> None:
    lengths: dict[str, int] = {}
    for name, (x, kind, letters) in given.items():
        if not isinstance(x, wanted):
            raise BadType(f"{name}: a {type(x).__name__}; give a {wanted.__name__}.")
        shape = x.shape  # asked for once: this runs several times in every step
        if len(shape) != len(letters):
            raise _misfit(given)
        for letter, length in zip(letters, shape, strict=True):
            if lengths.setdefault(letter, length) != length:
                raise _misfit(given)
        if not kinds[kind](x.dtype):
            raise BadType(f"{name}: {x.dtype} will not do; give {kind} numbers.")


def _misfit(given: dict[str, tuple[Any, str, str]]) -> BadValue:
    given_shapes = ", ".join(
        f"{name} {list(getattr(x, 'shape', ()))}" for name, (x, _, _) in given.items()
    )
    wanted = ", ".join(f"{name} [{', '.join(axes)}]" for name, (_, _, axes) in given.items())
    return BadValue(f"shapes do not belong together: {given_shapes}; give {wanted}.")


def is_fake(tensor: Tensor) -> bool:
    """Whether it has a device and a shape but no values (`FakeTensorMode`), so that the host can
    look at nothing in it."""
    return isinstance(tensor, FakeTensor)


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Checks that labels [N] lie in 0..K-1.

    Raises:
        ValueError: they do not. TypeError: they are no int64.
    """
    in_range("number of classes", num_classes, 1, MOST_CLASSES)
    check_shapes(labels=(labels, INT, "N"))
    if len(labels) and not is_fake(labels):
        low, high = torch.stack(labels.aminmax()).tolist()  # one wait for the device
        if low < 0 or high >= num_classes:
            raise BadValue(
                f"labels run from {low} to {high}, but there are {num_classes} classes; labels "
                f"must lie in 0..{num_classes - 1}."
            )
