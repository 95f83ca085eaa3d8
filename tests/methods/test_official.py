"""PS-KD, Tf-KD self and BAKE over four epochs of training, each beside a second training in plain
words: the formulas of the authors' public code, written down again without anything of ours.

Both sides start from the same weights and see the same images; from then on each computes its own
loss, gradients and update. What is drawn is our stream's; what the public code's sampler promises
of a batch is asserted of it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import combinations

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn

from tests.helpers import carrying
from toastlab.core.stream import Batch, Stream
from toastlab.data.splits import Split
from toastlab.methods import (
    CONFIGS,
    BakeConfig,
    ByotConfig,
    Method,
    MethodConfig,
    Plan,
    PsKdConfig,
    SelcConfig,
    TfKdSelfConfig,
)

EPOCHS = 4


def split(n: int, k: int) -> Split:
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 1, 4, 4), generator=g).to(torch.uint8)
    labels = torch.arange(n) % k
    return Split(images, labels, labels)


def network(k: int, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, k))


def pixels(batch: Batch) -> Tensor:
    return batch.images.float() / 255 - 0.5


class Pair:
    """Our method and the plain training, side by side."""

    def __init__(self, config: MethodConfig, n: int, k: int, b: int) -> None:
        self.data, self.k = split(n, k), k
        lots = torch.Generator().manual_seed(1)
        self.method: Method = config.build(self.data.labels, k, b, lots)
        self.ours, self.teacher = network(k), network(k, seed=5)
        self.plain = deepcopy(self.ours)
        some = self.data.images[:2].float() / 255
        self.method.setup(self.ours, some, Plan(EPOCHS, budget="samples"))
        if config.needs_teacher:
            self.method.set_teacher(deepcopy(self.teacher))
        self.stream = Stream(self.data, b, seed=2)
        self.steps = 0

    def run(self, loss_of: Callable[[Tensor, Batch, int], Tensor]) -> None:
        """All epochs; `loss_of` is the plain loss of logits, batch and epoch, from 0."""
        updates = [torch.optim.SGD(m.parameters(), 0.05, 0.9) for m in (self.ours, self.plain)]
        for epoch in range(EPOCHS):
            for batch in self.method.batches(self.stream):
                logits = self.method.run_model(self.ours, pixels(batch), batch)
                said = self.plain(pixels(batch))
                losses = [self.method.loss(logits, batch).total, loss_of(said, batch, epoch)]
                torch.testing.assert_close(logits, said, atol=5e-6, rtol=1e-5)
                torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=1e-5)
                for update, loss in zip(updates, losses, strict=True):
                    update.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                both = zip(self.ours.parameters(), self.plain.parameters(), strict=True)
                for a, b in both:
                    torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-5)
                for update in updates:
                    update.step()
                self.method.update(logits, batch)
                self.steps += 1
        first, last = (next(m.parameters()).detach() for m in (network(self.k), self.ours))
        assert float((last - first).abs().max()) > 1e-3, "it has been trained"


def test_ps_kd_is_the_official_formula_for_four_epochs() -> None:
    """Every prediction is kept and is the soft part of the next epoch's target, at first the label;
    its share is 0.8 of the epochs begun out of all."""
    pair = Pair(PsKdConfig(), n=64, k=5, b=16)
    kept = nn.functional.one_hot(pair.data.labels, 5).float()

    def loss(said: Tensor, batch: Batch, epoch: int) -> Tensor:
        share = 0.8 * (epoch + 1) / EPOCHS
        hard = nn.functional.one_hot(batch.labels, 5).float()
        target = (1 - share) * hard + share * kept[batch.index]
        kept[batch.index] = said.detach().softmax(1)
        return -(target * said.log_softmax(1)).sum(1).mean()

    pair.run(loss)
    assert pair.steps == EPOCHS * 4


@pytest.mark.parametrize("config", [PsKdConfig(), PsKdConfig(source="network")])
def test_ps_kd_stays_at_its_last_share(config: PsKdConfig) -> None:
    """Beyond the planned epochs too, so that no target is negative."""
    method = Pair(config, n=64, k=5, b=16).method
    shares = []
    for _ in range(EPOCHS + 3):
        shares.append(float(method.weight))  # type: ignore[attr-defined]
        method.end_epoch()
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8])


def test_tf_kd_self_is_the_official_formula_for_four_epochs() -> None:
    """With the three numbers of the official file for ResNet-18 on CIFAR-100, at its 100 classes:
    the KL is a mean over images and classes, times T^2, times the multiplier."""
    pair = Pair(TfKdSelfConfig(), n=200, k=100, b=20)
    weight, temperature, multiplier = 0.95, 6.0, 50.0

    def loss(said: Tensor, batch: Batch, epoch: int) -> Tensor:
        with torch.no_grad():
            taught = (pair.teacher(pixels(batch)) / temperature).softmax(1)
        cooled = (said / temperature).log_softmax(1)
        each = taught * (taught.log() - cooled)  # [B, 100]
        distance = each.mean() * temperature**2 * multiplier
        return (1 - weight) * nn.functional.cross_entropy(said, batch.labels) + weight * distance

    pair.run(loss)
    assert pair.steps == EPOCHS * 10


def check_batch(batch: Batch, anchors: int, labels: Tensor) -> None:
    """The official sampler's law: classmates of the anchor, never itself, no one twice."""
    index, *others = batch.index.view(-1, anchors)
    for i, anchor in enumerate(index.tolist()):
        mine = [int(row[i]) for row in others]
        assert anchor not in mine
        assert len(set(mine)) == len(mine)
        assert all(labels[j] == labels[anchor] for j in mine)


