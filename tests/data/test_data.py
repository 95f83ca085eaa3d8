"""Splits, label noise, subsets, conversions, fingerprints, and what is said of bad data."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig, from_tensors, load
from toastlab.data.noise import flip_labels
from toastlab.data.splits import DiskSplit, Split

LOOK = """
import sys, types
package = types.ModuleType("toastlab")  # without its front door
package.__path__ = [sys.argv[1]]
sys.modules["toastlab"] = package
import toastlab.data.augment, toastlab.data.dataset
print([name for name in ("sklearn", "scipy", "pandas", "torchvision") if name in sys.modules])
"""


def test_what_takes_seconds_to_import_is_imported_where_it_is_used() -> None:
    package = Path(__file__).parents[2] / "toastlab"
    told = subprocess.run(
        [sys.executable, "-c", LOOK, str(package)], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ROOT/CLASS/*.png, 3 classes of 20, 12 x 12 RGB; each file's first pixel names it."""
    root = tmp_path_factory.mktemp("images") / "things"
    random = np.random.default_rng(0)
    for c, name in enumerate(("ape", "bee", "cat")):
        (root / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 255, (12, 12, 3), dtype=np.uint8)
            pixels[0, 0] = (c, i, 0)
            Image.fromarray(pixels).save(root / name / f"{i:02}.png")
    return root


def test_fashion_mini() -> None:
    data = load(DataConfig())
    assert [len(s) for s in (data.train, data.val, data.test)] == [6000, 2000, 2000]
    for split, count in ((data.train, 600), (data.val, 200), (data.test, 200)):
        assert isinstance(split, Split)
        assert split.images.dtype == torch.uint8
        assert split.images.shape[1:] == (1, 28, 28)
        assert torch.bincount(split.labels).tolist() == [count] * 10
        assert 60 < split.images.float().mean() < 85
    assert (data.num_classes, data.channels, data.image_size) == (10, 1, 28)
    assert data.classes[9] == "Ankle boot"
    assert "MIT" in data.note
    rows = [s.images.flatten(1) for s in (data.train, data.val, data.test)]  # type: ignore[union-attr]
    assert len(torch.unique(torch.cat(rows), dim=0)) > 9980, "the splits do not share images"


def test_digits() -> None:
    data = load(DataConfig(name="digits"))
    assert [len(s) for s in (data.train, data.val, data.test)] == [1078, 359, 360]
    assert isinstance(data.train, Split)
    assert int(data.train.images.max()) == 255
    assert data.image_size == 8


@given(
    kind=st.sampled_from(["symmetric", "pairwise"]),
    rate=st.floats(0, 0.95),
    seed=st.integers(0, 99),
    k=st.integers(2, 7),
)
@settings(max_examples=30, deadline=None)
def test_label_noise(kind: str, rate: float, seed: int, k: int) -> None:
    labels = torch.arange(50 * k) % k
    noisy = flip_labels(labels, k, kind, rate, seed)
    for c in range(k):
        changed = noisy[(labels == c) & (noisy != labels)]
        assert len(changed) == round(rate * 50)
        if kind == "pairwise":
            assert set(changed.tolist()) <= {(c + 1) % k}
    assert torch.equal(noisy, flip_labels(labels, k, kind, rate, seed))
    assert int(noisy.min()) >= 0
    assert int(noisy.max()) < k


def test_noise_keeps_the_clean_labels_and_touches_training_only() -> None:
    clean, noisy = load(DataConfig()), load(DataConfig(noise_rate=0.2, noise_seed=1))
    assert torch.equal(noisy.train.clean_labels, clean.train.labels)
    assert int((noisy.train.labels != clean.train.labels).sum()) == 1200
    assert torch.equal(noisy.test.labels, clean.test.labels)
    assert "1200 of 6000 training labels flipped (symmetric)" in noisy.note
    assert noisy.fingerprint != clean.fingerprint


def test_per_class_and_seeds() -> None:
    small = load(DataConfig(per_class=7, split_seed=1))
    assert torch.bincount(small.train.labels).tolist() == [7] * 10
    assert len(small.test) == 2000
    other = load(DataConfig(per_class=7, split_seed=2))
    assert small.fingerprint != other.fingerprint
    assert small.fingerprint == load(DataConfig(per_class=7, split_seed=1)).fingerprint
    with pytest.raises(DataError, match="per class is 601, but class 0 has 600"):
        load(DataConfig(per_class=601))


