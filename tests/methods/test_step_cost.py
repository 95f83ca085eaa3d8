"""What a step costs, counted: TOAST's extra work over cross-entropy, memory, the GPU page."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from toastlab.bench.work import StepWork, step_work
from toastlab.core.stream import Stream
from toastlab.data.splits import Split
from toastlab.medoids.targets import class_medoids
from toastlab.methods import CONFIGS, CrossEntropyConfig, MethodConfig, Plan, ToastConfig
from toastlab.training.models import build, count_parameters

PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"


@pytest.fixture(scope="module")
def counted() -> dict[str, StepWork]:
    """ResNet-18 on CIFAR-100's shapes, B 128."""
    names = ("cross-entropy", "toast", "ps-kd", "tf-kd-self", "dlb", "elr", "zipf")
    found = {name: step_work(CONFIGS[name]()) for name in names}
    found["toast"] = step_work(ToastConfig(ramp="none"))  # both stages at work
    return found | {"bf16": step_work(ToastConfig(ramp="none"), bf16=True)}


def test_toasts_extra_work(counted: dict[str, StepWork]) -> None:
    toast, plain = counted["toast"], counted["cross-entropy"]
    assert toast.launches <= 1.08 * plain.launches
    assert toast.flops <= 1.03 * plain.flops
    assert toast.bytes <= 1.01 * plain.bytes
    assert toast.launches > plain.launches
    assert counted["tf-kd-self"].flops > 1.3 * plain.flops, "a teacher's pass is seen"


def test_counts_against_arithmetic(counted: dict[str, StepWork]) -> None:
    model, plain = build("resnet18", 100, 3, 32), counted["cross-entropy"]
    parameters = count_parameters(model)
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert plain.weights == 4 * parameters + buffers
    assert plain.optimizer == 4 * parameters, "one momentum"
    assert plain.data == 50_000 * 3 * 32 * 32
    bank, table, labels = 50_000 * (400 + 1 + 16), 4 * 100 * 100, 8 * 50_000
    assert plain.method == bank + table + labels
    macs = 0

    def add(module: nn.Module, args: object, out: torch.Tensor) -> None:
        nonlocal macs
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        macs += out.numel() * weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, 32, 32))
    first = 64 * 32 * 32 * 27  # the images want no gradient
    assert plain.flops == 128 * 2 * (3 * macs - first)
    assert 0.5 < counted["bf16"].activations / counted["toast"].activations < 0.6


def leaves(config: MethodConfig) -> int:
    """Operations of a real step as `torch.profiler` sees them: those that call no other."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    labels = torch.arange(64) % 8
    method = config.build(labels, 8, 16)
    method.setup(model, torch.zeros(2, 1, 8, 8), Plan())
    stream = Stream(Split(torch.zeros(64, 1, 8, 8, dtype=torch.uint8), labels, labels), 16)
    stream.start_epoch()
    for _ in range(2):
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            batch = method.next_batch(stream)
            logits = method.run_model(model, batch.images.float(), batch)
            method.loss(logits, batch).total.backward()  # type: ignore[no-untyped-call]
            method.update(logits, batch)
    cheap = (
        r"aten::(empty|resize_|detach|expand|as_strided|view|t$|transpose|select|unsqueeze|.*lift)"
    )
    events = [e for e in seen.events() if e.name.startswith("aten::")]
    return sum(not e.cpu_children and not re.match(cheap, e.name) for e in events)


def test_the_profiler_sees_the_same_extra_work(counted: dict[str, StepWork]) -> None:
    """On a CPU some operations are several (a fill, a copy); by and large it is the same number."""
    extra = leaves(ToastConfig(ramp="none")) - leaves(CrossEntropyConfig())
    expected = counted["toast"].launches - counted["cross-entropy"].launches
    assert 0.7 * expected <= extra <= 1.5 * expected


def test_medoids_work_amortised() -> None:
    """The refresh, as the profiler counts it, spread over an epoch's steps: below 1 % of them."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(5000) % 10
    logits = torch.randn(5000, 100, generator=g) + 5 * torch.eye(100)[labels]
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as seen:
        class_medoids(logits, labels)
    flops = sum(e.flops for e in seen.key_averages())
    assert flops > 1e6
    # ten classes of CIFAR-100's size: a hundred are ten times that
    steps = 50_000 // 128
    assert 10 * flops / steps < 0.01 * step_work(CrossEntropyConfig()).flops


def mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"


def test_the_gpu_page_says_what_is_counted(counted: dict[str, StepWork]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    plain, toast = counted["cross-entropy"], counted["toast"]
    for name, work in counted.items():
        if name == "bf16":
            continue
        launches, flops = (getattr(work, n) / getattr(plain, n) for n in ("launches", "flops"))
        more = [f"{100 * (x - 1):.1f} %" for x in (launches, flops)]
        row = f"| {name} | {work.launches} | {more[0]} | {more[1]} |"
        assert row in text, row
    for what in ("weights", "optimizer", "activations", "data", "method", "memory"):
        row = f"| {what} | {mib(getattr(toast, what))} | {mib(getattr(counted['bf16'], what))} |"
        assert row in text, row
