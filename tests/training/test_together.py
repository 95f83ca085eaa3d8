"""Networks trained as one: what each alone would be, resumed either way, with fewer launches."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import stack_module_state
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers import Crossings, Watch, needs_fake_cuda, tiny
from toastlab.core.errors import TrainingDiverged
from toastlab.core.stream import Stream
from toastlab.data.augment import Augment, AugmentConfig
from toastlab.data.dataset import DataConfig, Dataset
from toastlab.data.splits import Split
from toastlab.methods import (
    CONFIGS,
    BakeConfig,
    CrossEntropyConfig,
    LabelSmoothingConfig,
    MethodConfig,
    Plan,
    PsKdConfig,
    ToastConfig,
)
from toastlab.training import together
from toastlab.training.config import TrainConfig
from toastlab.training.loop import Result, train
from toastlab.training.models import build
from toastlab.training.together import MAY_DIFFER, Wanted, groups, train_together, why_alone

AUGMENT = AugmentConfig(crop=1, flip=True, cutout=2)
BASE = TrainConfig(epochs=3, batch_size=16, learning_rate=0.02, augment=AUGMENT)
FULL = ToastConfig(ramp="none")  # both weights from the first step on
CUDA = torch.device("cuda")
pytestmark = pytest.mark.filterwarnings("error:There is a performance drop")


def noisy(seed: int) -> Dataset:
    """The images of `tiny`, a quarter of the labels drawn by chance."""
    data = tiny()
    chance = torch.Generator().manual_seed(seed)
    labels = data.train.labels.clone()
    labels[:16] = torch.randint(4, (16,), generator=chance)
    train_split = replace(data.train, labels=labels)  # type: ignore[type-var]
    return replace(data, train=train_split, fingerprint=f"tiny-noisy-{seed}")


def alone(config: TrainConfig, data: Dataset | None = None, **how: Any) -> Result:
    result = train(config, dataset=data or tiny(), device="cpu", **how)
    assert result is not None
    return result


def as_one(configs: Sequence[TrainConfig], data: Dataset | None = None) -> list[Result]:
    wanted = [Wanted(config, data or tiny()) for config in configs]
    found = dict(train_together(wanted, device="cpu"))
    assert set(found) == set(range(len(configs)))
    return [result for i in sorted(found) if isinstance(result := found[i], Result)]


def same(one: Result, other: Result, tolerance: float = 2e-5) -> None:
    """Within rounding, and exactly in all that is counted."""
    for name, tensor in one.weights.items():
        torch.testing.assert_close(tensor, other.weights[name], rtol=tolerance, atol=tolerance)
    columns = [c for c in one.metrics if c not in ("train_seconds", "together")]
    assert columns == [c for c in other.metrics if c not in ("train_seconds", "together")]
    np.testing.assert_allclose(
        one.metrics[columns], other.metrics[columns], rtol=10 * tolerance, atol=10 * tolerance
    )
    assert one.dynamics is not None
    assert other.dynamics is not None
    for name in ("correct", "visits", "carried", "labels"):
        np.testing.assert_array_equal(getattr(one.dynamics, name), getattr(other.dynamics, name))
    for name, array in one.medoids.items():
        np.testing.assert_allclose(array, other.medoids[name], rtol=2e-3, atol=2e-3)
    assert {**one.facts, "together": ""} == {**other.facts, "together": ""}


@pytest.mark.parametrize("name", [config.name for config in MAY_DIFFER])
def test_each_is_what_it_would_be_alone(name: str) -> None:
    """Three seeds over three epochs, each from its own weights, order and augmentation."""
    configs = [replace(BASE, method=CONFIGS[name](), seed=seed) for seed in (3, 1, 7)]
    assert groups(configs) == [[0, 1, 2]]
    found = as_one(configs)
    for config, result in zip(configs, found, strict=True):
        assert result.config == config
        assert result.facts["together"] == "3 from epoch 1"
        assert (result.metrics.together == 3).all()
        same(result, alone(config))
    assert any(not torch.equal(t, found[1].weights[n]) for n, t in found[0].weights.items())


def test_batch_norms_keep_their_own_statistics() -> None:
    config = replace(BASE, model="resnet-small", method=FULL, epochs=2)
    configs = [replace(config, seed=seed) for seed in (0, 1)]
    for given, result in zip(configs, as_one(configs), strict=True):
        same(result, alone(given), 2e-4)


def test_settings_of_an_epochs_end_and_labels_may_differ() -> None:
    readings = (
        FULL,
        replace(FULL, medoid_weight=0.0, past_weight=0.5),
        replace(FULL, medoid_weight=0.6, distance="cosine", refresh_every=2, prototype="mean"),
        replace(FULL, medoid_temperature=0.5, scope="all", no_candidate="last-medoid"),
    )
    configs = [replace(BASE, method=method, seed=i % 2) for i, method in enumerate(readings)]
    data = [tiny(), noisy(1), tiny(), noisy(2)]
    wanted = [Wanted(c, d) for c, d in zip(configs, data, strict=True)]
    found = dict(train_together(wanted, device="cpu"))
    for i, one in enumerate(wanted):
        result = found[i]
        assert isinstance(result, Result)
        assert result.fingerprint == one.dataset.fingerprint
        same(result, alone(one.config, one.dataset))
    assert float(found[1].metrics.carried_share.sum()) > 0  # type: ignore[union-attr]


def test_each_climbs_its_own_ramp() -> None:
    """Whose ramp has not begun takes another path; it joins the others when it has."""
    ramps = (
        FULL,
        ToastConfig(fit_from=0.0, fit_full=0.9, past_weight=1.0),
        ToastConfig(fit_from=0.3, fit_full=0.4),
        ToastConfig(fit_from=0.99),
        ToastConfig(ramp="linear"),
    )
    configs = [replace(BASE, method=method, epochs=4) for method in ramps]
    assert groups(configs) == [[0, 1, 2, 3, 4]]
    found = as_one(configs)
    for given, result in zip(configs, found, strict=True):
        same(result, alone(given))
    carried = [(result.metrics.carried_share > 0).tolist() for result in found]
    assert all(carried[0])
    assert carried[1] == carried[4] == [False, True, True, True]
    assert carried[2] not in (carried[0], carried[3]), "in the middle of the training"
    assert not any(carried[3])
    assert found[0].facts["together"].startswith("1 from epoch 1, 3 from epoch 2")


def test_a_weight_of_zero_is_another_shape_and_no_weight_is_judged_by_another() -> None:
    readings = [
        *(ToastConfig(carried_loss="target", past_weight=b) for b in (0.0, 0.2, 0.6)),
        ToastConfig(carried_loss="target", medoid_weight=0.0, past_weight=0.9),
    ]
    assert groups([replace(BASE, method=method) for method in readings]) == [[0], [1, 2, 3]]


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adamw", "learning_rate": 0.002},
        {"schedule": "step", "warmup_epochs": 1.0, "momentum": 0.0},
        {"method": replace(FULL, source="memory", criterion="quantile")},
        {"method": replace(FULL, carried_loss="distilled", max_visits=3, keep_carry=True)},
        {"method": replace(FULL, criterion="medoid-distance", layout="extra", past_weight=0.5)},
        {"augment": AugmentConfig(), "bank": "float16", "budget": "samples"},
    ],
    ids=["adamw", "schedule", "memory", "until trained", "medoid distance", "float16 bank"],
)
def test_other_settings(change: dict[str, Any]) -> None:
    config = replace(BASE, **{"method": FULL, **change})
    configs = [replace(config, seed=seed) for seed in (0, 5)]
    for given, result in zip(configs, as_one(configs), strict=True):
        same(result, alone(given))


def stopped(wanted: Sequence[Wanted], after: int) -> None:
    """Trains together and stops after so many steps."""
    asked: list[int] = []

    def enough() -> bool:
        asked.append(1)
        return len(asked) > after

    assert not list(train_together(wanted, device="cpu", should_stop=enough))


def test_it_goes_on_together_or_alone(tmp_path: Path) -> None:
    """Stopped in the second epoch: one goes on by itself, the others with one that is new."""
    configs = [replace(BASE, method=FULL, seed=seed) for seed in range(3)]
    wanted = [Wanted(c, tiny(), tmp_path / f"{c.seed}.pt") for c in configs]
    whole = [alone(config) for config in configs]
    stopped(wanted, after=6)  # steps; an epoch has four
    assert all(w.checkpoint is not None and w.checkpoint.exists() for w in wanted)
    by_itself = alone(configs[0], checkpoint=wanted[0].checkpoint)
    assert by_itself.facts["together"] == "3 from epoch 1, 1 from epoch 2"
    same(by_itself, whole[0])
    new = Wanted(replace(configs[0], seed=9), tiny(), tmp_path / "9.pt")
    found = dict(train_together([new, *wanted[1:]], device="cpu"))
    for i in (1, 2):
        result = found[i]
        assert isinstance(result, Result)
        assert result.facts["together"] == "3 from epoch 1, 2 from epoch 2"
        same(result, whole[i])
    fresh = found[0]
    assert isinstance(fresh, Result)
    same(fresh, alone(new.config))
    size = [w.checkpoint.stat().st_size for w in wanted if w.checkpoint]
    alone(replace(configs[0], seed=11), checkpoint=tmp_path / "11.pt")
    assert max(size) < 1.05 * (tmp_path / "11.pt").stat().st_size, "no checkpoint has the others'"


def test_one_that_diverges_does_not_take_the_others_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configs = [replace(BASE, method=FULL, seed=seed) for seed in range(3)]
    made = together._made

    def spoiled(*args: Any) -> Any:
        runs = made(*args)
        with torch.no_grad():
            next(runs[1][0].model.parameters()).fill_(torch.nan)
        return runs

    monkeypatch.setattr(together, "_made", spoiled)
    found = list(train_together([Wanted(c, tiny()) for c in configs], device="cpu"))
    assert [i for i, _ in found] == [1, 0, 2], "the diverged one at once"
    assert isinstance(found[0][1], TrainingDiverged)
    assert "epoch 1" in str(found[0][1])
    for i, result in found[1:]:
        assert isinstance(result, Result)
        assert result.facts["together"] == "3 from epoch 1, 2 from epoch 2"
        same(result, alone(configs[i]))


class Launches(TorchDispatchMode):
    """Counts operations that compute something, views aside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returns = func._schema.returns
        view = any(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        self.count += not view and not str(func).startswith("prim.")
        return func(*args, **(kwargs or {}))


def launches(many: int, augment: AugmentConfig) -> float:
    """Operations of a step of so many networks, for each of them."""
    config = replace(BASE, method=FULL, augment=augment)
    wanted = [Wanted(replace(config, seed=seed), tiny()) for seed in range(many)]
    runs = together._made(wanted, torch.device("cpu"))
    epoch = together._Epoch([run for run, _ in runs])
    with together._Stackable():
        epoch._step()  # the first makes the optimizer's state
        with Launches() as seen:
            epoch._step()
    return seen.count / many


def test_launches_of_each_network_fall_with_their_number() -> None:
    """A step of eight has as many as a step of two; what is drawn per image is drawn singly."""
    plain = {many: launches(many, AugmentConfig()) for many in (1, 2, 8)}
    assert plain[2] * 2 == plain[8] * 8
    assert plain[8] < 0.14 * plain[1]
    drawn = {many: launches(many, AUGMENT) for many in (2, 8)}
    singly = (drawn[8] * 8 - drawn[2] * 2) / 6
    assert 0 < singly < 20
    assert drawn[8] < 0.4 * drawn[2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", ["cross-entropy", "toast", "dlb"])
def test_on_a_gpu_each_is_about_what_it_would_be_alone(name: str) -> None:
    """In float32, over two epochs, steps as CUDA graphs; a step of all waits for nothing."""
    config = replace(BASE, method=CONFIGS[name](), epochs=2, precision="float32", batch_size=8)
    configs = [replace(config, seed=seed) for seed in range(4)]
    found = dict(train_together([Wanted(c, tiny(256)) for c in configs], device="cuda"))
    for i, given in enumerate(configs):
        result, other = found[i], train(given, dataset=tiny(256), device="cuda")
        assert isinstance(result, Result)
        assert result.facts["steps"] == "CUDA graphs"
        assert other is not None
        for key, tensor in other.weights.items():
            torch.testing.assert_close(result.weights[key], tensor, rtol=1e-2, atol=1e-3)
    runs = [run for run, _ in together._made([Wanted(c, tiny()) for c in configs], CUDA)]
    epoch = together._Epoch(runs)
    with together._Stackable():
        epoch._step()
        try:
            torch.cuda.set_sync_debug_mode("error")
            epoch._step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@needs_fake_cuda
@pytest.mark.parametrize("kind", MAY_DIFFER, ids=lambda kind: kind.name)
def test_a_step_of_two_on_a_fake_gpu(kind: type[MethodConfig]) -> None:
    """It mixes no devices, copies nothing to the device and waits for nothing; backward aside."""
    with FakeTensorMode():
        labels = torch.zeros(64, dtype=torch.int64, device="cuda")
        images = torch.zeros(64, 3, 8, 8, dtype=torch.uint8, device="cuda")
        augment = Augment(AUGMENT, (0.5,) * 3, (0.25,) * 3)
        augment.evaluate(images[:2])  # its mean and deviation go to the device once
        networks = []
        for _ in range(2):
            with torch.device("cuda"):
                model = build("resnet-small", 4, 3, 8)
            config = FULL if kind is ToastConfig else kind()
            method = config.build(labels, 4, 16)
            method.setup(model, augment.evaluate(images[:2]), Plan(epochs=3))
            stream = Stream(Split(images, labels, labels), 16)
            parts = {"model": model, "method": method, "stream": stream, "augment": augment}
            run: Any = SimpleNamespace(**parts, autocast=nullcontext)
            networks.append(together._Network(run))
        parameters, buffers = stack_module_state(networks)  # type: ignore[arg-type]
        step = torch.vmap(partial(together._Epoch._one, SimpleNamespace(networks=networks)))
        drawn = vars(augment.draw(images[:16]))
        drawn = {name: torch.stack([value, value]) for name, value in drawn.items()}
        for _ in range(2):
            with Crossings() as crossings, Watch() as watch, together._Stackable():
                total, sums, buffers = step(parameters, buffers, drawn)
            assert not crossings.found
            assert not watch.waits
        assert total.shape == sums["carried"].shape == (2,)
        assert total.device.type == buffers["method.bank.logits"].device.type == "cuda"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"method": BakeConfig()}, "bake is not among"),
        ({"method": CONFIGS["cs-kd"]()}, "cs-kd is not among"),
        ({"method": CONFIGS["tf-kd-self"]()}, "tf-kd-self is not among"),
        ({"method": PsKdConfig(source="network")}, "a copy of the network"),
        ({"method": ToastConfig(criterion="random")}, "drawn at random"),
        ({"method": ToastConfig(random_carry=True)}, "drawn at random"),
        ({"augment": AugmentConfig(mix="mixup")}, "mixed"),
        ({"model": "mobilenet-v2"}, "dropout"),
        ({"model": "mine"}, "network of your own"),
        ({"compile": True}, "compiled"),
        ({"spread": True}, "several processes"),
        ({"data": DataConfig(name="folder", stream=True)}, "read from disk"),
    ],
)
def test_who_is_trained_alone_and_why(change: dict[str, Any], why: str) -> None:
    config = replace(BASE, **change)
    assert why in why_alone(config)
    assert groups([config, replace(config, seed=1)]) == [[0], [1]]
    with pytest.raises(ValueError, match="cannot be trained together"):
        list(train_together([Wanted(config, tiny())], device="cpu"))


