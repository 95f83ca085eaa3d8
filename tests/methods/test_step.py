"""The step inside the real loop: no waits, no growth, compiled, in bf16, and on a fake device."""

import functools
import gc
import itertools
import shutil
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes

from tests.helpers import TORCH, Watch, carrying, needs_fake_cuda, tiny
from tests.training.test_device import AUGMENT, METHODS
from toastlab.core.stream import Stream
from toastlab.data.augment import Augment, AugmentConfig, Mixer
from toastlab.data.splits import Split
from toastlab.methods import (
    CONFIGS,
    CrossEntropyConfig,
    DlbConfig,
    MethodConfig,
    Toast,
    ToastConfig,
)
from toastlab.training.config import TrainConfig, fuses, make_optimizer
from toastlab.training.fused import PartlyFused, same_bits
from toastlab.training.loop import Result, train
from toastlab.training.mixing import Mixing
from toastlab.training.models import build
from toastlab.training.recorder import RunRecorder

BASE = TrainConfig(epochs=2, batch_size=16, record="none", budget="samples")
MIXES = {
    f"{mix} {name}": (mix, method)
    for mix in ("mixup", "cutmix")
    for name, method in {
        "cross-entropy": CrossEntropyConfig(),
        "dlb": DlbConfig(),
        **{c: carrying(mixed_carry=c) for c in ("unmixed", "repeat", "stored")},
    }.items()
}


def run(config: TrainConfig, n: int = 64, **options: Any) -> Result:
    result = train(config, dataset=tiny(n), device="cpu", **options)
    assert result is not None
    return result


def waits(config: TrainConfig, n: int = 64) -> list[int]:
    """Host waits between two steps of one epoch, all of them together, then those of each end of
    an epoch, its last step included; the loop is `train`'s own."""
    marks: list[int] = []
    total = 0

    def mark(step: int, steps: int) -> None:
        nonlocal total
        total = steps
        marks.append(len(watch.waits))

    with Watch() as watch:
        run(config, n, on_step=mark)
    per = total // config.epochs
    ends = [marks[e * per] - marks[e * per - 1] for e in range(1, config.epochs)]
    inside = sum(b - a for i, (a, b) in enumerate(itertools.pairwise(marks)) if (i + 1) % per)
    assert len(marks) == total >= 2 * config.epochs
    return [inside, *ends]


@pytest.mark.parametrize("config", METHODS.values(), ids=METHODS.keys())
def test_the_loop_waits_for_nothing_between_steps(config: MethodConfig) -> None:
    """Batch, augmentation, step, schedule, sums of the losses: read at the epoch's end only."""
    assert waits(replace(BASE, method=config, augment=AUGMENT))[0] == 0


