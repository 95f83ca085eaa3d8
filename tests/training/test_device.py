"""One code path: proved clean of device waits without a device, run on one where one is."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import deterministic

from tests.helpers import Crossings, Watch, carrying, needs_fake_cuda, tiny
from toastlab.core.errors import DeviceError
from toastlab.core.stream import Stream
from toastlab.data.augment import Augment, AugmentConfig
from toastlab.data.dataset import Dataset
from toastlab.data.splits import Split
from toastlab.methods import CONFIGS, MethodConfig, Plan, PsKdConfig
from toastlab.methods.base import Method
from toastlab.methods.ps_kd import PsKd
from toastlab.store.runs import RunStore
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train

METHODS = {
    **{name: config() for name, config in CONFIGS.items()},
    "ps-kd network": PsKdConfig(source="network"),
    "target form": carrying(carried_loss="target", past_weight=0.5),
    "distilled": carrying(carried_loss="distilled", no_candidate="last-medoid"),
    "confidence": carrying(carried_loss="confidence", source="memory", criterion="quantile"),
    "extra": carrying(layout="extra"),
    "memory": carrying(source="memory"),
    "stored mix": carrying(mixed_carry="stored"),
    "until trained": carrying(max_visits=3),
    **{c: carrying(criterion=c) for c in ("probability", "quantile", "random", "all")},
    "medoid distance": carrying(criterion="medoid-distance"),
}
AUGMENT = AugmentConfig(crop=2, flip=True, cutout=3)


def network() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 4))
    model.exits = ("0",)  # type: ignore[assignment]
    return model


def attached(config: MethodConfig, method: Method, model: nn.Module, images: Tensor) -> None:
    if (
        isinstance(method, PsKd)
        and method.passes > method.images_per_batch
        and isinstance(images, FakeTensor)
    ):
        Method.setup(method, model, images, Plan(epochs=3))
        method.extra = network()  # fake tensors cannot be copied
        return
    method.setup(model, images, Plan(epochs=3))
    if config.needs_teacher:
        method.set_teacher(network())


@needs_fake_cuda
@pytest.mark.parametrize("config", METHODS.values(), ids=METHODS.keys())
def test_step_on_a_fake_gpu(config: MethodConfig) -> None:
    """Two whole steps, backward aside, where any mix of devices or data-dependent shape raises; and
    nothing is copied from the host to the device."""
    with FakeTensorMode():
        labels = torch.zeros(32, dtype=torch.int64, device="cuda")
        images = torch.zeros(32, 1, 8, 8, dtype=torch.uint8, device="cuda")
        method = config.build(labels, 4, 8, None)
        stream = Stream(Split(images, labels, labels), 8)
        augment = Augment(AUGMENT, (0.5,), (0.2,))
        with torch.device("cuda"):
            model = network()
            attached(config, method, model, augment.evaluate(images[:2]))
        stream.start_epoch()
        for _ in range(2):
            with Crossings() as crossings:
                batch = method.next_batch(stream)
                logits = method.run_model(model, augment.train(batch.images), batch)
                loss = method.loss(logits, batch)
                method.update(logits, batch)
            assert not crossings.found
            assert loss.total.device.type == logits.device.type == "cuda"
            assert len(batch.index) == method.images_per_batch


@pytest.mark.parametrize("config", METHODS.values(), ids=METHODS.keys())
def test_step_waits_for_nothing_and_has_static_shapes(config: MethodConfig) -> None:
    """Forward, backward, optimiser and all, on the CPU: no scalar read, no data-dependent shape."""
    data = tiny()
    g = torch.Generator().manual_seed(0)
    method = config.build(data.train.labels, 4, 16, g)
    stream = Stream(data.train, 16)
    augment, model = Augment(AUGMENT, (0.5,), (0.2,)), network()
    attached(config, method, model, augment.evaluate(next(iter(data.train.batches(2)))[0]))
    modules = [model, *([method.extra] if method.extra is not None else [])]
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.1, momentum=0.9)
    stream.start_epoch()
    seen = []
    for step in range(4):
        if step == 2:
            method.end_epoch()  # medoids: once an epoch, and allowed to wait
        with Watch() as watch:
            batch = method.next_batch(stream)
            logits = method.run_model(model, augment.train(batch.images, g), batch)
            loss = method.loss(logits, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            method.update(logits, batch)
        assert watch.waits == []
        seen.append(watch.shapes)
    assert len(seen[3]) > 50
    assert seen[2] == seen[3], "the same operations with the same shapes at every step"


def test_the_watch_sees_what_it_is_for() -> None:
    x = torch.arange(4.0)
    with Watch() as watch:
        x[x > 1]
        x.sum().item()
        x.nonzero()
    assert len(watch.waits) >= 3


def test_choice_of_device() -> None:
    best = devices.choose()
    assert best.type == ("cuda" if torch.cuda.is_available() else best.type)
    assert devices.choose("cpu").type == "cpu"
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        devices.choose("tpu")
    absent = "cuda:99"
    with pytest.raises(DeviceError, match="cuda:99"):
        devices.choose(absent)


def test_reproducible_puts_everything_back() -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    state = torch.get_rng_state()
    assert deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with devices.reproducible(7, 1, torch.device("cpu")):
        assert not deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        first = torch.rand(1)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with devices.reproducible(7, 1, torch.device("cpu")):
        assert torch.equal(torch.rand(1), first)


def test_import_leaves_the_environment_as_it_is() -> None:
    """What a user's other CUDA code runs with is not this library's to choose."""
    program = (
        "import os; before = dict(os.environ)\n"
        "import toastlab, toastlab.cli.main, toastlab.training.loop\n"
        "assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())"
    )
    clean = {k: v for k, v in os.environ.items() if k != WORKSPACE}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("chosen", [None, ":16:8"])
def test_cublas_has_its_fixed_workspace_while_a_run_trains_on_cuda(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())  # no device here
    monkeypatch.delenv(WORKSPACE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(WORKSPACE, chosen)
    with devices.reproducible(0, 1, torch.device("cuda")):
        assert os.environ[WORKSPACE] == (chosen or ":4096:8")
    assert os.environ.get(WORKSPACE) == chosen
    with devices.reproducible(0, 1, torch.device("cpu")):
        assert os.environ.get(WORKSPACE) == chosen


def test_facts() -> None:
    facts = devices.facts(torch.device("cpu"))
    assert facts["torch"] == torch.__version__.split("+")[0] or facts["torch"] in torch.__version__
    assert all(isinstance(v, str) and v for v in facts.values())


@pytest.mark.gpu
@pytest.mark.skipif(devices.choose().type == "cpu", reason="no CUDA or MPS device here")
def test_a_run_on_a_gpu_agrees_with_the_cpu(tmp_path: Path) -> None:
    """Through the store, which loads on the CPU, as every command does."""
    config = TrainConfig(model="mlp", epochs=2, batch_size=16)
    runs = []
    for device in ("cpu", devices.choose().type):
        run = RunStore(tmp_path / device).get(config, dataset=tiny(), device=device)
        assert run is not None
        runs.append(run.metrics)
    assert float((runs[0].test_top1 - runs[1].test_top1).abs().max()) <= 0.2


WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
CHANCE = ("cs-kd", "bake", "random")  # their lots differ from device to device


def losses(config: MethodConfig, device: torch.device) -> list[float]:
    """Of three steps on a device; from the second on, a wait for a CUDA device is an error."""
    data, found = tiny().to(device), []
    method = config.build(data.train.labels, 4, 16, torch.Generator(device).manual_seed(0))
    stream = Stream(data.train, 16)
    n = len(data.train)
    stream.order = torch.arange(2 * n, device=device) % n  # the same samples on every device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network().to(device)
        augment = Augment(AugmentConfig(), (0.5,), (0.2,))
        first = augment.evaluate(next(iter(data.train.batches(2)))[0])
        attached(config, method, model, first)
    for m in (method.extra, getattr(method, "teacher", None)):
        if isinstance(m, nn.Module):
            m.to(device)
            for p in m.parameters():
                nn.init.constant_(p, 0.1)
    modules = [model, *([method.extra] if method.extra is not None else [])]
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.01, momentum=0.9, fused=device.type == "cuda" or None)
    stream.start_epoch()
    for step in range(3):
        if device.type == "cuda" and step == 1:
            torch.cuda.set_sync_debug_mode("error")
        try:
            batch = method.next_batch(stream)
            logits = method.run_model(model, augment.evaluate(batch.images), batch)
            loss = method.loss(logits, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            method.update(logits, batch)
        finally:
            if device.type == "cuda" and step == 2:
                torch.cuda.set_sync_debug_mode("default")
        found.append(loss.total.detach())
    return [float(x) for x in found]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", METHODS.keys())
def test_steps_on_a_gpu_agree_with_the_cpu_and_wait_for_nothing(name: str) -> None:
    there = losses(METHODS[name], torch.device("cuda"))
    here = losses(METHODS[name], torch.device("cpu"))
    assert all(x == x for x in there)
    if name not in CHANCE:
        assert there == pytest.approx(here, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix"])
def test_the_loop_on_a_gpu_never_waits(mix: str) -> None:
    """Between the steps of one epoch, augmentation and mixing included."""

    def watch(step: int, steps: int) -> None:
        inside = 0 < step % (steps // 2) < steps // 2 - 1  # all but an epoch's first and last step
        torch.cuda.set_sync_debug_mode("error" if inside else "default")

    augment = AugmentConfig(crop=2, flip=True, cutout=3, mix=mix)
    config = TrainConfig(model="resnet-small", epochs=2, batch_size=16, augment=augment)
    try:
        assert train(config, dataset=tiny(128), device="cuda", on_step=watch) is not None
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_data_set_moves_whole() -> None:
    data = tiny()
    assert data.to("cpu") is data
    moved = data.to("meta")
    for split in (moved.train, moved.val, moved.test):
        assert isinstance(split, Split)
        kinds = {t.device.type for t in (split.images, split.labels, split.clean_labels)}
        assert kinds == {"meta"}
    assert moved.fingerprint == data.fingerprint


def test_training_moves_the_data_to_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def to(self: Dataset, device: torch.device) -> Dataset:
        asked.append(str(device))
        return self

    monkeypatch.setattr(Dataset, "to", to)
    train(TrainConfig(epochs=1, batch_size=16), dataset=tiny(), device="cpu")
    assert asked == ["cpu"]