def test_conversions() -> None:
    data = load(DataConfig(per_class=2, size=32, channels="rgb"))
    assert isinstance(data.train, Split)
    assert data.train.images.shape == (20, 3, 32, 32)
    assert "Resized to 32 x 32" in data.note
    assert "RGB" in data.note
    assert torch.equal(data.train.images[:, 0], data.train.images[:, 2])


def test_folder(folder: Path) -> None:
    data = load(DataConfig(name="folder", path=str(folder)))
    assert data.classes == ("ape", "bee", "cat")
    assert (data.channels, data.image_size) == (3, 12)
    sizes = [len(s) for s in (data.train, data.val, data.test)]
    assert sum(sizes) == 60
    assert sizes[2] == 9
    assert isinstance(data.train, Split)
    assert torch.equal(data.train.images[:, 0, 0, 0].long(), data.train.labels)
    grey = load(DataConfig(name="folder", path=str(folder), channels="grey", size=8))
    assert (grey.channels, grey.image_size) == (1, 8)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_folder_gives_the_same_images(folder: Path, workers: int) -> None:
    config = DataConfig(name="folder", path=str(folder))
    whole = load(config)
    disk = load(DataConfig(name="folder", path=str(folder), stream=True, workers=workers))
    assert isinstance(disk.train, DiskSplit)
    assert torch.equal(disk.train.labels, whole.train.labels)
    order = torch.tensor([5, 2, 2, 30])
    pairs = list(disk.train.batches(3, order))
    assert [len(x) for x, _ in pairs] == [3, 1]
    assert isinstance(whole.train, Split)
    assert torch.equal(torch.cat([x for x, _ in pairs]), whole.train.images[order])
    assert torch.equal(torch.cat([y for _, y in pairs]), whole.train.labels[order])
    with pytest.raises(DataError, match="'digits' cannot be streamed"):
        load(DataConfig(name="digits", stream=True))


def test_own_arrays() -> None:
    images = np.random.default_rng(0).random((90, 5, 5), dtype=np.float32)
    data = from_tensors(images, np.arange(90) % 3, ("a", "b", "c"))
    assert len(data.train) + len(data.val) + len(data.test) == 90
    assert data.channels == 1
    bad = images.copy()
    bad[7, 2, 2] = np.nan
    bad[9, 2, 2] = np.inf
    with pytest.raises(
        DataError, match="2 images hold NaN or infinite pixels, the first is image 7"
    ):
        from_tensors(bad, np.arange(90) % 3)
    with pytest.raises(DataError, match=r"run from 0 to 3, but there are 3 classes"):
        from_tensors(images, np.arange(90) % 4, ("a", "b", "c"))
    with pytest.raises(DataError, match="no training image of class 'd'"):
        from_tensors(images, np.arange(90) % 3, ("a", "b", "c", "d"))
    with pytest.raises(DataError, match="do not fit"):
        from_tensors(images, np.arange(80) % 3)
    with pytest.raises(DataError, match="cannot hold out"):
        from_tensors(images[:4], np.array([0, 0, 0, 1]))
    with pytest.raises(DataError, match="give uint8, or floats"):
        Split(torch.zeros(2, 1, 3, 3, dtype=torch.int32), *[torch.zeros(2).long()] * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fashion-mnst"}, "Did you mean 'fashion-mnist'"),
        ({"noise": "asymmetric"}, "unknown noise 'asymmetric'"),
        ({"noise_rate": 1.0}, "noise rate is 1.0"),
        ({"val_share": 0.0}, "val share is 0"),
        ({"per_class": -1}, "per class is -1"),
        ({"channels": "gray"}, "Did you mean 'grey'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**options)  # type: ignore[arg-type]


def test_class_without_a_training_image(folder: Path, tmp_path: Path) -> None:
    for part, names in (("train", ("a", "b")), ("test", ("a", "b"))):
        for name in names:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(0 if (part, name) == ("train", "b") else 12):
                (tmp_path / part / name / f"{i}.png").write_bytes(
                    (folder / "ape" / f"{i:02}.png").read_bytes()
                )
    with pytest.raises(DataError, match="no training image of class 'b'"):
        load(DataConfig(name="folder", path=str(tmp_path)))
