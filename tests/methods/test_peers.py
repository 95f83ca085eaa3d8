"""The peers: each loss against a slow oracle in NumPy, gradient paths, passes, limits."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.helpers import carrying, tiny
from toastlab.core.class_index import ClassIndex
from toastlab.core.stream import Batch, Stream
from toastlab.data.augment import AugmentConfig
from toastlab.methods import (
    CONFIGS,
    BakeConfig,
    ByotConfig,
    CrossEntropyConfig,
    CsKdConfig,
    DlbConfig,
    LabelSmoothingConfig,
    Method,
    MethodConfig,
    OlsConfig,
    Plan,
    PsKdConfig,
    TfKdConfig,
    TfKdSelfConfig,
)
from toastlab.methods.bake import Bake, ensemble
from toastlab.methods.byot import Byot
from toastlab.methods.dlb import Dlb
from toastlab.methods.ols import Ols
from toastlab.store.runs import RunStore
from toastlab.training.config import TrainConfig
from toastlab.training.loop import teacher_config, train
from toastlab.training.models import build

Floats = NDArray[np.float64]
VARIANTS: dict[str, MethodConfig] = {
    **{name: config() for name, config in CONFIGS.items()},
    "ps-kd network": PsKdConfig(source="network"),
    "dlb joint": DlbConfig(joint=True),
}


class Setting:
    """A method on 64 blobs, attached to a small network; `step` is one batch without an update."""

    def __init__(self, config: MethodConfig, b: int = 16, plan: Plan | None = None) -> None:
        self.data = tiny(64)
        self.model = build("resnet-small", 4, 1, 8, seed=0)
        g = torch.Generator().manual_seed(1)
        self.method: Method = config.build(self.data.train.labels, 4, b, g)
        self.stream = Stream(self.data.train, b, seed=3)
        self.method.setup(self.model, self.images(2), plan or Plan(epochs=4))
        self.teacher = build("resnet-small", 4, 1, 8, seed=9)
        if config.needs_teacher:
            self.method.set_teacher(self.teacher)
        self.stream.start_epoch()

    def images(self, n: int) -> Tensor:
        return self.data.train.images[:n].float() / 255  # type: ignore[union-attr]

    def step(self) -> tuple[Batch, Tensor, Tensor]:
        batch = self.method.next_batch(self.stream)
        logits = self.method.run_model(self.model, batch.images.float() / 255, batch)
        loss = self.method.loss(logits, batch)
        return batch, logits, loss.total

    def epoch(self) -> None:
        for batch in self.method.batches(self.stream):
            logits = self.method.run_model(self.model, batch.images.float() / 255, batch)
            self.method.loss(logits, batch)
            self.method.update(logits, batch)


def soft(z: Tensor | Floats, t: float = 1.0) -> Floats:
    a = (z.detach().double().numpy() if isinstance(z, Tensor) else z) / t
    e = np.exp(a - a.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def ce(target: Floats, z: Tensor) -> float:
    total = 0.0
    for row, p in zip(target, soft(z), strict=True):
        total -= sum(t * np.log(q) for t, q in zip(row, p, strict=True))
    return total / len(target)


def kl(target: Floats, z: Tensor, t: float = 1.0) -> float:
    total = 0.0
    for row, p in zip(target, soft(z, t), strict=True):
        total += sum(a * np.log(a / q) for a, q in zip(row, p, strict=True) if a > 0)
    return t**2 * total / len(target)


def hot(labels: Tensor) -> Floats:
    return np.asarray(np.eye(4)[labels.numpy()])


def oracle_tf_kd(s: Setting, b: Batch, z: Tensor) -> float:
    u = np.full((4, 4), 0.01 / 3) + np.eye(4) * (0.99 - 0.01 / 3)
    return 0.9 * ce(hot(b.labels), z) + 0.1 * kl(soft(u, 20.0)[b.labels.numpy()], z)


def oracle_tf_kd_paper(s: Setting, b: Batch, z: Tensor) -> float:
    u = np.full((4, 4), 0.01 / 3) + np.eye(4) * (0.99 - 0.01 / 3)
    return 0.9 * ce(hot(b.labels), z) + 0.1 * kl(soft(np.log(u), 20.0)[b.labels.numpy()], z, 20.0)


def oracle_tf_kd_self(s: Setting, b: Batch, z: Tensor) -> float:
    taught = s.teacher.eval()(b.images.float() / 255)
    return 0.05 * ce(hot(b.labels), z) + 0.95 / 2 * kl(soft(taught, 6.0), z, 6.0)


def oracle_tf_kd_self_paper(s: Setting, b: Batch, z: Tensor) -> float:
    taught = s.teacher.eval()(b.images.float() / 255)
    return 0.05 * ce(hot(b.labels), z) + 0.95 * kl(soft(taught, 6.0), z, 6.0)


def oracle_cs_kd(s: Setting, b: Batch, z: Tensor) -> float:
    assert torch.equal(b.labels[:16], b.labels[16:])
    return ce(hot(b.labels[:16]), z[:16]) + kl(soft(z[16:], 4.0), z[:16], 4.0)


def oracle_ps_kd(s: Setting, b: Batch, z: Tensor) -> float:
    past = soft(s.method.bank.logits[b.index])
    assert s.method.bank.seen[b.index].all()
    a = 0.8 * 2 / 4  # the second of four epochs
    return ce((1 - a) * hot(b.labels) + a * past, z)


def oracle_ps_kd_network(s: Setting, b: Batch, z: Tensor) -> float:
    assert s.method.extra is not None
    past = soft(s.method.extra(b.images.float() / 255))
    return ce(0.6 * hot(b.labels) + 0.4 * past, z)


def oracle_dlb(s: Setting, b: Batch, z: Tensor) -> float:
    assert b.carried.tolist() == [True] * 8 + [False] * 8
    return ce(hot(b.labels), z) + kl(soft(b.past[:8], 3.0), z[:8], 3.0)


def oracle_bake(s: Setting, b: Batch, z: Tensor) -> float:
    assert isinstance(s.method, Bake)
    assert s.method.features is not None
    f = s.method.features.double().numpy()
    n = len(f)
    weights = np.zeros((n, n))
    for i in range(n):
        cosine = [f[i] @ f[j] / np.linalg.norm(f[i]) / np.linalg.norm(f[j]) for j in range(n)]
        e = np.array([np.exp(c) if j != i else 0.0 for j, c in enumerate(cosine)])
        weights[i] = e / e.sum()
    p, q = soft(z, 4.0), np.zeros((n, 4))
    power = np.eye(n)
    for _ in range(200):  # (I - w A)^-1 as its series
        q += 0.5 * power @ p
        power = 0.5 * power @ weights
    return ce(hot(b.labels), z) + kl(q, z, 4.0)


def oracle_byot(s: Setting, b: Batch, z: Tensor) -> float:
    method = s.method
    assert isinstance(method, Byot)
    assert len(method.answers) == 2
    assert method.end is not None
    labelled, taught, hint = ce(hot(b.labels), z), 0.0, 0.0
    for features, out in method.answers:
        labelled += ce(hot(b.labels), out)
        taught += kl(soft(z, 3.0), out, 3.0)
        hint += float(((features - method.end) ** 2).sum().detach())
    return 0.9 * labelled + 0.1 * taught + 1e-6 * hint


ORACLES: dict[str, tuple[MethodConfig, Callable[[Setting, Batch, Tensor], float]]] = {
    "tf-kd": (TfKdConfig(), oracle_tf_kd),
    "tf-kd paper": (TfKdConfig(form="paper"), oracle_tf_kd_paper),
    "tf-kd-self": (TfKdSelfConfig(), oracle_tf_kd_self),
    "tf-kd-self paper": (TfKdSelfConfig(multiplier=100), oracle_tf_kd_self_paper),
    "cs-kd": (CsKdConfig(), oracle_cs_kd),
    "ps-kd": (PsKdConfig(), oracle_ps_kd),
    "ps-kd network": (PsKdConfig(source="network"), oracle_ps_kd_network),
    "dlb": (DlbConfig(), oracle_dlb),
    "bake": (BakeConfig(), oracle_bake),
    "byot": (ByotConfig(), oracle_byot),
}


@pytest.mark.parametrize(("config", "oracle"), ORACLES.values(), ids=ORACLES.keys())
def test_loss_against_a_slow_oracle(
    config: MethodConfig, oracle: Callable[[Setting, Batch, Tensor], float]
) -> None:
    s = Setting(config)
    s.epoch()
    s.stream.start_epoch()
    batch, logits, total = s.step()
    assert float(total.detach()) == pytest.approx(oracle(s, batch, logits), rel=1e-5)


def test_ols_targets_are_the_mean_right_prediction_of_the_epoch() -> None:
    s = Setting(OlsConfig(weight=0.3))
    right: dict[int, list[Floats]] = {c: [] for c in range(4)}
    for batch in s.method.batches(s.stream):
        logits = s.method.run_model(s.model, batch.images.float() / 255, batch)
        s.method.update(logits, batch)
        for p, y in zip(soft(logits), batch.labels.tolist(), strict=True):
            if p.argmax() == y:
                right[y].append(p)
    assert sum(map(len, right.values())) > 0
    for c, rows in right.items():
        mean = np.mean(rows, 0) if rows else np.full(4, 0.25)
        np.testing.assert_allclose(
            s.method.table[c].numpy(), 0.3 * np.eye(4)[c] + 0.7 * mean, atol=1e-6
        )


def test_ols_first_epoch() -> None:
    labels = torch.arange(8) % 4
    for first, row in (("hard", [1, 0]), ("uniform", [0.625, 0.125]), ("zero", [0.5, 0])):
        table = OlsConfig(first=first).build(labels, 4, 4).table
        assert table[0, :2].tolist() == pytest.approx(row)
    assert isinstance(OlsConfig().build(labels, 4, 4), Ols)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_passes_per_sample_counted_on_the_model(config: MethodConfig) -> None:
    s = Setting(config)
    counted = {"passes": 0, "gradients": 0}

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        counted["passes"] += len(output)
        counted["gradients"] += len(output) if output.requires_grad else 0

    models = [s.model, s.teacher]
    if isinstance(config, PsKdConfig) and s.method.extra is not None:
        models.append(s.method.extra)
    for model in models:
        model.register_forward_hook(count)
    batch, _, _ = s.step()
    assert counted == {"passes": s.method.passes, "gradients": s.method.gradients}
    assert len(batch.index) == s.method.images_per_batch
    wanted = {"cs-kd": 2, "tf-kd-self": 2, "dlb": 2, "bake": 4}.get(config.name, 1)
    if isinstance(config, PsKdConfig) and config.source == "network":
        wanted = 2
    assert s.method.passes / s.method.new_per_batch == wanted
    assert s.method.state_bytes > 0


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_budgets(config: MethodConfig) -> None:
    s = Setting(config, plan=Plan(4, "images"))
    m, n = s.method, 64
    spent = 0.5 * n if config.needs_teacher else 0
    assert m.steps(s.stream) == max(1, int(n - spent) // m.passes)
    s = Setting(config, plan=Plan(4, "samples"))
    assert s.method.steps(s.stream) == n // s.method.new_per_batch
    with pytest.raises(ValueError, match="unknown budget 'image'"):
        Plan(1, "image")


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_what_is_detached(config: MethodConfig) -> None:
    """The loss is of the very logits of this pass; nothing that taught them gets a gradient."""
    s = Setting(config)
    s.epoch()
    s.stream.start_epoch()
    batch = s.method.next_batch(s.stream)
    logits = s.method.run_model(s.model, batch.images.float() / 255, batch)
    logits.retain_grad()
    s.method.loss(logits, batch).total.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert all(p.grad is None for p in s.teacher.parameters())
    if isinstance(config, CsKdConfig):
        assert (logits.grad[16:] == 0).all(), "the partners only teach"
        assert (logits.grad[:16] != 0).any()
    if isinstance(config, ByotConfig):  # the exits' distillation must not move the end
        assert isinstance(s.method, Byot)
        s.method.answers = [(f.detach(), out.detach()) for f, out in s.method.answers]
        z = logits.detach().requires_grad_()
        s.method.loss(z, batch).total.backward()  # type: ignore[no-untyped-call]
        p = torch.softmax(z.detach(), 1)
        y = torch.nn.functional.one_hot(batch.labels, 4)
        assert z.grad is not None
        torch.testing.assert_close(z.grad, 0.9 * (p - y) / len(p), atol=1e-6, rtol=1e-4)
    if config.name == "dlb":
        assert not batch.past.requires_grad


def weights(config: MethodConfig, **settings: object) -> Tensor:
    run = replace(TrainConfig(epochs=2, batch_size=16, method=config), **settings)  # type: ignore[arg-type]
    result = train(run, dataset=tiny(64), device="cpu")
    assert result is not None
    return torch.cat([w.flatten().float() for w in result.weights.values()])


@pytest.mark.parametrize(
    "config",
    [TfKdConfig(weight=0), PsKdConfig(final_weight=0), OlsConfig(weight=1)],
    ids=lambda c: c.name,
)
def test_without_its_weight_a_method_is_cross_entropy(config: MethodConfig) -> None:
    torch.testing.assert_close(weights(config), weights(CrossEntropyConfig()))


def test_more_degenerate_cases() -> None:
    even = TfKdConfig(weight=0.2, temperature=1000)  # a flat teacher is label smoothing
    smooth = weights(LabelSmoothingConfig(smoothing=0.2))
    torch.testing.assert_close(weights(even), smooth, atol=1e-4, rtol=1e-3)
    p = torch.rand(6, 4).softmax(1)
    torch.testing.assert_close(ensemble(torch.rand(6, 3), p, 0.0), p)
    mixed = ensemble(torch.rand(6, 3), p, 0.7)
    torch.testing.assert_close(mixed.sum(1), torch.ones(6))


def test_toast_that_carries_everything_is_dlb_up_to_the_first_batch() -> None:
    """a 0, b 1, every new half batch carried: the losses of a batch agree, see `methods.dlb`."""
    dlb = Setting(DlbConfig(joint=True))
    toast = Setting(carrying(medoid_weight=0, criterion="all", keep_carry=True))
    for s in (dlb, toast):
        batch, logits, _ = s.step()
        s.method.update(logits, batch)
    batch, logits, total = dlb.step()
    assert isinstance(dlb.method, Dlb)
    theirs = toast.method.loss(logits, batch).total
    torch.testing.assert_close(theirs, total)


def test_classmates_are_of_the_class_and_all_of_them_come() -> None:
    labels = torch.tensor([2, 0, 2, 1, 2, 0])
    mates = ClassIndex(labels, 4, torch.Generator().manual_seed(0))
    wanted = torch.tensor([0, 1, 2]).repeat(200)
    drawn = mates.draw(wanted)
    assert torch.equal(labels[drawn], wanted)
    assert set(drawn.tolist()) == set(range(6))


def test_costs_are_counted_and_a_teacher_is_paid_for(tmp_path: object) -> None:
    base = TrainConfig(epochs=4, batch_size=16, record="none")
    for budget in ("images", "samples"):
        for name, method in VARIANTS.items():
            config = replace(base, method=method, budget=budget)
            result = train(config, dataset=tiny(64), device="cpu")
            assert result is not None
            passes = result.metrics.passes.sum()
            if budget == "images":
                assert passes == pytest.approx(4 * 64, rel=0.26), name
                assert passes <= 4 * 64
            else:
                assert passes >= 4 * 64


def test_the_store_finds_the_teacher_again(tmp_path: object) -> None:
    store = RunStore(str(tmp_path))
    config = TrainConfig(epochs=4, batch_size=16, method=TfKdSelfConfig(), record="none")
    first = store.get(config, dataset=tiny(64), device="cpu")
    assert first is not None
    assert len(store.list()) == 2
    assert store.find(teacher_config(config), tiny(64).fingerprint) is not None
    alone = train(config, dataset=tiny(64), device="cpu")
    assert alone is not None
    for name, tensor in alone.weights.items():
        assert torch.equal(tensor, first.weights()[name])


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_resumes_to_the_bit(config: MethodConfig, tmp_path: object) -> None:
    settings = TrainConfig(
        epochs=3, batch_size=16, method=config, record="none", model="resnet-small"
    )
    whole = train(settings, dataset=tiny(64), device="cpu")
    checkpoint = tmp_path / "c.pt"  # type: ignore[operator]
    stop = {"at": 0}

    def should_stop() -> bool:
        stop["at"] += 1
        return checkpoint.exists()

    options = {"dataset": tiny(64), "device": "cpu", "checkpoint": checkpoint}
    assert train(settings, should_stop=should_stop, **options) is None  # type: ignore[arg-type]
    rest = train(settings, **options)  # type: ignore[arg-type]
    assert whole is not None
    assert rest is not None
    for name, tensor in whole.weights.items():
        assert torch.equal(tensor, rest.weights[name]), name


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_mixed_images_where_a_method_admits_them(config: MethodConfig, mix: str) -> None:
    settings = replace(
        TrainConfig(epochs=2, batch_size=16, method=config, record="none"),
        augment=AugmentConfig(mix=mix),
    )
    if config.name in ("cs-kd", "zipf"):
        with pytest.raises(ValueError, match="cannot be trained on mixed images"):
            train(settings, dataset=tiny(64), device="cpu")
        return
    result = train(settings, dataset=tiny(64), device="cpu")
    assert result is not None
    assert np.isfinite(result.metrics.loss).all()


def test_mixed_targets_add_up_to_the_mix_of_both_labels() -> None:
    s = Setting(PsKdConfig(), plan=Plan(4, mixes=True))
    s.epoch()
    s.stream.start_epoch()
    batch = s.method.next_batch(s.stream)
    batch.partner = batch.index.roll(1)
    batch.partner_labels = s.stream.labels[batch.partner]
    batch.weight = torch.full((16,), 0.7)
    bank, a = s.method.bank.logits, 0.4
    own = (1 - a) * hot(batch.labels) + a * soft(bank[batch.index])
    other = (1 - a) * hot(batch.partner_labels) + a * soft(bank[batch.partner])
    wanted = 0.7 * own + 0.3 * other
    np.testing.assert_allclose(s.method.targets(batch).numpy(), wanted, atol=1e-5)


def test_clear_errors() -> None:
    labels = torch.arange(16) % 4
    with pytest.raises(ValueError, match="not a multiple of 4"):
        BakeConfig().build(labels, 4, 10)
    batch = Setting(CrossEntropyConfig()).step()[0]
    x = batch.images.float()
    model = build("mlp", 4, 1, 8, seed=0)
    with pytest.raises(ValueError, match=r"call method\.set_teacher\(network\)"):
        TfKdSelfConfig().build(labels, 4, 4).run_model(model, x, batch)
    with pytest.raises(ValueError, match=r"call method\.setup\(model"):
        ByotConfig().build(labels, 4, 4).run_model(model, x, batch)
    with pytest.raises(ValueError, match=r"call method\.setup\(model"):
        PsKdConfig(source="network").build(labels, 4, 4).targets(batch)
    with pytest.raises(TypeError, match="no teacher"):
        CrossEntropyConfig().build(labels, 4, 4).set_teacher(model)
    mine = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    with pytest.raises(ValueError, match="where the stages of this network end"):
        ByotConfig().build(labels, 4, 4).setup(mine, x[:2], Plan())
    with pytest.raises(ValueError, match="no module 'nowhere'"):
        ByotConfig(exits="nowhere").build(labels, 4, 4).setup(mine, x[:2], Plan())
    with pytest.raises(ValueError, match="no linear layer"):
        BakeConfig().build(labels, 4, 4).setup(nn.Flatten(), x[:2], Plan())
    settings = TrainConfig(method=TfKdSelfConfig(), batch_size=16, epochs=1)
    with pytest.raises(ValueError, match="teacher of a network of your own"):
        train(settings, dataset=tiny(64), model=mine, device="cpu")
