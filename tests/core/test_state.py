"""Every buffer says how ranks put it together, and a state is a snapshot of all of them."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import carrying, tiny
from tests.training.test_device import METHODS, attached, network
from toastlab.core.bank import Bank
from toastlab.core.errors import StateError
from toastlab.core.state import Stateful
from toastlab.core.stream import Batch, Stream
from toastlab.disk import durable
from toastlab.methods import CONFIGS, ByotConfig, MethodConfig, ToastConfig
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train


@pytest.mark.parametrize("config", METHODS.values(), ids=METHODS.keys())
def test_all_that_a_method_stores_is_declared(config: MethodConfig) -> None:
    """A buffer that was only registered would silently stay each rank's own."""
    method = config.build(tiny().train.labels, 4, 16, torch.Generator())
    declared = method.states("rows", "sum", "same", "own").keys()
    assert declared == method.state_dict().keys() - {"generator"}


def test_which_ways_there_are() -> None:
    method = carrying().build(tiny().train.labels, 4, 16)
    assert method.states("rows").keys() == {f"bank.{n}" for n in vars_of(method.bank)}
    assert method.states("own").keys() == {
        f"carry.{n}" for n in ("index", "logits", "visits", "count")
    }
    assert {"table", "soft", "medoids.index"} <= method.states("same").keys()
    assert not method.states("sum")


def vars_of(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_buffers()]


def test_parts_that_are_trained_along_are_the_same_on_all_ranks() -> None:
    class WithExits(Stateful):
        def __init__(self) -> None:
            super().__init__()
            self.add_state("mine", torch.zeros(2), "own")
            self.exits = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    module = WithExits()
    same = module.states("same")
    assert {"exits.0.weight", "exits.1.running_mean"} <= same.keys()
    assert "mine" not in same
    same["exits.0.weight"].fill_(3)  # the tensors themselves, to be written over in place
    assert {float(x) for x in module.exits.state_dict()["0.weight"].flatten()} == {3.0}


# --- a state is a snapshot, and is loaded whole or not at all ------------------------------------


class Learner:
    """A method, a network and a stream; `saved` has the state of all three."""

    def __init__(self, config: MethodConfig, seed: int = 0) -> None:
        split = tiny(32).train
        torch.manual_seed(seed)
        self.model = network()
        self.method = config.build(split.labels, 4, 8, torch.Generator().manual_seed(seed))
        attached(config, self.method, self.model, torch.zeros(2, 1, 8, 8))
        self.stream = Stream(split, 8, seed)

    def parts(self) -> list[nn.Module]:
        extra = self.method.extra
        return [self.model, *([] if extra is None else [extra])]

    def step(self, batch: Batch) -> Tensor:
        logits = self.method.run_model(self.model, batch.images / 255, batch)
        loss = self.method.loss(logits, batch).total
        wanted = [p for part in self.parts() for p in part.parameters() if p.requires_grad]
        slopes = torch.autograd.grad(loss, wanted, allow_unused=True)
        with torch.no_grad():
            for p, slope in zip(wanted, slopes, strict=True):
                p.sub_(0 if slope is None else 0.05 * slope)
        self.method.update(logits, batch)
        return loss.detach()

    def epochs(self, count: int) -> list[Tensor]:
        return [
            self.step(batch) for _ in range(count) for batch in self.method.batches(self.stream)
        ]

    def steps(self, count: int) -> list[Tensor]:
        """Steps in the middle of an epoch."""
        return [self.step(self.method.next_batch(self.stream)) for _ in range(count)]

    def saved(self) -> list[dict[str, Tensor]]:
        network = {name: x.clone() for name, x in self.model.state_dict().items()}
        return [network, self.method.state_dict(), self.stream.state_dict()]

    def load(self, states: list[dict[str, Tensor]]) -> None:
        for part, state in zip((self.model, self.method, self.stream), states, strict=True):
            part.load_state_dict(state)  # type: ignore[attr-defined]


