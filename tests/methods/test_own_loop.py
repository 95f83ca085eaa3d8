"""A loop of one's own over a DataLoader: the same training; an error where a line is missing."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import DataLoader, TensorDataset

from tests.helpers import Crossings, Watch, carrying, needs_fake_cuda, tiny, torchrun
from toastlab.core.stream import Batch, Stream
from toastlab.methods import (
    BakeConfig,
    CrossEntropyConfig,
    CsKdConfig,
    DlbConfig,
    ElrConfig,
    GceConfig,
    LabelSmoothingConfig,
    MethodConfig,
    OlsConfig,
    Plan,
    PsKdConfig,
    SceConfig,
    SelcConfig,
    TfKdConfig,
    ZipfConfig,
)
from toastlab.methods.base import Method

B, EPOCHS = 16, 4
ONE_PASS: dict[str, MethodConfig] = {
    "toast": carrying(),
    "extra": carrying(layout="extra"),
    "until trained": carrying(max_visits=3, criterion="quantile", share=0.5),
    "kept over epochs": carrying(keep_carry=True, criterion="all"),
    "random": carrying(criterion="random"),
    "memory": carrying(source="memory"),
    "target form": carrying(carried_loss="target", medoid_weight=0.3, past_weight=0.5),
    "distilled": carrying(carried_loss="distilled", no_candidate="last-medoid"),
    "confidence": carrying(carried_loss="confidence", source="memory", criterion="quantile"),
    "cross-entropy": CrossEntropyConfig(),
    "label smoothing": LabelSmoothingConfig(),
    "ols": OlsConfig(),
    "tf-kd": TfKdConfig(),
    "ps-kd": PsKdConfig(),
    "selc": SelcConfig(),
    "elr": ElrConfig(),
    "zipf": ZipfConfig(),
    "gce": GceConfig(),
    "sce": SceConfig(),
}


class Training:
    """A method, a network and its optimizer; `step` is what all loops here have in common."""

    def __init__(self, config: MethodConfig) -> None:
        self.split = tiny().train
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, momentum=0.9)
        drawing = torch.Generator().manual_seed(0)
        self.method: Method = config.build(self.split.labels, 4, B, drawing)
        self.method.setup(self.model, torch.zeros(2, 1, 8, 8), Plan(EPOCHS))
        self.losses: list[Tensor] = []
        self.batches: list[Batch] = []

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.losses.append(loss.detach())

    def ours(self) -> "Training":
        """Our loop, over a stream."""
        stream = Stream(self.split, B, seed=3)
        for _ in range(EPOCHS):
            for batch in self.method.batches(stream):
                logits = self.model(batch.images.float() / 255)
                loss = self.method.loss(logits, batch)
                self.step(loss.total)
                self.method.update(logits, batch)
                self.batches.append(batch)
        return self

    def own(self) -> "Training":
        """A user's loop, over a loader that brings just what the stream would have drawn next."""
        stream = Stream(self.split, B, seed=3)
        for _ in range(EPOCHS):
            stream.start_epoch()
            position = int(stream.pointer)
            for _ in range(self.method.steps(stream)):
                index = stream.order[position : position + self.method.images_per_batch]
                images, labels = self.split.images_at(index), self.split.labels[index]
                batch = self.method.join(images, labels, index)
                loss = self.method(self.model(batch.images.float() / 255), batch)
                self.step(loss)
                self.batches.append(batch)
                position += len(index) - int(batch.carried.sum()) * self.replaces
            stream.pointer.fill_(position)
            self.method.end_epoch()
        return self

    @property
    def replaces(self) -> bool:
        """Whether a carried sample takes the slot of a new one."""
        return getattr(self.method.config, "source", "") == "carry"


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", list(ONE_PASS))
def test_equal_to_our_loop_to_the_bit(name: str) -> None:
    a, b = Training(ONE_PASS[name]).ours(), Training(ONE_PASS[name]).own()
    assert equal([x.index for x in a.batches], [x.index for x in b.batches])
    assert equal(a.losses, b.losses)
    assert equal(a.model.parameters(), b.model.parameters())
    states = a.method.state_dict(), b.method.state_dict()
    assert states[0].keys() == states[1].keys()
    assert equal(states[0].values(), states[1].values())
    if b.replaces:
        assert sum(int(x.carried.sum()) for x in b.batches) > 0


