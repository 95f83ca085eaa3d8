"""Several runs of a store trained as one: found, shared, waited for, gone on with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from toastlab.core.errors import Stopped
from toastlab.disk.locks import Lease
from toastlab.methods import ToastConfig
from toastlab.store import together as module
from toastlab.store.names import run_key
from toastlab.store.runs import Run, RunStore
from toastlab.store.together import get_together
from toastlab.training.config import TrainConfig
from toastlab.training.together import train_together

BASE = TrainConfig(epochs=2, batch_size=16, method=ToastConfig())
CONFIGS = [replace(BASE, seed=seed) for seed in range(3)]


def get(store: RunStore, configs: list[TrainConfig] = CONFIGS) -> dict[int, Run]:
    data = tiny()
    found = dict(get_together(store, [(c, data) for c in configs], device="cpu"))
    assert set(found) == set(range(len(configs)))
    return {i: run for i, run in found.items() if isinstance(run, Run)}


def test_they_stand_under_their_usual_names_and_say_how_they_were_made(tmp_path: Path) -> None:
    store, data = RunStore(tmp_path), tiny()
    before = store.get(CONFIGS[1], dataset=data, device="cpu")
    runs = get(store)
    assert runs[1].folder == before.folder
    assert "together" not in runs[1].facts, "it was there, and is not trained again"
    for i in (0, 2):
        assert runs[i].key == run_key(CONFIGS[i], data.fingerprint)
        assert runs[i].facts["together"] == "2 from epoch 1"
        again = store.get(CONFIGS[i], dataset=data, device="cpu")
        assert again.folder == runs[i].folder
    alone = RunStore(tmp_path / "alone").get(CONFIGS[0], dataset=data, device="cpu")
    for name, tensor in alone.weights().items():
        torch.testing.assert_close(tensor, runs[0].weights()[name], rtol=1e-4, atol=1e-5)
    assert runs[0].dynamics is not None
    assert alone.dynamics is not None
    np.testing.assert_array_equal(alone.dynamics.carried, runs[0].dynamics.carried)
    assert not list(tmp_path.glob(".partial-*")), "nothing half-made is left"


def test_a_run_that_another_process_trains_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here its lock is held, and freed when the others are done."""
    store, data = RunStore(tmp_path), tiny()
    lease = Lease(tmp_path / f".partial-{run_key(CONFIGS[0], data.fingerprint)}")
    assert lease.take()
    real = train_together

    def trained(*args, **how):  # type: ignore[no-untyped-def]
        yield from real(*args, **how)
        lease.free()

    monkeypatch.setattr(module, "train_together", trained)
    runs = get(store)
    assert "together" not in runs[0].facts
    assert runs[2].facts["together"] == "2 from epoch 1"


def test_stopped_and_gone_on_with(tmp_path: Path) -> None:
    store, data, asked = RunStore(tmp_path), tiny(), []

    def enough() -> bool:
        asked.append(1)
        return len(asked) > 6  # steps; an epoch has four

    pairs = [(config, data) for config in CONFIGS]
    with pytest.raises(Stopped, match="last checkpoints"):
        list(get_together(store, pairs, device="cpu", should_stop=enough))
    assert len(list(tmp_path.glob(".partial-*/checkpoint.pt"))) == 3
    assert not store.list()
    first = store.get(CONFIGS[0], dataset=data, device="cpu")
    assert first.facts["together"] == "3 from epoch 1, 1 from epoch 2"
    runs = get(store)
    assert runs[1].facts["together"] == "3 from epoch 1, 2 from epoch 2"
    assert len(store.list()) == 3
