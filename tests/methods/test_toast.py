"""TOAST as a whole: its degenerate cases are other methods; its state is what its file says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import carrying, tiny
from toastlab.core.losses import soft_cross_entropy
from toastlab.core.stream import Batch, Stream
from toastlab.data.dataset import Dataset
from toastlab.medoids.targets import class_means, class_medoids, soft_targets
from toastlab.methods import CrossEntropyConfig, LabelSmoothingConfig, MethodConfig
from toastlab.methods.base import Method
from toastlab.methods.toast import Toast


class Loop:
    """A user's own loop, written down once for the tests."""

    def __init__(self, config: MethodConfig, n: int = 64, b: int = 16, noise: int = 3) -> None:
        self.data: Dataset = tiny(n)
        labels = self.data.train.labels.clone()
        labels[::noise] = (labels[::noise] + 1) % 4  # something to be under-trained on
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        g = torch.Generator().manual_seed(0)
        self.method: Method = config.build(labels, 4, b, g)
        self.stream = Stream(replace(self.data.train, labels=labels), b, seed=5)
        self.batches: list[Batch] = []
        self.logits: list[Tensor] = []
        self.losses: list[float] = []

    def step(self, batch: Batch) -> None:
        logits = self.model(batch.images.float() / 255)
        loss = self.method.loss(logits, batch)
        self.optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.method.update(logits, batch)
        self.batches.append(batch)
        self.logits.append(logits.detach())
        self.losses.append(float(loss.total.detach()))

    def epochs(self, count: int) -> "Loop":
        for _ in range(count):
            for batch in self.method.batches(self.stream):
                self.step(batch)
        return self

    @property
    def weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])

    @property
    def toast(self) -> Toast:
        assert isinstance(self.method, Toast)
        return self.method


def same(a: MethodConfig, b: MethodConfig, exact: bool = True) -> None:
    x, y = Loop(a).epochs(3), Loop(b).epochs(3)
    if exact:
        assert torch.equal(x.weights, y.weights)
    else:
        torch.testing.assert_close(x.weights, y.weights)


def test_no_weights_is_cross_entropy_exactly() -> None:
    same(carrying(medoid_weight=0, past_weight=0), CrossEntropyConfig())
    config = carrying(medoid_weight=0, past_weight=0, carried_loss="target")
    same(config, CrossEntropyConfig())


def test_uniform_prototype_is_label_smoothing() -> None:
    config = carrying(medoid_weight=0.2, past_weight=0, prototype="uniform")
    same(config, LabelSmoothingConfig(smoothing=0.2))


def test_cross_entropy_is_what_torch_says() -> None:
    loop = Loop(CrossEntropyConfig())
    batch = next(iter(loop.method.batches(loop.stream)))
    logits = torch.randn(16, 4)
    expected = nn.functional.cross_entropy(logits, batch.labels)
    torch.testing.assert_close(loop.method.loss(logits, batch).total, expected)


def test_stage_one_alone() -> None:
    """b = 0: nothing is carried, targets are (1 - a) e_y + a q_y of the bank's medoids."""
    loop = Loop(carrying(past_weight=0, medoid_temperature=3.0)).epochs(2)
    assert not any(bool(b.carried.any()) for b in loop.batches)
    bank, labels = loop.method.bank, loop.method.labels
    medoids = class_medoids(bank.logits, labels, seen=bank.seen)
    assert torch.equal(loop.toast.medoids.index, medoids.index)
    q = soft_targets(medoids.logits, medoids.exists, 3.0)
    expected = 0.7 * torch.eye(4) + 0.3 * q
    torch.testing.assert_close(loop.method.table, expected)
    batch, logits = loop.batches[0], torch.randn(16, 4)
    found = loop.method.loss(logits, batch).total
    torch.testing.assert_close(found, soft_cross_entropy(logits, expected[batch.labels]).mean())


def test_first_epoch_has_hard_targets_and_refresh_every() -> None:
    loop = Loop(carrying(refresh_every=2))
    loop.epochs(1)
    assert torch.equal(loop.method.table, torch.eye(4))
    loop.epochs(1)
    assert not torch.equal(loop.method.table, torch.eye(4))


