"""The ramp of TOAST's weights, ours: what it makes of them, and that zero means cross-entropy."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.helpers import carrying, tiny
from toastlab.core.stream import Stream
from toastlab.methods import CrossEntropyConfig, Plan
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train


def test_ramp_linear_and_none() -> None:
    labels = torch.arange(32) % 4
    plain, linear = (carrying(ramp=r).build(labels, 4, 8) for r in ("none", "linear"))
    linear.plan = Plan(epochs=4)
    seen = []
    for _ in range(6):
        seen.append((float(plain.growth), float(linear.growth)))
        plain.end_epoch()
        linear.end_epoch()
    assert seen == [(1.0, g) for g in (0.0, 0.25, 0.5, 0.75, 1.0, 1.0)]


def test_ramp_linear_is_refused_without_a_plan() -> None:
    """Its slope would be anybody's guess: the weights were full after one epoch."""
    data = tiny(n=32)
    linear = carrying(ramp="linear").build(data.train.labels, 4, 8)
    with pytest.raises(ValueError, match=r"call method\.setup\(.*Plan\(epochs="):
        next(iter(linear.batches(Stream(data.train, 8))))
    linear.setup(torch.nn.Identity(), torch.zeros(2, 1, 8, 8), Plan(epochs=4))
    next(iter(linear.batches(Stream(data.train, 8))))
    for ramp in ("none", "fit"):
        method = carrying(ramp=ramp).build(data.train.labels, 4, 8)
        next(iter(method.batches(Stream(data.train, 8))))


def test_ramp_fit_follows_the_share_got_right() -> None:
    labels = torch.arange(40) % 4
    toast = carrying(ramp="fit", fit_from=0.5, medoid_weight=0.4).build(labels, 4, 8)
    everyone = torch.arange(40)
    no = torch.zeros(40, dtype=torch.bool)
    for right, growth in ((10, 0.0), (20, 0.0), (30, 0.5), (40, 1.0)):
        answers = torch.where(everyone < right, labels, (labels + 1) % 4)
        toast.bank.write(everyone, 5 * F.one_hot(answers, 4).float(), ~no, no)
        toast.end_epoch()
        assert float(toast.growth) == pytest.approx(growth)
        wanted = torch.lerp(torch.eye(4), toast.soft, 0.4 * growth)
        torch.testing.assert_close(toast.table, wanted)


def test_weights_of_zero_change_nothing_at_all() -> None:
    """Before the network fits, TOAST with a ramp is cross-entropy, to the bit."""
    careful = carrying(ramp="fit", fit_from=0.8, fit_full=1.0, source="memory", criterion="all")
    base = TrainConfig(model="mlp", epochs=3, batch_size=16, method=CrossEntropyConfig())
    never = replace(careful, fit_from=0.999999)
    data = tiny(n=64)
    labels = data.train.labels.clone()
    labels[::3] = (labels[::3] + 1) % 4  # not to be fitted in 3 epochs
    noisy = replace(data.train, labels=labels)
    hard = replace(data, train=noisy)
    runs = [
        train(replace(base, method=m), dataset=hard, device="cpu") for m in (base.method, never)
    ]
    a, b = runs
    assert a is not None
    assert b is not None
    assert float(b.metrics.under_trained.iloc[-1]) > 0
    assert all(torch.equal(t, b.weights[name]) for name, t in a.weights.items())
    # and at work it does change them
    now = train(replace(base, method=replace(careful, fit_from=0.0)), dataset=hard, device="cpu")
    assert now is not None
    assert any(not torch.equal(t, now.weights[name]) for name, t in a.weights.items())


def test_ramp_names_are_checked() -> None:
    with pytest.raises(ValueError, match=r"unknown ramp 'linar'\. Did you mean 'linear'"):
        carrying(ramp="linar")
    with pytest.raises(ValueError, match="fit from is 1"):
        carrying(fit_from=1.0)
    with pytest.raises(ValueError, match=r"fit_from is 0\.8, but must be below fit_full, 0\.8"):
        carrying(fit_from=0.8, fit_full=0.8)


@pytest.mark.parametrize(("right", "growth"), [(5, 0.0), (6, 0.0), (7, 0.5), (8, 1.0), (9, 1.0)])
def test_ramp_fit_is_straight_between_its_ends(right: int, growth: float) -> None:
    labels = torch.zeros(10, dtype=torch.int64)
    toast = carrying(ramp="fit", fit_from=0.6, fit_full=0.8).build(labels, 2, 2)
    logits = torch.eye(2)[(torch.arange(10) >= right).long()]
    every = torch.ones(10, dtype=torch.bool)
    toast.bank.start_epoch()
    toast.bank.write(torch.arange(10), logits, every, ~every)
    toast.end_epoch()
    assert float(toast.growth) == pytest.approx(growth, abs=1e-6)  # type: ignore[arg-type]
