"""Bars on time: ratios, interleaved, medians. Medoids and augmentation have theirs with them.

On one thread, in processor time: on an idle machine that is the time on the clock, and on a busy
one it does not count what else runs.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.helpers import measured
from toastlab.data import DataConfig, Split, load
from toastlab.methods import CONFIGS, CrossEntropyConfig, MethodConfig, ToastConfig
from toastlab.timing import Loop, epochs_in_turns, one_thread


def teaching(config: MethodConfig, noise: float = 0.2, budget: str = "images") -> Loop:
    """Epochs of the teaching ResNet, B 128, on 600 images per class, 20 % noise unless clean."""
    split = load(DataConfig(noise_rate=noise, per_class=600)).train
    assert isinstance(split, Split)
    return Loop(config, split, 10, budget=budget)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def ratios(loops: list[Loop], rounds: int) -> list[list[float]]:
    """Time of every loop's epoch against the first's, round by round."""
    return [[t / times[0] for t in times] for times in epochs_in_turns(loops, rounds)]


@pytest.mark.bar
def test_toast_costs_at_most_three_percent_more_than_cross_entropy() -> None:
    """At equal images and iterations, medoids included. An idle machine says 1.022 to 1.029."""

    def cost() -> float:
        rounds = ratios([teaching(CrossEntropyConfig()), teaching(ToastConfig())], 7)
        return float(np.median([row[1] for row in rounds]))

    found = measured(cost, lambda cost: cost <= 1.03)
    assert found <= 1.03, found


@pytest.mark.bar
def test_toast_against_the_peers_per_epoch_of_samples() -> None:
    """An epoch of N samples of each layout: DLB visits them twice, BAKE four images per anchor.

    TOAST's layout "replace" draws a batch less what it carries, so its N places hold fewer distinct
    samples: its time is taken per sample that it really drew.
    """
    loops = [teaching(ToastConfig(), 0.0, "samples")]
    loops += [teaching(c(), 0.0, "samples") for n, c in CONFIGS.items() if n not in ("toast",)]
    found = np.median(np.array(ratios(loops, 5)), 0)
    names = ["toast", *(n for n in CONFIGS if n != "toast")]
    share = loops[0].new / (loops[0].method.steps(loops[0].stream) * loops[0].method.fresh)
    cost = dict(zip(names, (found * share).round(2).tolist(), strict=True))
    print(f"epoch of N new samples, TOAST is 1 (distinct share {share:.2f}): {cost}")
    assert cost["dlb"] >= 1.9, cost
    assert max(cost.values()) >= 2.95, cost
