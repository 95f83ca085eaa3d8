"""Bars on time: ratios, interleaved, medians. Medoids and augmentation have theirs with them."""

import time

import numpy as np
import pytest
import torch

from toastlab.augment import Augment, AugmentConfig, pixel_statistics
from toastlab.data import DataConfig, Split, load
from toastlab.methods import CrossEntropyConfig, MethodConfig, ToastConfig
from toastlab.models import build
from toastlab.stream import Stream


@pytest.mark.bar
def test_toast_costs_at_most_five_percent_more_than_cross_entropy() -> None:
    """An epoch of the teaching ResNet, B 128, medoid refresh included, at equal iterations."""
    data = load(DataConfig(noise_rate=0.2, per_class=256))
    assert isinstance(data.train, Split)
    split = data.train
    augment = Augment(AugmentConfig(), *pixel_statistics(split.images))

    class Loop:
        def __init__(self, config: MethodConfig) -> None:
            self.model = build("resnet-small", 10, 1, 28, seed=0)
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.optimizer = torch.optim.SGD(self.model.parameters(), 0.05, momentum=0.9)
            self.method = config.build(split.labels, 10, 128)
            self.stream = Stream(split, 128, seed=0)

        def epoch(self) -> float:
            start = time.perf_counter()
            for batch in self.method.batches(self.stream):
                logits = self.model(augment.evaluate(batch.images))
                loss = self.method.loss(logits, batch)
                self.optimizer.zero_grad()
                loss.total.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                self.method.observe(logits, batch)
            return time.perf_counter() - start

    loops = [Loop(ToastConfig()), Loop(CrossEntropyConfig())]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for loop in loops:
            loop.epoch()
        ratios = []
        for i in range(7):  # turn about, so that a slow moment hits both
            times = {loop: loop.epoch() for loop in (loops if i % 2 else loops[::-1])}
            ratios.append(times[loops[0]] / times[loops[1]])
    finally:
        torch.set_num_threads(threads)
    assert float(np.median(ratios)) <= 1.05, ratios
