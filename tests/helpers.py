"""Small real things for tests: a data set, and watchers of what a step does to the device."""

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
from PIL import Image
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from toastlab.data.dataset import Dataset
from toastlab.data.splits import Split
from toastlab.methods import ToastConfig
from toastlab.studies.reading_pool import BEFORE

TORCH = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])


# Code that hides packages from a new interpreter; to be formatted with `hidden`.
NOT_THERE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def _fakes_cuda() -> bool:
    try:
        with FakeTensorMode():
            some = torch.zeros(1, dtype=torch.int64, device="cuda")
            some[some]
    except RuntimeError:
        return False
    return True


# Where PyTorch is as new as the lock's, never skipped: a probe that fails there is a finding.
needs_fake_cuda = pytest.mark.skipif(
    TORCH < (2, 14) and not _fakes_cuda(),
    reason="this older PyTorch asks the driver even of a fake device",
)
WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.unique")


def carrying(**changes: Any) -> ToastConfig:
    """TOAST with a carry: the kit's first reading, at constant weights, and these changes.

    What is calculated by hand is so with the carry and with the temperatures of that reading; what
    today's defaults do differently has tests of its own.
    """
    return replace(BEFORE, **changes)


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


def save(path: Path, size: tuple[int, int] = (6, 6), colour: object = (9, 9, 9)) -> None:
    """An image file of one colour, grey if the colour is a number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(
    kind: Any, root: Path, monkeypatch: pytest.MonkeyPatch, *, k: int = 0, per_class: int = 4
) -> Path:
    """A CIFAR folder in the real format, and torchvision's list of checksums for it.

    Args:
        kind: torchvision's class; k: classes, 0: as many as it has; per_class: images of each, in
            every file.
    """
    k = k or (10 if kind is tv.CIFAR10 else 100)
    key = "labels" if kind is tv.CIFAR10 else "fine_labels"
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for part in lists:
        for name, _ in getattr(kind, part):
            n = per_class * k
            pixels = random.integers(0, 255, (n, 3072), dtype=np.uint8)
            content = {"data": pixels, key: [i % k for i in range(n)]}
            (folder / name).write_bytes(pickle.dumps(content))
            lists[part].append([name, md5(folder / name)])
    names = [f"thing {i}" for i in range(k)]
    meta = dict(kind.meta)
    (folder / meta["filename"]).write_bytes(pickle.dumps({meta["key"]: names}))
    meta["md5"] = md5(folder / meta["filename"])
    for part, rows in lists.items():
        monkeypatch.setattr(kind, part, rows)
    monkeypatch.setattr(kind, "meta", meta)
    return folder


def write_tiny_imagenet(root: Path, per_class: int = 12, val: int = 6) -> Path:
    """Tiny-ImageNet's layout with two classes, goldfish and frog; `val` images in all for test."""
    ids = ["n001", "n002"]
    root.mkdir(parents=True, exist_ok=True)
    (root / "wnids.txt").write_text("\n".join(ids))
    (root / "words.txt").write_text("n001\tgoldfish, Carassius\nn002\tfrog\nn003\tother\n")
    for wnid in ids:
        for i in range(per_class):
            colour = (9, 9, 99) if wnid == ids[0] else (99, 9, 9)
            save(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", (64, 64), colour)
    lines = []
    for i in range(val):
        save(root / "val" / "images" / f"val_{i}.JPEG", (64, 64))
        lines.append(f"val_{i}.JPEG\t{ids[i % 2]}\t0\t0\t9\t9")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines))
    return root


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


class Crossings(TorchDispatchMode):
    """Notes every copy from one kind of device to another, fake ones too: the host waits for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if str(func).startswith(("aten._to_copy", "aten.copy_")) and isinstance(out, Tensor):
            kinds = {t.device.type for t in (*args, out) if isinstance(t, Tensor)}
            if len(kinds) > 1:
                self.found.append(f"{func} {sorted(kinds)}")
        return out


def torchrun(module: str, *args: object, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """`python -m module args` on two ranks of this machine, which find a free port themselves."""
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, "-m", module, *map(str, args)],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def module_at(path: Path) -> ModuleType:
    """The module in a file that belongs to no package."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