@pytest.mark.parametrize(("mix", "method"), MIXES.values(), ids=MIXES.keys())
def test_mixing_waits_for_nothing(
    mix: str, method: MethodConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Mixer.draw

    def unwatched(*args: Any) -> Any:  # chance of the host: numbers that were never on a device
        with _disable_current_modes():
            return draw(*args)

    monkeypatch.setattr(Mixer, "draw", unwatched)
    augment = replace(AUGMENT, mix=mix, mix_prob=1.0)
    assert waits(replace(BASE, method=method, augment=augment))[0] == 0


def test_reads_at_an_epochs_end_do_not_grow_with_its_steps() -> None:
    """Sums, metrics of two splits, one look at all parameters; for the medoids some per class."""
    config = replace(BASE, method=CrossEntropyConfig())
    few, many = waits(config)[1], waits(config, 192)[1]
    assert few == many <= 16
    assert waits(replace(BASE, method=carrying()), 192)[1] <= many + 16


@needs_fake_cuda
@pytest.mark.parametrize("mixed", ["unmixed", "repeat", "stored"])
@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixing_on_a_fake_gpu(mix: str, mixed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mixed batches, the second with the first one's carry, where a mix of devices raises."""
    config = AugmentConfig(mix=mix, mix_prob=1.0)
    mixer = Mixer(config, 4)
    drawn = mixer.draw(torch.zeros(8, 1, 8, 8), torch.Generator().manual_seed(0))
    assert drawn is not None
    monkeypatch.setattr(mixer, "draw", lambda *args: drawn)
    with FakeTensorMode():
        labels = torch.zeros(32, dtype=torch.int64, device="cuda")
        images = torch.zeros(32, 1, 8, 8, dtype=torch.uint8, device="cuda")
        method = carrying(mixed_carry=mixed).build(labels, 4, 8, None)
        stream, augment = Stream(Split(images, labels, labels), 8), Augment(config, (0.5,), (0.2,))
        mixing = Mixing(mixer, mixed, augment.train, 0)
        stream.start_epoch()
        for _ in range(2):
            batch = method.next_batch(stream)
            pixels = mixing(augment.train(batch.images), batch, stream)
            logits = pixels.flatten(1)[:, :4]
            loss = method.loss(logits, batch)
            method.update(logits, batch)
            assert loss.total.device.type == pixels.device.type == "cuda"


@pytest.mark.parametrize("prototype", ["medoid", "mean", "mean-softmax"])
@pytest.mark.parametrize("distance", ["euclidean", "squared-euclidean", "cosine", "manhattan"])
def test_medoids_and_records_stay_on_their_device(distance: str, prototype: str) -> None:
    """Tensors made without a device fall on "meta" here, where nothing can be mixed with them. The
    medoids wait for the sizes of their classes, so fake tensors cannot take this way."""
    data = tiny()
    method = carrying(distance=distance, prototype=prototype).build(data.train.labels, 4, 16)
    assert isinstance(method, Toast)
    g = torch.Generator().manual_seed(0)
    method.bank.logits.normal_(generator=g)
    method.bank.seen.fill_(True)
    recorder = RunRecorder("logits", 2, 64, 4)
    with torch.device("meta"):
        method.end_epoch()
        report = method.report()
        recorder.add(0, method)
    assert {t.device.type for t in method.state_dict().values()} == {"cpu"}
    assert report["target_entropy"] > 0


def live() -> int:
    """Bytes of all tensors made since `gc.freeze`."""
    gc.collect()
    sizes = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), Tensor):
            storage = thing.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_nothing_grows_from_step_to_step(config: type[MethodConfig]) -> None:
    """Static shapes and as many bytes alive before every step: what a CUDA graph asks for."""
    sizes: list[int] = []
    gc.collect()
    gc.freeze()
    try:
        settings = replace(BASE, method=config(), epochs=3)
        run(settings, 128, on_step=lambda *_: sizes.append(live()))
    finally:
        gc.unfreeze()
    per = len(sizes) // 3
    second, third = sizes[per : 2 * per], sizes[2 * per :]
    assert len(set(second[2:])) == 1, "from the third step on, when the sums are there"
    assert second[2:] == third[2:]
    assert third[-1] > 20_000


