"""Whether tensors belong together: looked at on the host, without waiting for a device.

PyTorch would stretch a [B, 1] over [B, K], or say in its own words what it cannot do.
"""

from collections.abc import Callable

import torch
from torch import Tensor

KINDS: dict[str, Callable[[torch.dtype], bool]] = {
    "floating point": lambda dtype: dtype.is_floating_point,
    "int64": lambda dtype: dtype == torch.int64,
    "bool": lambda dtype: dtype == torch.bool,
    "real": lambda dtype: not dtype.is_complex,
}
FLOAT, INT, BOOL, REAL = KINDS


def fit(**given: tuple[Tensor, str, str]) -> None:
    """Checks several tensors.

    Args:
        given: name -> tensor, kind (a key of `KINDS`), and one letter for each axis, such as "BK";
            a letter stands for the same length everywhere.

    Raises:
        TypeError: something is no tensor, or of another kind.
        ValueError: the shapes do not go together, or the devices differ.
    """
    lengths: dict[str, int] = {}
    device = None
    for name, (tensor, kind, letters) in given.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: {type(tensor).__name__} is no tensor; give torch.tensor(...).")
        if tensor.ndim != len(letters):
            raise _misfit(given)
        for letter, length in zip(letters, tensor.shape, strict=True):
            if lengths.setdefault(letter, length) != length:
                raise _misfit(given)
        if not KINDS[kind](tensor.dtype):
            raise TypeError(f"{name}: {tensor.dtype} will not do; give a {kind} tensor.")
        device = tensor.device if device is None else device
        if tensor.device != device:
            raise ValueError(f"{name}: on {tensor.device}, the others on {device}; move it there.")


def _misfit(given: dict[str, tuple[Tensor, str, str]]) -> ValueError:
    has = {name: getattr(tensor, "shape", ()) for name, (tensor, _, _) in given.items()}
    found = ", ".join(f"{name} {list(shape)}" for name, shape in has.items())
    wanted = ", ".join(f"{name} [{', '.join(x)}]" for name, (_, _, x) in given.items())
    return ValueError(f"shapes do not belong together: {found}; give {wanted}.")