def test_stage_two_alone() -> None:
    """a = 0: hard targets, plus b T^2 KL to the logits of the same samples one batch ago."""
    loop = Loop(carrying(medoid_weight=0, past_weight=2.0, past_temperature=3.0)).epochs(1)
    assert torch.equal(loop.method.table, torch.eye(4))
    before, batch = loop.batches[0], loop.batches[1]
    count = int(batch.carried.sum())
    assert 0 < count <= 8
    assert not bool(before.carried.any())
    total = nn.functional.cross_entropy(loop.logits[1], batch.labels).item()
    kl = 0.0
    for i in range(count):
        j = before.index.tolist().index(int(batch.index[i]))
        past, now = loop.logits[0][j], loop.logits[1][i]
        assert int(past.argmax()) != int(batch.labels[i]), "only misclassified ones are carried"
        p, q = (past / 3).softmax(0), (now / 3).log_softmax(0)
        kl += 9 * float((p * (p.log() - q)).sum()) / count
    assert loop.losses[1] == pytest.approx(total + 2.0 * kl, rel=1e-4)


def test_dlb_layout() -> None:
    """ "all" with a = 0, b = 1: every sample is seen in two batches running, as in DLB."""
    loop = Loop(carrying(medoid_weight=0, criterion="all")).epochs(1)
    for before, after in zip(loop.batches, loop.batches[1:], strict=False):
        fresh = before.index[~before.carried]
        carried = after.index[after.carried]
        assert len(carried) == 8
        assert set(carried.tolist()) <= set(fresh.tolist())
    for before, after in zip(loop.batches[1:], loop.batches[2:], strict=False):
        again = after.index[after.carried].tolist()
        assert sorted(again) == sorted(before.index[~before.carried].tolist())


def test_online_label_smoothing_prototype() -> None:
    loop = Loop(carrying(prototype="mean-softmax", past_weight=0, medoid_weight=0.5)).epochs(1)
    bank, labels = loop.method.bank, loop.method.labels
    right = (bank.logits.argmax(1) == labels) & bank.seen
    mean = class_means(bank.logits, labels, right, softmax=True)
    for c in range(4):
        if bool((right & (labels == c)).any()):
            torch.testing.assert_close(loop.toast.soft[c], mean[c], rtol=1e-4, atol=1e-6)


def test_class_mean_prototype() -> None:
    loop = Loop(carrying(prototype="mean", past_weight=0)).epochs(1)
    bank, labels = loop.method.bank, loop.method.labels
    right = (bank.logits.argmax(1) == labels) & bank.seen
    expected = (class_means(bank.logits, labels, right) / 2.0).softmax(1)
    exists = loop.toast.medoids.exists
    torch.testing.assert_close(loop.toast.soft[exists], expected[exists])


def test_a_batch_always_has_b_samples() -> None:
    loop = Loop(carrying()).epochs(3)
    assert {len(b.index) for b in loop.batches} == {16}
    assert len(loop.batches) == 3 * 4, "equal images: an epoch is N images, carried or not"


def test_extra_layout_puts_them_on_top() -> None:
    loop = Loop(carrying(layout="extra")).epochs(2)
    assert {len(b.index) for b in loop.batches} == {24}
    assert all(int((~b.carried).sum()) >= 16 for b in loop.batches)
    assert any(bool(b.carried.any()) for b in loop.batches)


def test_once_per_visit_and_until_trained() -> None:
    once = Loop(carrying()).epochs(2)
    for before, after in zip(once.batches, once.batches[1:], strict=False):
        carried = set(before.index[before.carried].tolist())
        assert not carried & set(after.index[after.carried].tolist())
    longer = Loop(carrying(max_visits=3, keep_carry=True)).epochs(3)
    most = max(int(b.visits.max()) for b in longer.batches)
    assert most in (2, 3)


def test_carry_is_dropped_or_kept_at_the_end_of_an_epoch() -> None:
    assert int(Loop(carrying()).epochs(1).toast.carry.count) == 0
    assert int(Loop(carrying(keep_carry=True)).epochs(1).toast.carry.count) > 0


def test_replay_changes_the_sampling_only() -> None:
    loop = Loop(carrying(medoid_weight=0, past_weight=0, replay=True)).epochs(1)
    assert any(bool(b.carried.any()) for b in loop.batches)
    expected = nn.functional.cross_entropy(loop.logits[1], loop.batches[1].labels)
    assert loop.losses[1] == pytest.approx(float(expected), rel=1e-5)


def test_memory_source() -> None:
    """KL on the half of each batch most in need, against what the bank held from the last visit."""
    loop = Loop(carrying(source="memory", medoid_weight=0)).epochs(1)
    assert not any(bool(b.carried.any()) for b in loop.batches), "nothing remembered yet"
    bank = loop.method.bank.logits.clone()
    loop.batches.clear()
    for batch in loop.method.batches(loop.stream):
        assert torch.equal(batch.past, loop.method.bank.logits[batch.index])
        wrong = batch.past.argmax(1) != batch.labels
        assert int(batch.carried.sum()) == min(8, int(wrong.sum()))
        assert not bool((batch.carried & ~wrong).any())
        loop.step(batch)
    assert len({i for b in loop.batches for i in b.index.tolist()}) == 64
    assert not torch.equal(bank, loop.method.bank.logits)


