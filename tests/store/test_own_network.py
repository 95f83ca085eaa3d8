"""A network of one's own in the store: what a run is, its name says, and nothing else gets in."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import tiny
from toastlab.core.errors import Stopped
from toastlab.methods import CONFIGS
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train
from toastlab.training.models import draw
from toastlab.training.names import MODELS

CONFIG = TrainConfig(model="mine", epochs=2, batch_size=16)


class Mine(nn.Module):
    """With a parameter in no module that could draw it again, and first weights of its own kind."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(64))
        self.last = nn.Linear(64, 4)
        nn.init.orthogonal_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(x.flatten(1) * self.scale)
        return logits


def get(store: RunStore, config: TrainConfig = CONFIG, model: object = Mine) -> Run:
    return store.get(config, dataset=tiny(), model=model, device="cpu")  # type: ignore[arg-type]


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_equal_settings_give_equal_runs_whatever_came_before(tmp_path: Path) -> None:
    """In two stores, with draws and other trainings between, the same run to the bit."""
    first = get(RunStore(tmp_path / "a"))
    torch.rand(7)
    get(RunStore(tmp_path / "b"), replace(CONFIG, epochs=3))
    before = torch.get_rng_state()
    second = get(RunStore(tmp_path / "b"))
    assert torch.equal(before, torch.get_rng_state())
    assert first.key == second.key
    assert equal(first.weights(), second.weights())
    assert first.last["val_nll"] == second.last["val_nll"]


def test_each_seed_draws_its_own_weights(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1, learning_rate=1e-9, warmup_epochs=0)
    one, other = (get(RunStore(tmp_path), replace(config, seed=s)) for s in (0, 1))
    assert not equal(one.weights(), other.weights())
    torch.testing.assert_close(one.weights(), weights(draw(Mine, 0)), atol=1e-6, rtol=0)


def small() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 8), nn.Linear(8, 4))


def test_a_network_made_already_is_a_pattern(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was trained in place before, and went on from whatever weights it had. Now nothing of it
    changes, and trained or not, the run is that of a new network under the seed."""
    new, trained = small(), small()
    train(replace(CONFIG, model="mine"), dataset=tiny(), model=trained, device="cpu")
    before = weights(trained)
    assert not equal(weights(small()), before)
    wanted = get(RunStore(tmp_path / "function"), model=small).weights()
    for i, network in enumerate((new, trained)):
        assert equal(get(RunStore(tmp_path / str(i)), model=network).weights(), wanted)
    assert equal(weights(trained), before)
    other = get(RunStore(tmp_path / "0"), replace(CONFIG, seed=1), model=new)
    assert not equal(other.weights(), wanted)
    said = {r.message for r in caplog.records}
    assert len(said) == 1
    assert "a copy with newly drawn weights is trained" in said.pop()


def test_a_pattern_that_cannot_be_drawn_anew_is_refused(tmp_path: Path) -> None:
    network = Mine()
    before = weights(network)
    with pytest.raises(TypeError, match=r"^the weights of 'model', a Mine without reset.*lambda"):
        get(RunStore(tmp_path), model=network)
    with pytest.raises(TypeError, match=r"^the weights of '1', a Mine without"):
        get(RunStore(tmp_path), model=nn.Sequential(nn.Flatten(), network))
    assert equal(before, weights(network))
    with pytest.raises(TypeError, match="model is a str; give a network, or a function"):
        get(RunStore(tmp_path), model="mine")


def test_trained_weights_do_not_get_in_through_a_function(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = Mine()
    before = weights(network)
    with pytest.raises(ValueError, match=r"gives the same 'scale' at every call.*inside it\.$"):
        get(RunStore(tmp_path), model=lambda: network)
    with pytest.raises(ValueError, match=r"gives the same '0\.scale' at every call"):
        get(RunStore(tmp_path), model=lambda: nn.Sequential(network, nn.Linear(4, 4)))
    assert not caplog.records
    get(RunStore(tmp_path), model=lambda: copy.deepcopy(network))
    assert [r.message for r in caplog.records] == [
        "the first weights of this network are the same for every seed"
    ]
    assert equal(before, weights(network))


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="the function gives int; have it give a network"):
        get(RunStore(tmp_path), model=lambda: 3)


@pytest.mark.parametrize("name", MODELS)
def test_the_names_of_our_networks_are_taken(name: str, tmp_path: Path) -> None:
    """Or the run of a stranger would be found as that of ours."""
    with pytest.raises(ValueError, match=rf"^'{name}' names a network of toastlab; give yours"):
        get(RunStore(tmp_path), replace(CONFIG, model=name))
    assert not list(tmp_path.iterdir())


def test_stopped_and_gone_on_to_the_bit(tmp_path: Path) -> None:
    whole, store, steps = get(RunStore(tmp_path / "a")), RunStore(tmp_path / "b"), [0]

    def count(step: int, _: int) -> None:
        steps[0] = step

    with pytest.raises(Stopped):
        store.get(
            CONFIG,
            dataset=tiny(),
            model=Mine,
            device="cpu",
            on_step=count,
            should_stop=lambda: steps[0] >= 5,
        )
    assert equal(whole.weights(), get(store).weights())


def test_a_method_with_a_teacher(tmp_path: Path) -> None:
    """The teacher is of the same kind, and a run of its own."""
    store = RunStore(tmp_path)
    get(store, replace(CONFIG, method=CONFIGS["tf-kd-self"]()))
    assert {(run.config.method.name, run.config.model) for run in store.list()} == {
        ("tf-kd-self", "mine"),
        ("cross-entropy", "mine"),
    }


def test_our_loop_without_a_store() -> None:
    found = [train(CONFIG, dataset=tiny(), model=Mine, device="cpu") for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    assert equal(found[0].weights, found[1].weights)
