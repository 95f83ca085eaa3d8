"""The loop: it learns, repeats itself to the bit, resumes, stops, and tells what went wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers import carrying, tiny
from toastlab.core.errors import DeviceError, TrainingDiverged
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import Dataset, from_tensors
from toastlab.data.splits import Split
from toastlab.disk.durable import load_checkpoint, save_checkpoint
from toastlab.methods import CONFIGS, CrossEntropyConfig, MethodConfig
from toastlab.training.checkpoint import CHECKPOINT
from toastlab.training.config import TrainConfig, make_schedule
from toastlab.training.device import uses_bf16
from toastlab.training.loop import Result, train

BASE = TrainConfig(epochs=4, batch_size=16, learning_rate=0.05)


def run(config: TrainConfig = BASE, dataset: Dataset | None = None, **options: Any) -> Result:
    options.setdefault("device", "cpu")
    result = train(config, dataset=dataset or tiny(), **options)
    assert result is not None
    return result


def same(a: Result, b: Result) -> None:
    for name, tensor in a.weights.items():
        assert torch.equal(tensor, b.weights[name]), name
    for name, array in {**a.predictions, **a.medoids}.items():
        np.testing.assert_array_equal(array, {**b.predictions, **b.medoids}[name])
    timed = ["train_seconds"]
    assert a.metrics.drop(columns=timed).equals(b.metrics.drop(columns=timed))
    assert a.dynamics is not None
    assert b.dynamics is not None
    for name, array in vars(a.dynamics).items():
        np.testing.assert_array_equal(array, vars(b.dynamics)[name])


def test_learns_and_records() -> None:
    result = run(replace(BASE, epochs=8))
    last = result.metrics.iloc[-1]
    assert last.test_top1 > 0.9
    assert list(result.metrics.epoch) == list(range(1, 9))
    assert (result.metrics.images == 64).all()
    assert result.dynamics is not None
    assert result.dynamics.logits is not None
    assert result.dynamics.logits.shape == (8, 64, 4)
    assert result.dynamics.logits.dtype == np.float16
    assert result.medoids["index"].shape == (8, 4)
    labels = tiny().train.labels.numpy()
    for c, i in enumerate(result.medoids["index"][-1]):
        assert i == -1 or labels[i] == c
    carried = result.dynamics.carried.sum(1) / 64
    np.testing.assert_allclose(carried, result.metrics.carried_share, atol=1e-6)
    assert {"threads", "precision", "torch", "processor"} <= result.facts.keys()


@pytest.mark.parametrize(
    "config",
    [
        BASE,
        replace(BASE, method=carrying(criterion="random", keep_carry=True), optimizer="adamw"),
        replace(BASE, augment=AugmentConfig(crop=1, flip=True, cutout=2, mix="mixup")),
    ],
    ids=["plain", "random carry kept", "augmented"],
)
def test_equal_seeds_are_bit_equal_and_resume_is_too(config: TrainConfig, tmp_path: Path) -> None:
    whole = run(config)
    same(whole, run(config))
    other = run(replace(config, seed=1))
    assert any(not torch.equal(t, other.weights[n]) for n, t in whole.weights.items())
    # stopped in the middle of the third epoch, gone on from the end of the second
    file = tmp_path / "checkpoint.pt"
    seen: list[int] = []
    stopped = train(
        config,
        dataset=tiny(),
        device="cpu",
        checkpoint=file,
        on_step=lambda step, steps: seen.append(step),
        should_stop=lambda: len(seen) == 10,
    )
    assert stopped is None
    assert seen == list(range(10))
    epochs: list[float] = []
    resumed = run(config, checkpoint=file, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert epochs == [3, 4]
    same(whole, resumed)


@pytest.mark.parametrize(("every", "written"), [(0.0, [1, 2, 3, 4]), (1000.0, [1, 4])])
def test_how_often_a_checkpoint_is_written(
    every: float, written: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed goes on from the last one that was written."""
    monkeypatch.setattr("toastlab.training.checkpoint.EVERY", every)
    saved: list[int] = []

    def save(path: Path, state: dict[str, object]) -> None:
        saved.append(int(str(state["epoch"])))
        save_checkpoint(path, state)

    monkeypatch.setattr("toastlab.disk.durable.save_checkpoint", save)
    run(checkpoint=tmp_path / "checkpoint.pt")
    assert saved == written


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_ends_a_run_early_loses_no_epoch(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what follows in memory change what is written then."""
    monkeypatch.setattr("toastlab.training.checkpoint.EVERY", 1000.0)
    file, seen = tmp_path / "checkpoint.pt", list[int]()

    def breaks(step: int, steps: int) -> None:
        seen.append(step)
        if len(seen) == 15:  # in the last of four epochs
            raise error

    with pytest.raises(error):
        run(checkpoint=file, on_step=breaks)
    kept = load_checkpoint(file, CHECKPOINT)
    assert kept is not None
    assert kept["epoch"] == 3
    epochs: list[float] = []
    resumed = run(checkpoint=file, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert epochs == [4]
    same(run(), resumed)


def test_threads_seed_and_determinism_are_put_back() -> None:
    torch.manual_seed(77)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    run()
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    run(checkpoint=file)
    with pytest.raises(ValueError, match="made with other data"):
        run(dataset=tiny(seed=9), checkpoint=file)


def test_checkpoint_of_another_version_is_told_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "checkpoint.pt"
    whole = run(checkpoint=file)
    state = load_checkpoint(file, CHECKPOINT)
    assert state is not None
    del state["method"]["table"]
    save_checkpoint(file, state)
    same(whole, run(checkpoint=file))
    assert "another version" in caplog.text


def test_nan_keeps_the_last_good_state(tmp_path: Path) -> None:
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.calls = nn.Linear(64, 4), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            factor = torch.nan if self.calls > 10 else 1.0
            logits: Tensor = self.linear(x.flatten(1)) * factor
            return logits

    file = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainingDiverged, match=r"epoch 3.*learning rate.*after epoch 2 is kept"):
        run(model=Explodes(), checkpoint=file)
    kept = load_checkpoint(file, CHECKPOINT)
    assert kept is not None
    assert kept["epoch"] == 2
    assert all(bool(torch.isfinite(t).all()) for t in kept["model"].values())


def test_own_network_and_own_tensors() -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    images = torch.rand(120, 2, 6, 6, generator=g) * 0.3
    images[torch.arange(120), 0, labels] += 0.7
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    result = run(replace(BASE, epochs=10), from_tensors(images, labels), model=model)
    assert result.metrics.iloc[-1].test_top1 > 0.8
    assert model[1].weight.grad is not None


def test_channels_that_do_not_fit() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 4))
    with pytest.raises(ValueError, match="expects 3 input channels, the data has 1"):
        run(model=model)


def test_a_network_for_other_classes() -> None:
    with pytest.raises(ValueError, match="one logit per class"):
        run(model=nn.Sequential(nn.Flatten(), nn.Linear(64, 7)))


def test_labels_out_of_range() -> None:
    data = tiny()
    bad = Split(data.train.images, data.train.labels + 1, data.train.labels)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"labels run from 1 to 4.*0\.\.3"):
        run(dataset=replace(data, train=bad))


def test_device_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match=r"no device 'cuda:99'"):
        run(device="cuda:99")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 7}, "must be even"),
        ({"batch_size": 0}, "at least 2"),
        ({"epochs": 0}, "epochs is 0"),
        ({"optimizer": "sdg"}, "Did you mean 'sgd'"),
        ({"learning_rate": 0.0}, r"learning rate is 0\.0"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"momentum": 1.0}, "momentum"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"precision": "fp16"}, "unknown precision"),
        ({"warmup_epochs": 5.0}, r"warmup epochs is 5\.0.*4"),
        ({"seed": -1}, "seed is -1"),
        ({"record": "all"}, "unknown record"),
    ],
)
def test_bad_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(BASE, **change)


def test_batch_larger_than_the_data() -> None:
    with pytest.raises(ValueError, match="at most the 64 training samples"):
        run(replace(BASE, batch_size=66))


@pytest.mark.parametrize("mixed", ["unmixed", "repeat", "stored"])
@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixing_options_train(mix: str, mixed: str) -> None:
    method = carrying(mixed_carry=mixed)
    augment = AugmentConfig(mix=mix, mix_prob=0.7)
    result = run(replace(BASE, method=method, augment=augment, epochs=2))
    assert np.isfinite(result.metrics.loss).all()
    assert result.dynamics is not None
    # what the network says of a mixed image is not recorded as what it says of a sample
    first, visits = result.dynamics.probability[0], result.dynamics.visits[0]
    assert (np.isnan(first) & (visits > 0)).any()
    assert (~np.isnan(first)).any()


@pytest.mark.parametrize(
    "method",
    [
        carrying(layout="extra"),
        carrying(source="memory"),
        carrying(carried_loss="target", past_weight=0.4),
        carrying(carried_loss="confidence", source="memory", criterion="quantile"),
        carrying(carried_loss="distilled", no_candidate="last-medoid", random_carry=True),
        carrying(max_visits=3, divide_by="batch"),
        carrying(criterion="medoid-distance", distance="cosine", scope="all", refresh_every=2),
        carrying(prototype="mean", replay=True, past_weight=0),
    ],
    ids=[
        *("extra", "memory", "target", "confidence", "distilled"),
        *("until trained", "medoid distance", "mean with replay"),
    ],
)
def test_every_reading_trains(method: MethodConfig) -> None:
    result = run(replace(BASE, method=method, epochs=6))
    assert result.metrics.iloc[-1].test_top1 > 0.7


def test_record_none_and_summary() -> None:
    assert run(replace(BASE, record="none", epochs=1)).dynamics is None
    kept = run(replace(BASE, record="summary", epochs=1)).dynamics
    assert kept is not None
    assert kept.logits is None
    assert kept.probability.shape == (1, 64)


def test_schedules() -> None:
    def rates(**change: Any) -> list[float]:
        config = replace(BASE, epochs=4, learning_rate=1.0, **change)
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], config.learning_rate)
        schedule = make_schedule(config, optimizer, 10)
        found = []
        for _ in range(40):
            found.append(float(schedule.get_last_lr()[0]))
            optimizer.step()
            schedule.step()
        return found

    cosine = rates()
    expected = [(1 + np.cos(np.pi * i / 40)) / 2 for i in range(40)]
    np.testing.assert_allclose(cosine, expected, atol=1e-12)
    assert rates(schedule="step", milestones=(), decay=0.5) == rates(schedule="constant")
    step = rates(schedule="step")
    np.testing.assert_allclose(step, [1.0] * 20 + [0.1] * 10 + [0.01] * 10)
    warm = rates(schedule="constant", warmup_epochs=1)
    np.testing.assert_allclose(warm[:10], np.arange(1, 11) / 11)
    assert warm[10:] == [1.0] * 30


def test_bf16_and_memory_format() -> None:
    exact = run(replace(BASE, model="resnet-small", epochs=1))
    bf16 = run(replace(BASE, model="resnet-small", epochs=1, precision="bf16"))
    plain = run(replace(BASE, model="resnet-small", epochs=1, channels_last=False))
    assert bf16.facts["precision"] == "bf16 autocast"
    assert bf16.predictions["test_logits"].dtype == np.float32
    loss = [float(r.metrics.loss.iloc[0]) for r in (exact, bf16, plain)]
    assert loss[1] == pytest.approx(loss[0], rel=0.1)
    assert loss[1] != loss[0]
    assert loss[2] == pytest.approx(loss[0], rel=1e-3)
    assert not uses_bf16("auto", torch.device("cpu"))


def test_cross_entropy_against_plain_pytorch() -> None:
    """Our loop with cross-entropy is PyTorch's textbook loop, step by step."""
    data, config = tiny(), replace(BASE, method=CrossEntropyConfig(), weight_decay=0.0, epochs=2)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    twin = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    twin.load_state_dict(model.state_dict())
    run(config, data, model=model)

    from toastlab.core.stream import Stream
    from toastlab.data.augment import pixel_statistics

    assert isinstance(data.train, Split)
    (mean,), (std,) = pixel_statistics(data.train.images)
    order_seed = int(np.random.SeedSequence(config.seed).generate_state(4)[2])
    stream, method = (
        Stream(data.train, 16, order_seed),
        CrossEntropyConfig().build(data.train.labels, 4, 16),
    )
    optimizer = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    for _ in range(2):
        for batch in method.batches(stream):
            logits = twin((batch.images.float() / 255 - mean) / std)
            loss = nn.functional.cross_entropy(logits, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            method.update(logits, batch)
    torch.testing.assert_close(model[1].weight, twin[1].weight, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    result = run(replace(BASE, epochs=8, precision="float32"), device="cuda")
    assert result.facts["device"] == "cuda"
    assert result.metrics.iloc[-1].test_top1 > 0.9


@pytest.mark.parametrize("mix", ["none", "mixup"])
@pytest.mark.parametrize("name", ["dlb", "toast", "bake"])
def test_a_batch_of_all_samples_at_equal_samples(name: str, mix: str) -> None:
    """No epoch draws more than its N new samples, or the row of permutations would end."""
    config = TrainConfig(
        epochs=4,
        batch_size=64,
        budget="samples",
        method=CONFIGS[name](),
        augment=AugmentConfig(mix=mix),
        record="none",
    )
    assert train(config, dataset=tiny(64), device="cpu") is not None
