"""What the methods, the data path and the medoids cost on this machine, against their alternatives.

Every ratio is the median over rounds in which both were timed in turns, see `timing`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

from toastlab.bench.config import SECTIONS, BenchConfig, Row, at_work, over_parts, split_of
from toastlab.bench.medoids import imagenet, medoids
from toastlab.bench.memory import memory
from toastlab.bench.timing import Loop, epochs_in_turns, one_thread
from toastlab.data.augment import Augment, AugmentConfig, pixel_statistics
from toastlab.data.splits import Split
from toastlab.training import device as devices

IMAGE_BY_IMAGE = "DataLoader, image by image"


def methods(config: BenchConfig, device: torch.device) -> Iterator[list[Row]]:
    """Training steps of each method against cross-entropy; the rows so far after each round."""
    split = split_of(config, device)
    loops = [
        Loop(at_work(name), split, 10, config.model, config.batch_size, "samples")
        for name in config.names
    ]
    rounds, steps = [], []
    for times in epochs_in_turns(loops, config.rounds):
        # an epoch of a method whose batch takes fewer new samples has more steps
        rounds.append(
            [t / (lo.steps * lo.method.new_per_batch) for t, lo in zip(times, loops, strict=True)]
        )
        steps.append([(t - lo.end_seconds) / lo.steps for t, lo in zip(times, loops, strict=True)])
        yield [
            {
                "method": name,
                "images_per_second": 1 / median(r[i] for r in rounds),
                "step_ms": 1000 * loop.method.new_per_batch * median(r[i] for r in rounds),
                "passes_per_image": loop.method.passes / loop.method.new_per_batch,
                "time_ratio": median(r[i] / r[0] for r in rounds),
                "step_ratio": median(r[i] / r[0] for r in steps),
                "rounds": [r[i] / r[0] for r in rounds],
            }
            for i, (name, loop) in enumerate(zip(config.names, loops, strict=True))
        ]


def mlp(config: BenchConfig, device: torch.device) -> Iterator[list[Row]]:
    """TOAST against cross-entropy on the teaching MLP, the cheapest step there is to add to."""
    yield from methods(replace(config, model="mlp", methods=("toast",)), device)


def per_image(config: AugmentConfig, size: int, mean: Sequence[float], std: Sequence[float]) -> Any:
    """What `Augment` does, as torchvision does it image by image."""
    area = (config.cutout / size) ** 2
    return v2.Compose(
        [
            v2.RandomCrop(size, padding=config.crop),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
            v2.RandomErasing(1.0, scale=(area, area), ratio=(1.0, 1.0)),
        ]
    )


def data(config: BenchConfig, device: torch.device) -> Iterator[list[Row]]:
    """Pad-crop, flip, normalise and Cutout: in batches on the device, and through a `DataLoader`
    of one process that does it image by image. On the embedded images, and on made-up ones of
    CIFAR's shape."""
    grey = split_of(config, device)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(grey), 3, 32, 32), generator=random, dtype=torch.uint8)
    colour = Split(pixels.to(device), grey.labels, grey.clean_labels)
    parts = (
        (" x ".join(map(str, s.images.shape[1:])), _paths(s, config, device), len(s))
        for s in (grey, colour)
    )
    return over_parts("images", "path", parts, config.rounds, device)


def _paths(
    split: Split, config: BenchConfig, device: torch.device
) -> dict[str, Callable[[], object]]:
    statistics = pixel_statistics(split.images)
    wanted = AugmentConfig(crop=4, flip=True, cutout=8)
    augment, size = Augment(wanted, *statistics), split.images.shape[-1]
    one = per_image(wanted, size, *statistics)
    pairs = TensorDataset(split.images.cpu(), split.labels.cpu())
    shuffled = DataLoader(
        pairs,
        config.batch_size,
        shuffle=True,
        collate_fn=lambda some: torch.stack([one(image) for image, _ in some]),
    )

    def batched() -> None:
        order = torch.randperm(len(split), device=device)
        for images, _ in split.batches(config.batch_size, order):
            augment.train(images)

    def one_by_one() -> None:
        for images in shuffled:
            images.to(device)

    return {"batched on the device": batched, IMAGE_BY_IMAGE: one_by_one}


MEASURES: dict[str, Callable[[BenchConfig, torch.device], Iterator[list[Row]]]] = {
    "methods": methods,
    "mlp": mlp,
    "data": data,
    "medoids": medoids,
    "memory": memory,
}


def measure(config: BenchConfig, device: str = "auto") -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Measures section by section; yields what is being measured, rounds done, and all so far.

    Raises:
        DataError, DeviceError: see there.
    """
    chosen = devices.choose(device)
    clock = "CUDA events" if chosen.type == "cuda" else "processor time, one thread"
    settings = {n: getattr(config, n) for n in ("model", "batch_size", "steps", "rounds")}
    measured: dict[str, Any] = {
        "facts": {**devices.facts(chosen), "clock": clock},
        "settings": settings,
    }
    with one_thread():
        for section in (s for s in SECTIONS if s in config.sections):
            for done, rows in enumerate(MEASURES[section](config, chosen), 1):
                measured[section] = rows
                yield section, done, measured
        if "medoids" in measured and not config.small:
            measured["imagenet"] = imagenet(measured["medoids"])
            yield "medoids", 0, measured