def loader(batch_size: int = B, **options: Any) -> DataLoader[tuple[Tensor, ...]]:
    split = tiny().train
    every = torch.arange(len(split))
    rows = TensorDataset(split.images_at(every).float() / 255, split.labels, every)
    generator = torch.Generator().manual_seed(1)
    return DataLoader(rows, batch_size, shuffle=True, generator=generator, **options)


def test_a_loader_whose_last_batch_is_shorter() -> None:
    t, rows = Training(carrying()), loader(12)
    for _ in range(8):
        for images, labels, index in rows:
            batch = t.method.join(images, labels, index)
            assert len(batch.index) == len(index)
            assert equal([batch.labels], [t.method.labels[batch.index]])
            t.step(t.method(t.model(batch.images), batch))
        t.method.end_epoch()
    assert torch.stack(t.losses[-5:]).mean() < torch.stack(t.losses[:5]).mean()
    assert bool(t.method.bank.seen.all()), "what was passed over comes up again"


def test_carried_images_are_those_of_their_samples() -> None:
    t, carried = Training(carrying()), 0
    pixels = t.split.images_at(torch.arange(len(t.split))).float() / 255
    for images, labels, index in loader():
        batch = t.method.join(images, labels, index)
        assert torch.equal(batch.images, pixels[batch.index])
        past = t.method.bank.logits[batch.index]
        assert torch.equal(batch.past[batch.carried], past[batch.carried])
        t.step(t.method(t.model(batch.images), batch))
        carried += int(batch.carried.sum())
    assert carried > 0


