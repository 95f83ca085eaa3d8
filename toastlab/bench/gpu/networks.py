"""Whole runs on the clock: steps as they are written against CUDA graphs, and networks trained as
one against one by one. The end of each epoch is included, which is the same either way.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from unittest import mock

import torch

from toastlab.bench.config import Row, at_work
from toastlab.bench.gpu.scale import Content, Scale, Until, images_of
from toastlab.bench.gpu.steps import said
from toastlab.core.errors import BadValue
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig, Dataset, from_tensors, load
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train
from toastlab.training.together import Wanted, train_together

METHODS = ("cross-entropy", "toast")
ALONE = 2  # runs that are timed one by one, whatever the number of those as one
ROUNDS = 2  # rounds that count, after one to warm up: a run is hundreds of steps already


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


def loop(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """Seconds a run with steps as they are written and as CUDA graphs, in turns, and whether both
    end with the same weights, to the bit."""
    rows: list[Row] = []
    epochs = 1 if scale.is_small else 5
    small = replace(config_of(scale, METHODS[0], 0), epochs=epochs, evaluate_every=epochs)
    large = images_of(scale, torch.device("cpu"))
    some = slice(0, 128 * (2 if scale.is_small else 128))
    made = from_tensors(large.images[some], large.labels[some])
    crops = AugmentConfig(crop=4, flip=True)
    whole = replace(small, model=scale.model, augment=crops, batch_size=scale.batch_sizes[0])
    teaching = load(small.data, device)
    frames = {
        "mlp": (small, teaching),
        "resnet-small": (replace(small, model="resnet-small"), teaching),
        scale.model: (replace(whole, epochs=1 if scale.is_small else 2), made),
    }
    for model, (frame, data) in frames.items():
        for name in METHODS:
            row: Row = {"method": name, "network": model, "batch_size": frame.batch_size}
            rows.append(row)
            if until.over:
                row["skipped"] = "no time was left"
                continue
            try:
                row |= _both_ways(replace(frame, method=at_work(name)), data, device)
            except Exception as error:
                row["error"] = said(error)
            yield {"rows": list(rows)}


def _both_ways(config: TrainConfig, data: Dataset, device: torch.device) -> Row:
    written: list[float] = []
    played: list[float] = []
    equal = True
    for i in range(ROUNDS + 1):
        weights = []
        for wanted, times in (("0", written), ("1", played)):
            with mock.patch.dict(os.environ, {"TOASTLAB_GRAPHS": wanted}):
                began = time.perf_counter()
                result = train(config, dataset=data, device=str(device))
                devices.wait(device)
            if result is None:
                raise BadValue("a run that nobody stopped has ended early.")
            if i:
                times.append(time.perf_counter() - began)
            weights.append(result.weights)
        equal &= all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    return {
        "written_s": median(written),
        "graphs_s": median(played),
        "gain": median(a / b for a, b in zip(written, played, strict=True)),
        "equal": "yes" if equal else "no",
    }


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
    for i in range(min(ROUNDS, scale.rounds) + 1):
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
