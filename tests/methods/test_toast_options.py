"""TOAST's options for what the abstract leaves open: each does what its line in the config says."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import carrying
from tests.methods.test_toast import Loop, same
from toastlab.core.carry import CRITERIA, Criterion, under_trained
from toastlab.medoids.exact import class_medoids
from toastlab.medoids.targets import Prototype, prototype_targets
from toastlab.methods import CrossEntropyConfig, ToastConfig
from toastlab.methods.toast import Toast

DISTILLED = carrying(carried_loss="distilled", medoid_weight=0)


def kl(past: Tensor, now: Tensor, temperature: float) -> float:
    """T^2 KL by the definition, sample by sample in Python's floats."""
    total = 0.0
    for a, b in zip(past.double(), now.double(), strict=True):
        p, q = (a / temperature).softmax(0).tolist(), (b / temperature).softmax(0).tolist()
        total += sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    return temperature**2 * total / len(past)


def test_a_carried_sample_is_distilled_only() -> None:
    """L1 is the mean over the new samples, L2 over the carried ones."""
    loop = Loop(replace(DISTILLED, past_weight=2.0, past_temperature=3.0)).epochs(1)
    batch, logits = loop.batches[1], loop.logits[1]
    carried = batch.carried
    assert 0 < int(carried.sum()) < len(carried)
    new = nn.functional.cross_entropy(logits[~carried], batch.labels[~carried]).item()
    expected = new + 2 * kl(batch.past[carried], logits[carried], 3.0)
    assert loop.losses[1] == pytest.approx(expected, rel=1e-5)


def test_the_label_of_a_carried_sample_does_not_matter() -> None:
    """With the label and the KL it does, in every other form than "distilled"."""
    loop = Loop(DISTILLED).epochs(1)
    batch, logits = loop.batches[1], loop.logits[1]
    other = replace(batch, labels=torch.where(batch.carried, 3 - batch.labels, batch.labels))
    other.partner_labels = other.labels
    for form, equal in (("distilled", True), ("label-and-kl", False), ("target", False)):
        config = replace(DISTILLED, carried_loss=form, past_weight=0.5)  # type: ignore[arg-type]
        method = config.build(loop.method.labels, 4, 16)
        one, two = (method.loss(logits, b).total for b in (batch, other))
        assert torch.equal(one, two) == equal


def test_a_sure_past_prediction_counts_for_more() -> None:
    """[ours] The target is (1 - s) t + s p(z_past; T_p), s = b max p(z_past; T_p), of the carried;
    the loss is one mean over the batch."""
    config = carrying(carried_loss="confidence", past_weight=0.8, past_temperature=2.0)
    loop = Loop(config).epochs(2)
    step = len(loop.batches) - 1
    batch, logits = loop.batches[step], loop.logits[step]
    assert 0 < int(batch.carried.sum()) < len(batch.carried)
    table = Loop(config).epochs(1).method.table  # of the second epoch
    total = 0.0
    for i in range(len(batch.labels)):
        target = table[batch.labels[i]]
        if batch.carried[i]:
            past = (batch.past[i] / 2).softmax(0)
            share = 0.8 * float(past.max())
            target = (1 - share) * target + share * past
        total -= float((target * logits[i].log_softmax(0)).sum())
    assert loop.losses[step] == pytest.approx(total / len(batch.labels), rel=1e-5)


def test_shares_of_one_target_cannot_exceed_it() -> None:
    carrying(carried_loss="confidence", medoid_weight=1.0, past_weight=1.0)
    for form, b in (("confidence", 1.1), ("target", 0.8)):
        with pytest.raises(ValueError, match=r"the weights add to 1\.1, above 1"):
            carrying(carried_loss=form, past_weight=b)  # type: ignore[arg-type]


def test_without_past_weight_everyone_shows_a_label() -> None:
    """Also where `replay` carries samples: the control of the sampling alone."""
    same(replace(DISTILLED, past_weight=0), CrossEntropyConfig())
    control = replace(DISTILLED, past_weight=0, replay=True)
    same(control, replace(control, carried_loss="label-and-kl"))


def test_an_empty_carry_leaves_cross_entropy() -> None:
    loop = Loop(replace(DISTILLED, criterion="probability", threshold=1e-30)).epochs(2)
    assert not any(bool(batch.carried.any()) for batch in loop.batches)
    plain = Loop(CrossEntropyConfig()).epochs(2)
    torch.testing.assert_close(loop.weights, plain.weights)


def test_a_whole_batch_of_carried_samples_has_a_finite_loss() -> None:
    """As a loader's last batch, which is shorter than the carry, may be."""
    loop = Loop(DISTILLED).epochs(1)
    batch = replace(loop.batches[1], carried=torch.ones(16, dtype=torch.bool))
    logits = loop.logits[1].clone().requires_grad_()
    total = loop.method.loss(logits, batch).total
    assert float(total.detach()) == pytest.approx(kl(batch.past, logits.detach(), 3.0), rel=1e-5)
    total.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_still_wrong_samples_are_distilled_on_from_what_was_last_said() -> None:
    loop = Loop(replace(DISTILLED, max_visits=3)).epochs(1)
    again = 0
    pairs = zip(loop.batches, loop.batches[1:], loop.logits, strict=False)
    for before, after, logits in pairs:
        for i in after.carried.nonzero().flatten().tolist():
            j = before.index.tolist().index(int(after.index[i]))
            assert torch.equal(after.past[i], logits[j])
            again += bool(before.carried[j])
    assert again > 0


