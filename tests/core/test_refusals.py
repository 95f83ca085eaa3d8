"""What fuzzing found: once a silent answer or another's error, now right or one plain line."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers import carrying, tiny
from toastlab.analysis import dynamics, statistics
from toastlab.analysis.metrics import evaluate, reliability_bins
from toastlab.core import losses
from toastlab.core.bank import Bank
from toastlab.core.carry import select, under_trained
from toastlab.core.stream import Stream
from toastlab.data.augment import Augment, AugmentConfig, Mixer, pixel_statistics
from toastlab.data.dataset import DataConfig, from_tensors
from toastlab.data.noise import flip_labels
from toastlab.data.splits import Split
from toastlab.medoids.targets import class_means, class_medoids
from toastlab.methods import Plan
from toastlab.store.names import from_json
from toastlab.studies.layouts import features, pick
from toastlab.studies.space import Axis, drawn, parse, with_point
from toastlab.training.config import TrainConfig
from toastlab.training.models import build

Z, Y, HALF = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor([True, False] * 2)
ONE = torch.zeros((), dtype=torch.int64)
RIGHT = np.array([[True, False], [False, True]])
PLAIN = Augment(AugmentConfig(), [0.5], [0.5])
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "stretched targets": (lambda: losses.soft_cross_entropy(Z, torch.ones(4, 1)), "not belong"),
    "whole logits": (lambda: losses.past_kl(Z.long(), Z), "floating-point"),
    "no heat": (lambda: losses.probability_kl(Z, Z.softmax(1), 0.0), "temperature is 0.0"),
    "two devices": (lambda: losses.past_kl(Z, Z.to("meta")), "several devices"),
    "numbers as mask": (lambda: losses.masked_mean(Z[:, 0], Y), "mask: torch.int64"),
    "share": (lambda: under_trained(Z, Y, "quantile", share=2.0), r"share is 2\.0"),
    "places": (lambda: select(HALF, Z[:, 0], Y, Z, Y, 5), "size is 5"),
    "bank": (lambda: Bank(4, 3, "cpu").write(Y, Z[:, :1], HALF, HALF), "not belong"),
    "seen": (lambda: class_medoids(Z, Y, seen=HALF[:1]), "not belong"),
    "labels of means": (lambda: class_means(Z, Y[:2], HALF), "not belong"),
    "one class's noise": (lambda: flip_labels(Y * 0, 1, "pairwise", 0.5, 0), "no other"),
    "noise outside": (lambda: flip_labels(Y + 3, 3, "symmetric", 0.5, 0), "labels must lie"),
    "NaN in a diagram": (lambda: reliability_bins(Z * math.nan, Y), "NaN"),
    "no bins": (lambda: reliability_bins(Z, Y, 0), "bins is 0"),
    "no classes": (lambda: evaluate(Z[:, :0], Y), "cannot measure"),
    "known": (lambda: dynamics.forgetting(RIGHT, RIGHT[0]), "not belong"),
    "ones for flags": (lambda: dynamics.forgetting(RIGHT.astype(int)), "bool"),
    "labels of margins": (lambda: dynamics.aum(np.ones((1, 2, 3)), np.array([0, -1])), "lie in"),
    "one class's margin": (lambda: dynamics.aum(np.ones((1, 1, 1)), np.array([0])), "two classes"),
    "labels of el2n": (lambda: dynamics.el2n(np.ones((2, 3)), np.array([0, -1])), "lie in"),
    "nothing": (lambda: statistics.interval([]), "nothing to take"),
    "level": (lambda: statistics.interval([1.0, 2.0], 2.0), "level is 2.0"),
    "p": (lambda: statistics.holm(pd.Series([1.5])), "p is 1.5"),
    "channels": (lambda: PLAIN.evaluate(torch.zeros(2, 3, 4, 4)), "3 channels"),
    "int64 pixels": (lambda: PLAIN.evaluate(torch.zeros(2, 1, 4, 4).long()), "give uint8"),
    "no deviation": (lambda: Augment(AugmentConfig(), [0.5], [0.0]), "deviation is 0.0"),
    "no pixels": (lambda: pixel_statistics(torch.zeros(0, 1, 4, 4)), "no pixels"),
    "no mix": (lambda: Mixer(AugmentConfig(), 2), "unknown mix"),
    "label -1": (lambda: Split(torch.zeros(4, 1, 2, 2), Y - 1, Y), "labels begin at -1"),
    "clean labels": (lambda: Split(torch.zeros(4, 1, 2, 2), Y, Y.float()), "give int64"),
    "list of labels": (lambda: Split(torch.zeros(4, 1, 2, 2), [0] * 4, Y), "must be tensors"),  # type: ignore[arg-type]
    "broken labels": (lambda: from_tensors(torch.zeros(4, 2, 2), Y + 0.5), "whole numbers"),
    "no labels": (lambda: from_tensors(torch.zeros(0, 2, 2), Y[:0]), "N at least 1"),
    "batch size": (lambda: Stream(tiny(8).train, 2.0), "batch size is 2.0"),  # type: ignore[arg-type]
    "drawn places": (lambda: Stream(tiny(8).train, 4).draw(ONE.repeat(5), ONE, 4), "images is 4"),
    "no steps": (lambda: Stream(tiny(8).train, 4).steps(0), "images is 0"),
    "odd method": (lambda: carrying().build(Y, 3, 5), "must be even"),
    "plan": (lambda: Plan(epochs=0), "epochs is 0"),
    "half an epoch": (lambda: TrainConfig(epochs=1.5), "of type int"),  # type: ignore[arg-type]
    "flag as number": (lambda: DataConfig(per_class=True), "of type int"),
    "text as flag": (lambda: AugmentConfig(flip="no"), "of type bool"),  # type: ignore[arg-type]
    "threads": (lambda: TrainConfig(threads=10**9), "threads is 1000000000"),
    "stored text": (lambda: from_json({"method": 3}), "no settings of a run"),
    "huge range": (lambda: parse("epochs", "1.." + "9" * 400, TrainConfig()), "not an integer"),
    "NaN on an axis": (lambda: Axis("decay", (math.nan,)), "no number"),
    "search": (lambda: drawn([Axis("decay", (0.1,))], "sobl", 2, 0), "Did you mean 'sobol'"),
    "no trials": (lambda: drawn([Axis("decay", (0.1,))], "sobol", 0, 0), "trials is 0"),
    "no setting": (lambda: with_point(TrainConfig(), {"foo.bar": 1}), "unknown setting"),
    "a part": (lambda: with_point(TrainConfig(), {"data": 1}), "unknown setting"),
    "no outputs": (lambda: build("mlp", 0), "number of classes is 0"),
    "cold features": (lambda: features(np.ones((2, 2)), "logits", 0.0), "temperature is 0"),
    "pick none": (lambda: pick(np.array([0, 1]), 0), "per class is 0"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_refused_in_one_line(name: str) -> None:
    call, said = CASES[name]
    with pytest.raises((ValueError, TypeError), match=said) as error:
        call()
    assert str(error.value).endswith(".")


def test_logits_that_the_softmax_rounds_to_one() -> None:
    """top-1 is that of the logits."""
    z = torch.tensor([[1e-30, 2e-30]] * 2)
    found = evaluate(z, torch.tensor([1, 1]))
    assert found["top1"] == 1
    assert found["aurc"] == 0
    assert found["ece"] == pytest.approx(0.5)


def test_arrays_in_any_order_of_bytes_and_rows() -> None:
    images = np.random.default_rng(0).random((60, 2, 2))
    labels = np.arange(60) % 2
    plain = from_tensors(images[::-1].copy(), labels[::-1].copy())
    assert plain.fingerprint == from_tensors(images[::-1], labels[::-1]).fingerprint
    assert plain.fingerprint == from_tensors(images[::-1].astype(">f8"), labels[::-1]).fingerprint


def test_an_infinite_difference_has_no_interval() -> None:
    assert math.isnan(statistics.interval([1.0, math.inf])[1])
    assert math.isnan(statistics.paired_p([1.0, math.inf]))