def test_every_setting_that_may_differ_is_one_and_draws_no_line() -> None:
    for kind, names in MAY_DIFFER.items():
        assert set(names) <= set(vars(kind())), kind
    other: MethodConfig = LabelSmoothingConfig(smoothing=0.3)
    configs = [
        replace(BASE, method=CrossEntropyConfig()),
        replace(BASE, method=LabelSmoothingConfig()),
        replace(BASE, method=other, data=DataConfig(noise_rate=0.4), seed=3),
        replace(BASE, method=LabelSmoothingConfig(), learning_rate=0.1),
        replace(BASE, method=ToastConfig(past_temperature=2.0)),
        replace(BASE, method=ToastConfig()),
    ]
    assert groups(configs) == [[0], [1, 2], [3], [4], [5]]


def test_no_more_than_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 4)
    configs = [replace(BASE, seed=seed) for seed in range(9)]
    assert [len(part) for part in groups(configs)] == [4, 4, 1]


def test_what_is_not_of_one_shape_is_refused() -> None:
    pair = [Wanted(BASE, tiny()), Wanted(replace(BASE, epochs=5), tiny())]
    with pytest.raises(ValueError, match="differ in more than"):
        list(train_together(pair, device="cpu"))
    pair = [Wanted(BASE, tiny()), Wanted(replace(BASE, seed=1), tiny(seed=3))]
    with pytest.raises(ValueError, match="on the same images"):
        list(train_together(pair, device="cpu"))
    assert not list(train_together([], device="cpu"))
