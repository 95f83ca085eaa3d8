"""Steps as CUDA graphs: where they are recorded, that they change nothing, and what follows when
they cannot be recorded."""

import gc
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import tiny
from toastlab.core.garbage import nothing_collected
from toastlab.core.stream import Stream
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.methods import CONFIGS, MethodConfig, ToastConfig
from toastlab.training import graphs
from toastlab.training.config import TrainConfig
from toastlab.training.loop import Result, train

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
BASE = TrainConfig(
    model="mlp", epochs=3, batch_size=8, record="none", augment=AugmentConfig(crop=1, flip=True)
)


class OwnConfig(MethodConfig):
    """Settings of a method of somebody's own."""

    name = "own"


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.mark.parametrize(
    ("config", "device", "steps", "recorded"),
    [
        (BASE, CUDA, 8, True),
        (BASE, CPU, 8, False),
        (BASE, torch.device("mps"), 8, False),
        (BASE, CUDA, graphs.WORTH - 1, False),
        (replace(BASE, augment=AugmentConfig(mix="cutmix")), CUDA, 8, False),
        (replace(BASE, compile=True), CUDA, 8, False),
        (replace(BASE, spread=True), CUDA, 8, False),
        (replace(BASE, data=DataConfig(name="folder", path="x", stream=True)), CUDA, 8, False),
    ],
)
def test_where_steps_are_recorded(
    config: TrainConfig,
    device: torch.device,
    steps: int,
    recorded: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TOASTLAB_GRAPHS", raising=False)
    assert graphs.can_record(config, device, steps, ours=True) is recorded
    assert not graphs.can_record(config, device, steps, ours=False), "a network of one's own"
    other = replace(config, method=OwnConfig())
    assert not graphs.can_record(other, device, steps, ours=True), "a method of one's own"
    monkeypatch.setenv("TOASTLAB_GRAPHS", "1")
    assert graphs.can_record(other, device, steps, ours=False) is recorded
    monkeypatch.setenv("TOASTLAB_GRAPHS", "0")
    assert not graphs.can_record(config, device, steps, ours=True)


def test_contents_are_copied_where_the_old_ones_lay() -> None:
    """Also where a new tensor looks into an old one, and nothing where both are one."""
    a, b = torch.arange(4.0), torch.arange(4.0, 8.0)
    kept = torch.ones(2)
    olds, at = [a, b, kept, None], [a.data_ptr(), b.data_ptr(), kept.data_ptr()]
    graphs.copy_all(olds, [b, a, kept.view(2), None])  # they change places
    assert [t.data_ptr() for t in (a, b, kept)] == at
    assert a.tolist() == [4, 5, 6, 7]
    assert b.tolist() == [0, 1, 2, 3]
    version = kept._version
    graphs.copy_all([kept], [kept.view(2)])
    assert kept._version == version, "it was not written"
    graphs.copy_all([a], [a.flip(0)])
    assert a.tolist() == [7, 6, 5, 4]


def test_a_step_that_fails_leaves_the_buffers_where_they_were() -> None:
    class Swapped(nn.Module):
        state: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("state", torch.zeros(2))

    module, stream = Swapped(), Stream(tiny().train, 8)
    before, pointer = module.state, stream.pointer

    def step() -> None:
        module.state = torch.ones(2)
        stream.pointer = stream.pointer + 8
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        graphs.InPlace(step, (module,), stream)()
    assert module.state is before
    assert stream.pointer is pointer
    assert before.tolist() == [0, 0]


def test_sums_begin_with_a_copy_and_grow_in_place() -> None:
    sums: dict[str, Tensor] = {}
    first = torch.tensor(2.0)
    graphs.add(sums, {"loss": first})
    lying = sums["loss"].data_ptr()
    graphs.add(sums, {"loss": torch.tensor(3.0), "other": first})
    assert {name: float(value) for name, value in sums.items()} == {"loss": 5, "other": 2}
    assert sums["loss"].data_ptr() == lying
    assert float(first) == 2


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_rates_are_tensors_while_recording(kind: type[torch.optim.Optimizer]) -> None:
    optimizer = kind([torch.zeros(1, requires_grad=True)], lr=0.25)  # type: ignore[call-arg]
    before = dict(optimizer.param_groups[0])
    with graphs._rates_on_device(optimizer, CPU) as rates:
        assert optimizer.param_groups[0]["lr"] is rates[0]
        assert float(rates[0]) == 0.25
    assert optimizer.param_groups[0] == before


def both(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, model: object = None
) -> list[Result]:
    """The run with steps as they are written and as graphs, which must be equal."""
    found = []
    for wanted in ("0", "1"):
        monkeypatch.setenv("TOASTLAB_GRAPHS", wanted)
        result = train(config, dataset=tiny(256), model=model, device="cuda")  # type: ignore[arg-type]
        assert result is not None
        found.append(result)
    written, played = found
    for key, tensor in written.weights.items():
        assert torch.equal(tensor, played.weights[key]), key
    for column in set(written.metrics) - {"train_seconds", "peak_memory"}:
        assert written.metrics[column].equals(played.metrics[column]), column
    assert "steps" not in written.facts
    return found


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("name", CONFIGS)
def test_on_a_gpu_they_are_the_steps_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and metrics, with ramps that begin on the way and rates that fall at every step."""
    config = replace(BASE, epochs=4, method=CONFIGS[name](), warmup_epochs=1)
    assert both(config, monkeypatch)[1].facts["steps"] == "CUDA graphs"


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize(
    "config",
    [
        replace(BASE, optimizer="adamw", learning_rate=1e-3),
        replace(BASE, model="resnet-small", precision="bf16"),
        replace(BASE, bank="float16", augment=AugmentConfig(crop=2, flip=True, cutout=3)),
    ],
)
def test_on_a_gpu_whatever_the_settings(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, method=ToastConfig(ramp="none"))
    assert both(config, monkeypatch)[1].facts["steps"] == "CUDA graphs"


class Asking(nn.Module):
    """A network of somebody's own that reads a number on the host in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.flatten(1))
        return out * min(1.0, float(out.detach().abs().max()) + 1)


@pytest.mark.gpu
@needs_cuda
def test_on_a_gpu_a_step_that_waits_is_taken_as_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _, played = both(replace(BASE, method=ToastConfig()), monkeypatch, Asking)
    assert "steps" not in played.facts
    assert [r.message for r in caplog.records if "CUDA graph cannot" in r.message]


@contextmanager
def eager_collector() -> Iterator[None]:
    """Python looks for garbage at every chance."""
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def litter() -> None:
    for _ in range(3000):
        ring: list[object] = []
        ring.append(ring)


class Ring:
    """Something that only the collector frees."""

    def __init__(self, held: object) -> None:
        self.held, self.ring = held, self


@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_collected_in_a_recording(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        with eager_collector():
            with nothing_collected():
                kept = weakref.ref(Ring(None))
                litter()
                assert kept() is not None
            assert gc.isenabled() is enabled
            if enabled:
                litter()
                assert kept() is None
    finally:
        gc.enable() if before else gc.disable()


@pytest.mark.gpu
@needs_cuda
def test_on_a_gpu_a_run_that_ended_does_not_spoil_the_next_recording(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its graph is garbage that the collector would free in the middle of it."""
    monkeypatch.delenv("TOASTLAB_GRAPHS", raising=False)
    weight = nn.Parameter(torch.ones(3, device=CUDA))
    optimizer = torch.optim.SGD([weight], 0.5, fused=True)
    ended: list[object] = []

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        weight.square().sum().backward()
        if ended:
            Ring(ended.pop())  # from here on it is garbage, as a run is: it has parts that know it
        litter()
        optimizer.step()

    step()
    with eager_collector():
        for _ in range(3):
            recorder = graphs.Graphs(BASE, CUDA, graphs.WORTH, ours=True)
            play = recorder.record(step, optimizer, ())
            assert play is not None
            weight.data.fill_(1.0)
            play()
            assert weight.tolist() == [0.0] * 3
            ended.append((recorder, play))
            del recorder, play
