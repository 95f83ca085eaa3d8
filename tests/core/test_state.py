"""Every buffer says how ranks put it together."""

import pytest
import torch
from torch import nn

from tests.helpers import carrying, tiny
from tests.training.test_device import METHODS
from toastlab.core.state import Stateful
from toastlab.methods import MethodConfig


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