def test_accumulated_gradients_and_autocast() -> None:
    """Half batches, an update each second one, logits in bfloat16."""
    t = Training(carrying())
    t.method = carrying().build(t.split.labels, 4, B // 2)
    for number, (images, labels, index) in enumerate(loader(B // 2), 1):
        with torch.autocast("cpu", torch.bfloat16):
            batch = t.method.join(images, labels, index)
            logits = t.model(batch.images)
            assert logits.dtype == torch.bfloat16
            loss = t.method(logits, batch)
        assert loss.dtype == torch.float32
        (loss / 2).backward()
        if number % 2 == 0:
            t.optimizer.step()
            t.optimizer.zero_grad()
        assert torch.isfinite(loss)
        assert t.method.parts.keys() == {"stage1", "stage2"}
    t.method.end_epoch()
    assert bool((t.method.medoid_record()["index"] >= 0).any())


def test_evaluation_takes_no_note() -> None:
    t = Training(carrying())
    images, labels, index = next(iter(loader()))
    batch = t.method.join(images, labels, index)
    t.method.eval()
    t.method(t.model(batch.images), batch)
    assert not bool(t.method.bank.seen.any())


def test_its_state_goes_into_a_checkpoint(tmp_path: Path) -> None:
    """Saved between two batches and loaded into a method built anew, training is the same."""
    t = Training(carrying(criterion="random"))
    batches = list(loader()) * 2
    for images, labels, index in batches[:2]:
        batch = t.method.join(images, labels, index)
        t.step(t.method(t.model(batch.images), batch))
    t.method.end_epoch()
    torch.save(
        [t.method.state_dict(), t.model.state_dict(), t.optimizer.state_dict()], tmp_path / "c"
    )
    again = Training(carrying(criterion="random"))
    saved = torch.load(tmp_path / "c", weights_only=True)
    for part, state in zip((again.method, again.model, again.optimizer), saved, strict=True):
        part.load_state_dict(state)  # type: ignore[attr-defined]
    for one in (t, again):
        for images, labels, index in batches[2:5]:
            batch = one.method.join(images, labels, index)
            one.step(one.method(one.model(batch.images), batch))
    assert equal(t.model.parameters(), again.model.parameters())
    assert not list(t.method.parameters())


def test_it_moves_and_copies_as_any_module() -> None:
    method = carrying().build(tiny().train.labels, 4, B)
    assert {t.device.type for t in copy.deepcopy(method).to("meta").buffers()} == {"meta"}


@pytest.mark.parametrize("name", list(ONE_PASS))
def test_the_loop_waits_for_nothing_after_its_first_batch(name: str) -> None:
    """The first one is held to the labels, which the host must read."""
    t = Training(ONE_PASS[name])
    rows = list(loader(t.method.images_per_batch))
    for step, (images, labels, index) in enumerate(rows):
        with Watch() as watch:
            batch = t.method.join(images, labels, index)
            t.step(t.method(t.model(batch.images), batch))
        assert step == 0 or watch.waits == []


@needs_fake_cuda
@pytest.mark.parametrize("name", list(ONE_PASS))
def test_the_loop_on_a_fake_gpu(name: str) -> None:
    """Backward aside: any mix of devices raises, and nothing is copied to the device."""
    with FakeTensorMode():
        labels = torch.zeros(32, dtype=torch.int64, device="cuda")
        method = ONE_PASS[name].build(labels, 4, 8, None)
        method.setup(nn.Identity(), torch.zeros(2, 4), Plan(EPOCHS))
        for _ in range(3):
            images = torch.zeros(method.images_per_batch, 4, device="cuda")
            index = torch.zeros(len(images), dtype=torch.int64, device="cuda")
            with Crossings() as crossings:
                loss = method(images * 2, method.join(images, labels[index], index))
            assert not crossings.found
            assert loss.device.type == "cuda"


# --- what is left out ----------------------------------------------------------------------------


def test_a_batch_that_never_came_back() -> None:
    method = carrying().build(tiny().train.labels, 4, B)
    images, labels, index = next(iter(loader()))
    method.join(images, labels, index)
    with pytest.raises(ValueError, match=r"Toast: the last batch never came back: call loss ="):
        method.join(images, labels, index)


def test_an_epoch_that_never_ends() -> None:
    t = Training(carrying())

    def epoch() -> None:
        for images, labels, index in loader():
            batch = t.method.join(images, labels, index)
            t.step(t.method(t.model(batch.images), batch))

    epoch()
    with pytest.raises(ValueError, match=r"joined 64 samples since the last end_epoch\(\)"):
        epoch()
    t.method.end_epoch()
    epoch()


def test_a_loader_of_other_data() -> None:
    images, labels, index = next(iter(loader()))
    method = carrying().build(tiny().train.labels, 4, B)
    with pytest.raises(ValueError, match="the loader's labels are not those"):
        method.join(images, (labels + 1) % 4, index)
    with pytest.raises(ValueError, match=r"built for the 64 samples 0\.\.63"):
        method.join(images, labels, index + 64)
    with pytest.raises(ValueError, match="15 images and 16 indices"):
        method.join(images[:-1], labels, index)
    with pytest.raises(ValueError, match="a batch of 16 samples, but the method was built for 8"):
        carrying().build(tiny().train.labels, 4, 8).join(images, labels, index)


@pytest.mark.parametrize("config", [CsKdConfig(), BakeConfig(companions=1), DlbConfig()])
def test_methods_that_draw_their_batches_themselves(config: MethodConfig) -> None:
    images, labels, index = next(iter(loader()))
    with pytest.raises(TypeError, match=r"draws its batches itself: use method\.batches\(stream\)"):
        config.build(tiny().train.labels, 4, B).join(images, labels, index)


@pytest.mark.parametrize("config", [PsKdConfig(), SelcConfig()], ids=lambda c: c.name)
def test_a_method_that_needs_the_plan(config: MethodConfig) -> None:
    images, labels, index = next(iter(loader()))
    with pytest.raises(ValueError, match=r"call method\.setup\("):
        config.build(tiny().train.labels, 4, B).join(images, labels, index)


# --- several processes ---------------------------------------------------------------------------


def test_two_processes_share_one_bank(tmp_path: Path) -> None:
    """Under DistributedDataParallel, with a sampler that deals the samples anew every epoch."""
    done = torchrun("tests.methods.ddp_job", tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{r}.pt", weights_only=True) for r in (0, 1))
    for name, tensor in first["state"].items():
        own = name.startswith(("carry.", "generator"))
        assert own or torch.equal(tensor, second["state"][name]), name
    assert equal(first["weights"], second["weights"])
    assert float(first["state"]["bank.seen"].float().mean()) > 0.9
    # each row is the one that its process noted, not a mixture
    for name in ("toast", "ols"):
        for noted in (first, second):
            index, logits = noted[f"{name} last"]
            assert torch.equal(first[f"{name} bank"][index], logits)
    assert torch.equal(first["ols counts"], second["ols counts"])
    assert int(first["ols counts"].sum()) == int(first["ols right"] + second["ols right"]) > 0