def with_bank(config: ToastConfig, logits: Tensor, labels: Tensor) -> Toast:
    """The method after an epoch that left these logits [N, K] in the bank."""
    toast = config.build(labels, logits.shape[1], 2)
    assert isinstance(toast, Toast)
    toast.bank.start_epoch()
    every = torch.ones(len(labels), dtype=torch.bool)
    toast.bank.write(torch.arange(len(labels)), logits, every, ~every)
    return toast


@pytest.mark.parametrize("prototype", ["medoid", "mean", "mean-softmax"])
def test_a_class_can_keep_its_last_medoid(prototype: Prototype) -> None:
    """In the second epoch class 1 has no right sample any more, and class 0 has another medoid."""
    labels = torch.tensor([0, 0, 1, 1])
    first = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    second = torch.tensor([[-1.0, 0.0], [5.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    kept: dict[str, Toast] = {}
    for name in ("hard", "last-medoid"):
        config = carrying(no_candidate=name, prototype=prototype)  # type: ignore[arg-type]
        kept[name] = toast = with_bank(config, first, labels)
        toast.end_epoch()
        before = toast.soft.clone()
        every = torch.ones(4, dtype=torch.bool)
        toast.bank.write(torch.arange(4), second, every, ~every)
        toast.end_epoch()
        assert not torch.equal(toast.soft[0], before[0])
        assert torch.equal(toast.soft[1], before[1]) == (name == "last-medoid")
    assert torch.equal(kept["hard"].soft[1], torch.tensor([0.0, 1.0]))
    assert kept["hard"].medoids.index.tolist() == [1, -1]
    assert kept["last-medoid"].medoids.index.tolist() == [1, 2]
    assert torch.equal(kept["last-medoid"].medoids.logits[1], first[2])


def test_a_class_without_a_last_medoid_has_its_hard_target() -> None:
    labels, logits = torch.tensor([0, 1]), torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    toast = with_bank(carrying(no_candidate="last-medoid"), logits, labels)
    toast.end_epoch()
    assert toast.medoids.index.tolist() == [0, -1]
    assert torch.equal(toast.soft[1], torch.tensor([0.0, 1.0]))


def test_prototypes_are_what_they_say() -> None:
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(40, 4, generator=g), torch.arange(40) % 4
    chosen = logits.argmax(1) == labels
    medoids = class_medoids(logits, labels)
    for c in range(4):
        rows = logits[chosen & (labels == c)]
        expected = {
            "medoid": (logits[medoids.index[c]] / 2).softmax(0),
            "mean": (rows.mean(0) / 2).softmax(0),
            "mean-softmax": rows.softmax(1).mean(0),
            "uniform": torch.full((4,), 0.25),
        }
        for name, row in expected.items():
            found = prototype_targets(logits, labels, chosen, medoids, name, 2.0)  # type: ignore[arg-type]
            torch.testing.assert_close(found[c], row)
    with pytest.raises(ValueError, match="Did you mean 'mean'"):
        prototype_targets(logits, labels, chosen, medoids, "means")  # type: ignore[arg-type]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_random_control_carries_as_many(criterion: Criterion) -> None:
    """Of every criterion; "random" itself is that of "misclassified"."""
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(64, 4, generator=g), torch.arange(64) % 4
    medoids = {"medoid_logits": torch.randn(4, 4), "medoid_exists": torch.arange(4) > 0}
    eligible = torch.arange(64) % 3 > 0
    more = medoids if criterion == "medoid-distance" else {}
    plain = "misclassified" if criterion == "random" else criterion
    marked, _ = under_trained(logits, labels, plain, **more)
    draws = [
        under_trained(
            logits,
            labels,
            criterion,
            at_random=criterion != "random",
            eligible=eligible,
            generator=g.manual_seed(seed),
            **more,
        )[0]
        for seed in range(2)
    ]
    for drawn in draws:
        assert int(drawn.sum()) == int((marked & eligible).sum())
        assert not bool((drawn & ~eligible).any())
    if criterion != "all":
        assert not torch.equal(*draws)
    same(carrying(criterion="random"), carrying(random_carry=True))


@pytest.mark.parametrize("source", ["carry", "memory"])
@pytest.mark.parametrize("layout", ["replace", "extra"])
def test_nothing_is_carried_while_a_ramp_is_at_zero(source: str, layout: str) -> None:
    """The first epoch is plain training then, also where carried samples are distilled only."""
    config = replace(DISTILLED, ramp="fit", fit_from=0.999, source=source, layout=layout)
    loop = Loop(config).epochs(2)
    assert loop.toast.past_weight == 0
    if source == "carry":
        assert not any(bool(batch.carried.any()) for batch in loop.batches)
    if layout == "replace":
        plain = Loop(CrossEntropyConfig()).epochs(2)
        assert torch.equal(loop.weights, plain.weights)


def test_a_ramp_that_falls_back_to_zero_drops_the_carry() -> None:
    """Else those carried then would come again and again, with nothing to learn from them."""
    loop = Loop(replace(DISTILLED, ramp="fit", keep_carry=True)).epochs(2)
    toast = loop.toast
    assert toast.past_weight > 0
    assert int(toast.carry.count) > 0
    toast.bank.logits.copy_(-torch.eye(4)[toast.labels])  # everything is wrong
    toast._finish_epoch()
    assert toast.past_weight == 0
    assert int(toast.carry.count) == 0
