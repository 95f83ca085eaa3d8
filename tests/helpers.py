"""Small real things for tests: a data set, and watchers of what a step does to the device."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from toastlab.data import Dataset, Split

WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.unique")


def tiny(n: int = 64, k: int = 4, size: int = 8, seed: int = 0, channels: int = 1) -> Dataset:
    """Blobs that can be told apart: class c has a bright row c."""
    g = torch.Generator().manual_seed(seed)
    splits = {}
    for name in ("train", "val", "test"):
        labels = torch.arange(n) % k
        images = torch.randint(0, 120, (n, channels, size, size), generator=g).to(torch.uint8)
        images[torch.arange(n), :, labels] += 100
        splits[name] = Split(images, labels, labels)
    classes = tuple(f"class {c}" for c in range(k))
    return Dataset("tiny", classes, **splits, fingerprint=f"tiny-{n}-{k}-{seed}", note="tiny")


class Watch(TorchDispatchMode):
    """Notes every operation that would make a device wait or give a shape that depends on data."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []
        self.shapes: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if name.startswith(WAITS):
            self.waits.append(name)
        if name.startswith("aten.index.Tensor"):
            rows = [i for i in args[1] if i is not None]
            if any(i.dtype in (torch.bool, torch.uint8) for i in rows):
                self.waits.append(name + " (mask)")
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.shapes.append((name, tuple(out.shape)))
        return out
