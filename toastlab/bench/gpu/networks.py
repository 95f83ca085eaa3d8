"""Networks trained as one against the same number one by one, on the clock.

Whole runs of the teaching MLP on embedded images, the end of each epoch included, which is done
network by network either way.
"""

import time
from collections.abc import Iterator
from statistics import median

import torch

from toastlab.bench.config import Row, at_work
from toastlab.bench.gpu.scale import Content, Scale, Until
from toastlab.bench.gpu.steps import said
from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train
from toastlab.training.together import Wanted, train_together

METHODS = ("cross-entropy", "toast")
ALONE = 2  # runs that are timed one by one, whatever the number of those as one


def config_of(scale: Scale, name: str, seed: int) -> TrainConfig:
    """A run as of the regime map."""
    epochs = 1 if scale.is_small else 10
    return TrainConfig(
        data=DataConfig(per_class=25 if scale.is_small else 200),
        method=at_work(name),
        epochs=epochs,
        batch_size=64,
        seed=seed,
        record="none",
        evaluate_every=epochs,
    )


def together(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """Seconds a network, in turns; the gain is the median of the rounds' ratios."""
    data = load(config_of(scale, METHODS[0], 0).data, device)
    rows: list[Row] = []
    for many in scale.networks:
        for name in METHODS:
            row: Row = {"method": name, "networks": many}
            rows.append(row)
            if until.over:
                row["skipped"] = "no time was left"
                continue
            try:
                for found in _compared(scale, name, many, data, device, until):
                    row |= found
                    yield {"rows": list(rows)}
            except Exception as error:
                row["error"] = said(error)
            yield {"rows": list(rows)}


def _compared(
    scale: Scale, name: str, many: int, data: Dataset, device: torch.device, until: Until
) -> Iterator[Row]:
    """What is known after each round; the first round, to warm up, does not count."""
    of_one: list[float] = []
    of_many: list[float] = []
    for i in range(min(3, scale.rounds) + 1):
        began = time.perf_counter()
        for seed in range(ALONE):
            train(config_of(scale, name, seed), dataset=data, device=str(device))
        devices.wait(device)
        middle = time.perf_counter()
        wanted = [Wanted(config_of(scale, name, seed), data) for seed in range(many)]
        list(train_together(wanted, device=str(device)))
        devices.wait(device)
        if i:
            of_one.append((middle - began) / ALONE)
            of_many.append((time.perf_counter() - middle) / many)
            yield {
                "one_by_one_s": median(of_one),
                "together_s": median(of_many),
                "gain": median(a / b for a, b in zip(of_one, of_many, strict=True)),
                "rounds": [a / b for a, b in zip(of_one, of_many, strict=True)],
            }
        if until.over and of_one:
            return