EVERY = METHODS | {name: config() for name, config in CONFIGS.items()}


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY.keys())
def test_saving_training_on_and_loading_goes_back_to_the_bit(config: MethodConfig) -> None:
    """In one process, at the end of an epoch and in the middle of one, twice each."""
    learner = Learner(config)
    learner.epochs(2)
    for in_the_middle in (False, True):
        if in_the_middle:
            learner.stream.start_epoch()
            learner.steps(1)
        go_on = learner.steps if in_the_middle else learner.epochs
        saved = learner.saved()
        kept = copy.deepcopy(saved)
        first = go_on(2)
        after = learner.saved()
        assert_equal(saved, kept)
        for _ in range(2):
            learner.load(saved)
            assert_equal(learner.saved(), kept)
            assert all(torch.equal(a, b) for a, b in zip(go_on(2), first, strict=True))
            assert_equal(learner.saved(), after)


def assert_equal(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name, tensor in a.items():
            assert torch.equal(tensor, b[name]), name


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY.keys())
def test_a_state_that_does_not_fit_changes_nothing(config: MethodConfig) -> None:
    learner = Learner(config)
    learner.epochs(1)
    method, sound = learner.method, learner.method.state_dict()
    name = next(n for n, x in sound.items() if x.ndim)
    less = {n: x for n, x in sound.items() if n != name}
    for state, told in (
        ({}, r"missing: .*table"),
        (less, f"missing: {name}"),
        (sound | {"odd": torch.zeros(1)}, "unexpected: odd"),
        (sound | {name: sound[name][:1, None]}, f"of another shape: {name} "),
        (sound | {name: torch.zeros(())}, f"of another shape: {name} "),
        (learner.model.state_dict(), "missing: .*unexpected: "),
    ):
        changed = {n: x + 1 if x.is_floating_point() else x for n, x in state.items()}
        with pytest.raises(StateError, match=told) as error:
            method.load_state_dict(changed)
        assert isinstance(error.value, (ValueError, RuntimeError))
        assert len(str(error.value).splitlines()) == 1
        assert_equal([method.state_dict()], [sound])


def test_a_state_of_other_data_is_refused() -> None:
    small, large = Learner(ToastConfig()), ToastConfig().build(tiny(64).train.labels, 4, 16)
    with pytest.raises(StateError, match=r"bank\.logits \[64, 4\], not \[32, 4\]"):
        small.method.load_state_dict(large.state_dict())
    for state in ({}, {"order": torch.zeros(1)}, Stream(tiny(64).train, 8).state_dict()):
        with pytest.raises(StateError, match="does not fit Stream"):
            small.stream.load_state_dict(state)
    with pytest.raises(TypeError, match="a list is no state"):
        small.method.load_state_dict([])  # type: ignore[arg-type]


def test_without_a_copy_for_who_writes_at_once() -> None:
    method = Learner(ByotConfig()).method
    live, copied = method.state_dict(keep_vars=True), method.state_dict()
    assert live.keys() == copied.keys()
    for name, tensor in live.items():
        shared = tensor.untyped_storage().data_ptr() == copied[name].untyped_storage().data_ptr()
        assert not shared, name
    assert live["bank.logits"] is method.bank.logits


def test_inside_another_module_too() -> None:
    """As Lightning has it: the outer module saves and loads, with PyTorch's own strictness."""
    outer = nn.ModuleDict({"toast": Learner(ToastConfig(criterion="random")).method})
    toast: Any = outer["toast"]
    saved = outer.state_dict()
    assert "toast.generator" in saved
    before = saved["toast.bank.logits"].clone()
    toast.bank.logits += 1
    assert torch.equal(saved["toast.bank.logits"], before)
    outer.load_state_dict(saved)
    assert torch.equal(toast.bank.logits, before)
    del saved["toast.generator"]
    with pytest.raises(RuntimeError, match=r"toast\.generator"):
        outer.load_state_dict(saved)


def test_a_checkpoint_does_not_copy_the_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed to the writer is the bank itself; what the file holds is what it was."""
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(durable, "save_checkpoint", lambda path, state: given.append(state))
    banks: list[int] = []
    plain = Bank.write

    def write(bank: Bank, *args: Any) -> None:
        banks.append(bank.logits.untyped_storage().data_ptr())
        plain(bank, *args)

    monkeypatch.setattr(Bank, "write", write)
    train(
        TrainConfig(epochs=1, batch_size=16),
        dataset=tiny(),
        device="cpu",
        checkpoint=tmp_path / "c",
    )
    logits = given[-1]["method"]["bank.logits"]
    assert logits.untyped_storage().data_ptr() == banks[-1]
    assert not logits.requires_grad