def test_bake_is_the_official_formula_for_four_epochs() -> None:
    """Features of unit length, softmax of their cosines without the own one; the soft target is the
    limit of: half of the neighbours' mean target and half of the own prediction."""
    pair = Pair(BakeConfig(), n=80, k=5, b=16)
    seen: list[Tensor] = []
    pair.plain[3].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))

    def loss(said: Tensor, batch: Batch, epoch: int) -> Tensor:
        check_batch(batch, 4, pair.data.labels)
        features = seen.pop().detach().double()
        features = features / features.norm(dim=1, keepdim=True)
        close = (features @ features.T).exp()
        close = close - close.diag().diag()
        close = close / close.sum(1, keepdim=True)
        own = (said.detach().double() / 4).softmax(1)
        target = own
        for _ in range(60):
            target = 0.5 * close @ target + 0.5 * own
        cooled = (said / 4).log_softmax(1)
        distance = (target * (target.log() - cooled)).sum(1).mean()
        return nn.functional.cross_entropy(said, batch.labels) + 16 * distance.float()

    pair.run(loss)
    assert pair.steps == EPOCHS * 20


def draws(sizes: list[int], many: int, rounds: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Anchors and their companions, of BAKE on classes of these sizes."""
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(sizes)])
    images = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    b = 2 * (many + 1)
    lots = torch.Generator().manual_seed(3)
    method = BakeConfig(companions=many).build(labels, len(sizes), b, lots)
    stream = Stream(Split(images, labels, labels), b, seed=4)
    for _ in range(rounds):
        stream.start_epoch()
        for _ in range(method.steps(stream)):
            batch = method.next_batch(stream)  # nothing is trained, so nothing is given back
            index, *others = batch.index.view(-1, 2).tolist()
            yield from ((a, tuple(row[i] for row in others)) for i, a in enumerate(index))


def test_bakes_companions_are_drawn_evenly() -> None:
    """All sets of three of the five others come equally often, and each of them in each place."""
    sets: Counter[frozenset[int]] = Counter()
    places: list[Counter[int]] = [Counter(), Counter(), Counter()]
    for anchor, others in draws([6, 6], 3, 4000):
        if anchor == 2:
            sets[frozenset(others)] += 1
            for place, other in zip(places, others, strict=True):
                place[other] += 1
    possible = [frozenset(s) for s in combinations([0, 1, 3, 4, 5], 3)]
    assert set(sets) == set(possible)
    assert chisquare([sets[s] for s in possible]).pvalue > 0.001
    for place in places:
        assert chisquare([place[i] for i in (0, 1, 3, 4, 5)]).pvalue > 0.001


def test_bakes_companions_in_small_classes() -> None:
    """As many others as wanted: always all of them. Fewer: with replacement, evenly, never itself.
    None: the image itself, so that the batch keeps its shape."""
    found: dict[int, Counter[tuple[int, ...]]] = {}
    for anchor, others in draws([1, 3, 4], 3, 1500):
        found.setdefault(anchor, Counter())[others] += 1
    assert set(found[0]) == {(0, 0, 0)}
    assert {i for others in found[1] for i in others} == {2, 3}
    assert len(found[1]) == 8
    assert chisquare(list(found[1].values())).pvalue > 0.001
    assert {frozenset(others) for others in found[4]} == {frozenset((5, 6, 7))}
    assert len(found[4]) == 6


NEEDS = {
    "ps-kd": (PsKdConfig(), "setup"),
    "ps-kd network": (PsKdConfig(source="network"), "setup"),
    "selc": (SelcConfig(), "setup"),
    "toast linear": (carrying(ramp="linear"), "setup"),
    "byot": (ByotConfig(exits="1"), "setup"),
    "tf-kd-self": (TfKdSelfConfig(), "set_teacher"),
}


@pytest.mark.parametrize(("config", "call"), NEEDS.values(), ids=NEEDS.keys())
def test_what_was_left_out_is_said_at_the_first_batch(config: MethodConfig, call: str) -> None:
    data = split(32, 4)
    method = deepcopy(config.build(data.labels, 4, 8))  # a copy knows no more
    with pytest.raises(ValueError, match=rf"cannot be trained yet: call method\.{call}\(.*\)") as e:
        next(iter(method.batches(Stream(data, 8))))
    assert "\n" not in str(e.value)
    if call == "setup":
        assert "Plan(epochs=" in str(e.value)
    # with a batch of one's own the loss says it, at the latest
    plain = CONFIGS["cross-entropy"]().build(data.labels, 4, 8)
    batch = next(iter(plain.batches(Stream(data, 8))))
    with pytest.raises(ValueError, match=f"cannot be trained yet: call method.{call}"):
        method.loss(torch.zeros(8, 4), batch)


@pytest.mark.parametrize("name", ["bake", "byot", "tf-kd-self", "ps-kd network"])
def test_logits_that_answer_did_not_give_are_refused(name: str) -> None:
    """These methods keep something of the pass; with `model(images)` there is nothing to keep."""
    config = BakeConfig() if name == "bake" else NEEDS[name][0]
    pair = Pair(config, n=32, k=4, b=8)
    batch = next(iter(pair.method.batches(pair.stream)))
    with pytest.raises(ValueError, match=r"take the logits from method\.run_model\("):
        pair.method.loss(pair.ours(pixels(batch)), batch)


FREE = ["cross-entropy", "label-smoothing", "ols", "tf-kd", "toast", "dlb", "cs-kd", "bake"]
FREE += ["elr", "zipf", "gce", "sce"]


@pytest.mark.parametrize("name", FREE)
def test_who_needs_no_plan_does_without(name: str) -> None:
    data, model = split(32, 4), network(4)
    method = CONFIGS[name]().build(data.labels, 4, 8)
    stream = Stream(data, 8)
    for _ in range(2):
        for batch in method.batches(stream):
            logits = method.run_model(model, pixels(batch), batch)
            assert bool(torch.isfinite(method.loss(logits, batch).total))
            method.update(logits, batch)
