"""Images left on disk: ImageNet's layout, worker processes, and a carry that is decoded once."""

import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers import carrying, write_tiny_imagenet
from toastlab.core.errors import DataError
from toastlab.core.stream import Stream
from toastlab.data import image_files
from toastlab.data import splits as data_module
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig, load
from toastlab.data.decode import decode
from toastlab.data.image_files import resized
from toastlab.data.splits import DiskSplit
from toastlab.methods import MethodConfig, Toast, ToastConfig
from toastlab.methods.cs_kd import CsKdConfig
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train

IDS = ("n01440764", "n01443537", "n01484850")


def imagenet(root: Path) -> Path:
    """ImageNet's folders: JPEGs of several sizes, some grey, one CMYK, one a PNG called JPEG."""
    random = np.random.default_rng(0)
    for part, count in (("train", 16), ("val", 4), ("test", 4)):
        for label, wnid in enumerate(IDS):
            folder = root / part / wnid
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 90, (20 + i % 3, 24, 3), dtype=np.uint8)
                pixels[:, :, label] += 120
                image = Image.fromarray(pixels)
                kind = "JPEG"
                if (part, label) == ("train", 0) and i < 3:
                    image = image.convert(("L", "CMYK", "RGB")[i])
                    kind = "PNG" if i == 2 else kind
                image.save(folder / f"{wnid}_{i}.JPEG", kind)
    return root


def config(root: Path, name: str = "folder", **options: Any) -> DataConfig:
    return DataConfig(name=name, path=str(root), size=16, **options)


@pytest.mark.parametrize(
    ("method", "workers", "mix"),
    [
        (carrying(), 0, "none"),
        (carrying(), 2, "none"),
        (CsKdConfig(), 0, "none"),
        (carrying(mixed_carry="repeat"), 0, "mixup"),  # partners are decoded again
    ],
    ids=["toast", "toast with workers", "cs-kd", "toast, mixes repeated"],
)
def test_a_streamed_run_equals_one_from_memory(
    method: MethodConfig, workers: int, mix: str, tmp_path: Path
) -> None:
    """ImageNet's layout, augmented on the device, carry and partners and all: the same weights."""
    root, weights = imagenet(tmp_path), []
    augment = AugmentConfig(crop=2, flip=True, cutout=4, mix=mix, mix_prob=1.0)
    for stream in (False, True):
        dataset = load(config(root, stream=stream, workers=workers))
        assert dataset.classes == IDS
        assert isinstance(dataset.train, DiskSplit) == stream
        settings = TrainConfig(method=method, augment=augment, epochs=3, batch_size=8)
        result = train(settings, dataset=dataset, device="cpu")
        assert result is not None
        weights.append(result.weights)
        if isinstance(method, ToastConfig):
            assert result.metrics.carried_share[0] > 0
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


@pytest.mark.parametrize("keep", [False, True])
def test_carried_images_are_decoded_once(
    keep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every new sample one file read, the carried ones none; at most B/2 of a batch are carried."""
    split = load(config(imagenet(tmp_path), stream=True, workers=0)).train
    assert isinstance(split, DiskSplit)
    read: Counter[str] = Counter()

    def count(path: Path, grey: bool) -> torch.Tensor:
        read[path.name] += 1
        return decode(path, grey)

    monkeypatch.setattr(image_files, "decode", count)
    method = carrying(criterion="all", keep_carry=keep).build(split.labels, 3, 8)
    assert isinstance(method, Toast)
    stream, g = Stream(split, 8), torch.Generator().manual_seed(0)
    stream.start_epoch()
    new = 0
    for step in range(5):
        batch = method.next_batch(stream)
        assert int(batch.carried.sum()) == (4 if step else 0)
        for image, index in zip(batch.images, batch.index.tolist(), strict=True):
            path = split.paths[index]
            assert torch.equal(image, resized(decode(path, False)[None], 16, "keep")[0])
        new += 8 - int(batch.carried.sum())
        method.update(torch.randn(8, 3, generator=g), batch)
    ahead = -sum(read.values()) % 8 + 8  # decoded in whole batches, ahead of what is drawn
    assert new <= sum(read.values()) <= new + ahead
    assert max(read.values()) == 1


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_few_images_are_read_by_threads(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partners of CS-KD and BAKE: in their order, no process started, warnings as they were."""
    split = load(config(imagenet(tmp_path), stream=True, workers=workers)).train
    assert isinstance(split, DiskSplit)
    chosen = torch.tensor([5, 0, 7, 5])
    expected = torch.cat([images for images, _ in split.batches(2, chosen)])
    monkeypatch.setattr(data_module, "DataLoader", None)
    before = list(warnings.filters)
    assert torch.equal(Stream(split, 4).fetch(chosen), expected)
    assert list(warnings.filters) == before
    split.paths[7].write_bytes(b"no image")
    with pytest.raises(DataError, match="is not a readable image"):
        split.images_at(chosen)


def test_tiny_imagenet_streams(tmp_path: Path) -> None:
    root = write_tiny_imagenet(tmp_path, per_class=20)
    data = load(replace(config(root, "tiny-imagenet", stream=True, workers=1), size=0))
    assert (data.image_size, data.channels) == (64, 3)
    result = train(TrainConfig(epochs=1, batch_size=8), dataset=data, device="cpu")
    assert result is not None


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gpu_is_given_pinned_batches_without_a_wait(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the loader is asked for; that it happens only a GPU can show."""
    split = load(config(imagenet(tmp_path), stream=True, workers=2)).train
    assert isinstance(split, DiskSplit)
    asked: dict[str, Any] = {}

    class Images:
        def to(self, place: torch.device, non_blocking: bool) -> str:
            asked.update(place=place.type, non_blocking=non_blocking)
            return "there"

    class Index:
        def to(self, place: torch.device) -> torch.Tensor:
            return torch.tensor([0])

    def loader(files: Any, size: int, **options: Any) -> list[tuple[Images, Index]]:
        asked.update(options)
        return [(Images(), Index())]

    class Labels:
        def __init__(self) -> None:
            self.device = torch.device(device)

        def __len__(self) -> int:
            return 48

        def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
            return index

    monkeypatch.setattr(data_module, "DataLoader", loader)
    placed = replace(split, labels=Labels())  # type: ignore[arg-type]
    assert [images for images, _ in placed.batches(8)] == ["there"]
    assert asked["pin_memory"] == (device == "cuda")
    assert asked["num_workers"] == 2
    assert asked["non_blocking"]
    assert asked["place"] == device
