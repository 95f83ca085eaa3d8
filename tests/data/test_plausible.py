"""Data that cannot be meant: refused in one line that names the fix, or warned of."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from toastlab.core.errors import DataError, DataWarning, ToastlabError
from toastlab.data.dataset import DataConfig, from_tensors, load
from toastlab.data.plausible import flat_classes
from toastlab.data.splits import Split
from toastlab.methods import ToastConfig

N = 60
Y = torch.arange(N) % 3
X = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0))
WIDE = (torch.rand(N, 8, 9, 3) * 255).to(torch.uint8)


def stray(value: int) -> Tensor:
    return torch.where(torch.arange(N) == 5, value, Y)


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "a label of 10^12": (
        lambda: from_tensors(X, stray(10**12)),
        r"a label is 1000000000000, but there are 60 images.*torch\.unique",
    ),
    "a label of 10^12, classes named": (
        lambda: from_tensors(X, stray(10**12), ("a", "b", "c")),
        r"labels run from 0 to 1000000000000, but there are 3 classes",
    ),
    "a label of 10^12 in a method": (
        lambda: ToastConfig().build(stray(10**12), 10**12 + 1, 4),
        "number of classes is 1000000000001",
    ),
    "negative": (lambda: from_tensors(X, Y - 1), "labels begin at -1, but classes are numbered"),
    "0..255": (
        lambda: from_tensors(X * 255, Y),
        r"from 0[.\d]* to 25\d.*divide them by 255",
    ),
    "0..255 in a split": (lambda: Split(X * 255, Y, Y), "divide them by 255, or give uint8"),
    "normalised": (lambda: from_tensors(X * 4 - 2, Y), r"floats from -[12][.\d]* to .*to 0\.\.1"),
    "channels last": (
        lambda: from_tensors(WIDE, Y),
        r"\(60, 8, 9, 3\) seem to have their channels last.*images\.permute\(0, 3, 1, 2\)",
    ),
    "channels last, grey": (lambda: from_tensors(WIDE[..., :1], Y), "channels last"),
    "an array, channels last": (lambda: from_tensors(WIDE.numpy(), Y.numpy()), "channels last"),
    "nothing there": (lambda: from_tensors(X.to("meta"), Y), "images lie on the device 'meta'"),
    "no labels there": (lambda: from_tensors(X, Y.to("meta")), "labels lie on the device 'meta'"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_refused_in_one_line(name: str) -> None:
    call, told = CASES[name]
    with pytest.raises(ValueError, match=told) as error:
        call()
    assert isinstance(error.value, ToastlabError)
    assert re.fullmatch(r"[^\n]+\.", str(error.value))
    if "10^12" not in name or "method" not in name:
        assert isinstance(error.value, DataError)


@pytest.mark.parametrize(
    "shape", [(3, 8, 8), (1, 8, 8), (1, 8, 3), (3, 3, 3), (2, 1, 1), (8, 1, 1)]
)
def test_channels_first_is_no_error(shape: tuple[int, ...]) -> None:
    images = torch.rand(N, *shape)
    assert from_tensors(images, Y).train.images_at(torch.tensor([0])).shape[1:] == shape


def test_what_rounding_leaves_is_no_error() -> None:
    assert len(from_tensors(X * 1.0005, Y).train) + len(from_tensors(X.half(), Y).train) == 84


def test_images_that_want_a_gradient() -> None:
    data = from_tensors(X.clone().requires_grad_(), Y)
    assert not data.train.images_at(torch.tensor([0])).requires_grad
    assert data.fingerprint == from_tensors(X, Y).fingerprint


# --- images that show nothing --------------------------------------------------------------------


def test_all_images_one_colour() -> None:
    with pytest.warns(DataWarning, match=r"^all 42 training images .* are one flat colour") as told:
        data = from_tensors(torch.full_like(X, 0.5), Y)
    assert len(told) == 1
    assert data.note.endswith("how their pixels were scaled.")


def test_a_class_of_one_colour() -> None:
    blank = torch.where((Y == 1)[:, None, None, None], 0.0, X)
    with pytest.warns(DataWarning, match="^all training images of class '1' are one flat colour"):
        from_tensors(blank, Y)
    blank = torch.where((Y >= 1)[:, None, None, None], 0.0, X)
    with pytest.warns(DataWarning, match=r"of class '1' \(and of 1 more\) are one flat colour"):
        from_tensors(blank, Y)


def test_other_images_bring_no_warning() -> None:
    one = torch.where(torch.arange(N)[:, None, None, None] == 1, 0.0, X)  # an image, not a class
    level = (Y / 3)[:, None, None, None].expand_as(X) + torch.rand(N, 1, 1, 1) * 0.1  # flat each
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_tensors(X, Y)
        from_tensors(one, Y)
        from_tensors(level, Y)
        load(DataConfig(name="digits"))


def test_flat_classes_by_their_definition() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        n, k = int(random.integers(1, 9)), int(random.integers(1, 4))
        images = torch.from_numpy(random.integers(0, 2, (n, 2, 2, 2)).astype(np.uint8))
        labels = torch.from_numpy(random.integers(0, k, n))
        images = torch.where((labels == 0)[:, None, None, None], images[:1] * 0 + 7, images)
        found = flat_classes(images, labels, k).tolist()
        for c in range(k):
            own = images[labels == c]
            flat = [len(own[:, channel].unique()) == 1 for channel in range(2)]
            assert found[c] == all(flat)


@pytest.mark.parametrize("stream", [False, True])
def test_a_folder_of_blank_files(stream: bool, tmp_path: Path) -> None:
    for c in ("a", "b"):
        (tmp_path / c).mkdir()
        for i in range(10):
            Image.new("L", (6, 6), 255).save(tmp_path / c / f"{i}.png")
    config = DataConfig(name="folder", path=str(tmp_path), stream=stream, workers=0)
    with pytest.warns(DataWarning, match=r"^all \d+ training images .* one flat colour"):
        data = load(config)
    assert "one flat colour" in data.note