def test_target_form_and_divide_by_batch() -> None:
    config = carrying(medoid_weight=0.2, past_weight=0.4, carried_loss="target")
    loop = Loop(config).epochs(2)
    batch = next(b for b in loop.batches if bool(b.carried.any()))
    logits = torch.randn(16, 4)
    past = (batch.past / 3).softmax(1)
    hard = torch.eye(4)[batch.labels]
    target = loop.method.table[batch.labels] + 0.4 * batch.carried[:, None] * (past - hard)
    torch.testing.assert_close(target.sum(1), torch.ones(16))
    expected = -(target * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loop.method.loss(logits, batch).total, expected)

    carried, batched = (Loop(carrying(divide_by=d)) for d in ("carried", "batch"))
    parts = [x.method.loss(logits, batch).parts["stage2"] for x in (carried, batched)]
    share = int(batch.carried.sum()) / 16
    torch.testing.assert_close(parts[0] * share, parts[1])


@pytest.mark.parametrize("config", [CrossEntropyConfig(), carrying()], ids=lambda c: c.name)
def test_nothing_mixed_is_known_and_changes_nothing(config: MethodConfig) -> None:
    """The short way of a batch that nobody mixed gives to the bit what the long one does."""
    short, long = Loop(config), Loop(config)
    for _ in range(3):
        for batch in short.method.batches(short.stream):
            assert not batch.mixed
            assert batch.pure is None
            short.step(batch)
        for batch in long.method.batches(long.stream):
            batch.weight = batch.weight.clone()  # as if somebody had mixed, with weight 1
            assert batch.mixed
            assert batch.pure is not None
            assert batch.pure.tolist() == [True] * 16
            long.step(batch)
    assert torch.equal(short.weights, long.weights)
    ours, theirs = short.method.state_dict(), long.method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert short.losses == long.losses


def test_a_mix_written_in_place_counts() -> None:
    """Weights may be replaced or written to; the loss and the bank see both alike."""
    replaced, written = Loop(carrying()), Loop(carrying())
    for loop in (replaced, written):
        for batch in loop.method.batches(loop.stream):
            batch.partner = batch.index.roll(1)
            batch.partner_labels = batch.labels.roll(1)
            if loop is written:
                batch.weight[::2] = 0.7
            else:
                batch.weight = torch.tensor([0.7, 1.0] * 8)
            assert batch.mixed
            loop.step(batch)
    assert torch.equal(written.weights, replaced.weights)
    assert torch.equal(written.method.bank.logits, replaced.method.bank.logits)
    assert 0 < int(written.method.bank.seen.sum()) < 64


def test_bank_holds_the_last_logits_and_counts_visits() -> None:
    loop = Loop(carrying()).epochs(1)
    last: dict[int, Tensor] = {}
    visits = torch.zeros(64, dtype=torch.int64)
    for batch, logits in zip(loop.batches, loop.logits, strict=True):
        for i, z in zip(batch.index.tolist(), logits, strict=True):
            last[i] = z
            visits[i] += 1
    bank = loop.method.bank
    assert set(bank.seen.nonzero()[:, 0].tolist()) == set(last)
    for i, z in last.items():
        assert torch.equal(bank.logits[i], z)
    assert torch.equal(bank.visits, visits)
    assert int(bank.carried.sum()) == sum(int(b.carried.sum()) for b in loop.batches)


def test_report_of_the_medoids() -> None:
    loop = Loop(carrying()).epochs(2)
    report = loop.method.report()
    assert 0 <= report["medoid_to_mean"] < 1.5
    assert 0 < report["target_entropy"] <= torch.log(torch.tensor(4.0)) + 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"medoid_weight": -0.1}, r"medoid weight is -0\.1"),
        ({"past_weight": -1}, "past weight is -1"),
        ({"medoid_temperature": 0}, "medoid temperature is 0"),
        ({"past_temperature": -2}, "past temperature is -2"),
        ({"carried_loss": "target"}, "weights add to 1.3"),
        ({"criterion": "randon"}, "Did you mean 'random'"),
        ({"distance": "cos"}, "Did you mean 'cosine'"),
        ({"refresh_every": 0}, "refresh every is 0"),
        ({"share": 0}, "share is 0"),
        ({"mixed_carry": "repeat", "source": "memory"}, "needs source 'carry'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        carrying(**options)  # type: ignore[arg-type]


def test_labels_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2"):
        Toast(torch.tensor([0, 1, 3]), 3, 2)