@pytest.mark.skipif(TORCH < (2, 14), reason="older PyTorch counts its graphs otherwise")
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_network_and_loss_are_compiled_without_a_break(
    config: type[MethodConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captured whole, by a backend that then runs the same kernels: equal to the bit. New targets
    in the second and third epoch do not compile anything again; the start of TOAST's ramp does."""
    settings = replace(BASE, method=config(), evaluate_every=3, epochs=3)
    plain = run(settings)
    # the teacher's own training is none of this
    teacher = (plain.weights, plain.metrics) if config.needs_teacher else None
    plain = run(settings, teacher=teacher)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counters.clear()
    graphs: list[int] = []
    compiled = run(
        replace(settings, compile=True),
        teacher=teacher,
        on_epoch=lambda _: graphs.append(counters["stats"]["unique_graphs"]),
    )
    assert not counters["graph_break"]
    assert graphs[0] >= 2, "the network and the loss"
    starts = int(config is ToastConfig)
    assert graphs[1] <= graphs[0] + starts
    assert graphs[2] <= graphs[0] + starts + 1, "the last epoch evaluates"
    assert compiled.metrics.loss.tolist() == plain.metrics.loss.tolist()
    torch._dynamo.reset()


@pytest.mark.skipif(not shutil.which("g++"), reason="the inductor needs a C++ compiler")
def test_the_inductor_compiles_toasts_loss() -> None:
    """Value and gradient within rounding of the same loss in eager mode."""
    data, found = tiny(), []
    for compiled in (False, True):
        method = carrying().build(data.train.labels, 4, 16)
        stream = Stream(data.train, 16, seed=1)
        stream.start_epoch()
        if compiled:
            torch._dynamo.reset()
            method.compile()
        g = torch.Generator().manual_seed(0)
        for _ in range(2):  # the second with a carry
            batch = method.next_batch(stream)
            logits = torch.randn(16, 4, generator=g).requires_grad_()
            loss = method.loss(logits, batch)
            loss.total.backward()  # type: ignore[no-untyped-call]
            method.update(logits, batch)
        assert bool(batch.carried.any())
        assert logits.grad is not None
        found.append(torch.cat([loss.total.detach()[None], logits.grad.flatten()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_bf16_agrees_with_float32(config: type[MethodConfig]) -> None:
    """Losses of two epochs within 2 % (bf16 has 8 bits: 0.4 % a rounding); accuracy within 5 %."""
    exact, bf16 = (run(replace(BASE, method=config(), precision=p)) for p in ("float32", "bf16"))
    assert bf16.metrics.loss.tolist() == pytest.approx(exact.metrics.loss.tolist(), rel=0.02)
    assert bf16.metrics.loss.tolist() != exact.metrics.loss.tolist()
    assert abs(bf16.metrics.test_top1 - exact.metrics.test_top1).max() <= 0.05


@pytest.mark.parametrize("model", ["mlp", "resnet-small"])
@pytest.mark.parametrize(
    "options", [{}, {"nesterov": False}, {"momentum": 0.0}, {"weight_decay": 0.0}], ids=str
)
def test_the_optimizer_of_a_cpu_is_partly_fused_and_changes_no_bit(
    model: str, options: dict[str, Any]
) -> None:
    """Also where the learning rate changes, and after a checkpoint of an unfused one."""
    config, images = replace(BASE, **options), torch.rand(8, 1, 28, 28)
    nets = [build(model, 10, 1, 28, seed=0) for _ in range(2)]
    quick, plain = make_optimizer(config, nets[0]), make_optimizer(config, nets[1], fused=False)
    assert isinstance(quick, PartlyFused)
    assert bool(quick.parts[True]) == same_bits()
    assert len(quick.parts[False]) >= 1, "ten classes are no multiple of a vector"
    assert sum(map(len, quick.parts.values())) == len(list(nets[0].parameters()))
    for i in range(12):
        for net, optimizer in zip(nets, (quick, plain), strict=True):
            optimizer.zero_grad()
            net(images + i / 10).square().mean().backward()
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + i)
            optimizer.step()
        if i == 6:
            quick.load_state_dict(deepcopy(plain.state_dict()))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert str(quick.state_dict()) == str(plain.state_dict())


@needs_fake_cuda
def test_which_optimizer_is_fused() -> None:
    assert fuses("cuda", torch.float32)
    assert not fuses("cpu", torch.float32), "bits would differ from those of stored results"
    assert not fuses("mps", torch.float32)
    assert not fuses("cuda", torch.int64)
    model = torch.nn.Linear(2, 2)
    for name in ("sgd", "adamw"):
        config = replace(BASE, optimizer=name)
        assert not make_optimizer(config, model).defaults["fused"]
        assert make_optimizer(config, model, fused=True).defaults["fused"]
        with FakeTensorMode(), torch.device("cuda"):
            assert make_optimizer(config, torch.nn.Linear(2, 2)).defaults["fused"]
