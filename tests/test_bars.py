"""Bars on time: ratios, interleaved, medians. Medoids and augmentation have theirs with them.

On one thread, in processor time: on an idle machine that is the time on the clock, and on a busy
one it does not count what else runs.
"""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from toastlab.augment import Augment, AugmentConfig, pixel_statistics
from toastlab.config import TrainConfig, make_optimizer
from toastlab.data import DataConfig, Split, load
from toastlab.methods import CONFIGS, CrossEntropyConfig, MethodConfig, Plan, ToastConfig
from toastlab.models import build
from toastlab.stream import Stream


class Loop:
    """Epochs of the teaching ResNet, B 128, on 256 images per class, 20 % noise unless clean."""

    def __init__(self, config: MethodConfig, noise: float = 0.2, budget: str = "images") -> None:
        split = load(DataConfig(noise_rate=noise, per_class=256)).train
        assert isinstance(split, Split)
        self.augment = Augment(AugmentConfig(), *pixel_statistics(split.images))
        self.model = build("resnet-small", 10, 1, 28, seed=0)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.method = config.build(split.labels, 10, 128)
        self.stream = Stream(split, 128, seed=0)
        plan = Plan(epochs=10, budget=budget)
        self.method.attach(self.model, self.augment.evaluate(split.images[:2]), plan)
        if config.needs_teacher:
            self.method.teach(build("resnet-small", 10, 1, 28, seed=1))
        extra = () if self.method.extra is None else (self.method.extra,)
        self.optimizer = make_optimizer(TrainConfig(), self.model, *extra)
        self.new = 0.0  # samples of the last epoch that were drawn newly

    def epoch(self) -> Iterator[float]:
        """Trains an epoch; yields the seconds of each step."""
        carried = torch.zeros(())
        start = time.process_time()
        for batch in self.method.batches(self.stream):
            images = self.augment.evaluate(batch.images)
            logits = self.method.answer(self.model, images, batch)
            loss = self.method.loss(logits, batch)
            self.optimizer.zero_grad()
            loss.total.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.method.observe(logits, batch)
            carried += batch.carried.sum()
            yield time.process_time() - start
            start = time.process_time()
        steps = self.method.steps(self.stream)
        self.new = steps * self.method.fresh - float(carried)
        yield time.process_time() - start  # what the method does at an epoch's end


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ratios(loops: list[Loop], rounds: int) -> list[list[float]]:
    """Time of every loop's epoch against the first's, round by round, after one to warm up.

    The loops take turns step by step, so that a slow moment of the machine hits all.
    """
    found = []
    for i in range(rounds + 1):
        times = [0.0] * len(loops)
        epochs = dict(enumerate(loop.epoch() for loop in loops))
        while epochs:
            for k in list(epochs) if i % 2 else list(epochs)[::-1]:
                seconds = next(epochs[k], None)
                if seconds is None:
                    del epochs[k]
                else:
                    times[k] += seconds
        found.append([t / times[0] for t in times])
    return found[1:]


@pytest.mark.bar
@pytest.mark.usefixtures("one_thread")
def test_toast_costs_at_most_three_percent_more_than_cross_entropy() -> None:
    """At equal images and iterations, medoid refresh included."""
    found = ratios([Loop(CrossEntropyConfig()), Loop(ToastConfig())], 7)
    assert float(np.median([row[1] for row in found])) <= 1.03, found


@pytest.mark.bar
@pytest.mark.usefixtures("one_thread")
def test_toast_against_the_peers_per_epoch_of_samples() -> None:
    """An epoch of N samples of each layout: DLB visits them twice, BAKE four images per anchor.

    TOAST's layout "replace" draws a batch less what it carries, so its N places hold fewer distinct
    samples: its time is taken per sample that it really drew.
    """
    loops = [Loop(ToastConfig(), 0.0, "samples")]
    loops += [Loop(c(), 0.0, "samples") for n, c in CONFIGS.items() if n not in ("toast",)]
    found = np.median(np.array(ratios(loops, 5)), 0)
    names = ["toast", *(n for n in CONFIGS if n != "toast")]
    share = loops[0].new / (loops[0].method.steps(loops[0].stream) * loops[0].method.fresh)
    cost = dict(zip(names, (found * share).round(2).tolist(), strict=True))
    print(f"epoch of N new samples, TOAST is 1 (distinct share {share:.2f}): {cost}")
    assert cost["dlb"] >= 1.9, cost
    assert max(cost.values()) >= 2.95, cost
