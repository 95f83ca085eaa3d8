"""Checkpoints that were written before methods were modules: they are read, and go on.

`old/` was made by the code of commit 0edae10: two of four epochs of a linear network on `tiny()`.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers import carrying, tiny
from toastlab.disk.durable import load_checkpoint
from toastlab.methods import DlbConfig, MethodConfig, OlsConfig, PsKdConfig
from toastlab.training.checkpoint import CHECKPOINT
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train

OLD = Path(__file__).with_name("old")
METHODS: dict[str, MethodConfig] = {
    "toast": carrying(),
    "ols": OlsConfig(),
    "dlb": DlbConfig(),
    "ps-kd": PsKdConfig(),
}


@pytest.mark.parametrize("name", METHODS)
def test_an_old_checkpoint_goes_on(name: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    shutil.copy(OLD / f"{name}.pt", file)
    config = TrainConfig(method=METHODS[name], epochs=4, batch_size=16)
    epochs: list[dict[str, float]] = []

    def linear() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))

    def run(checkpoint: Path | None) -> list[dict[Any, Any]]:
        result = train(config, dataset=tiny(), model=linear, device="cpu", checkpoint=checkpoint,
                       on_epoch=epochs.append)  # fmt: skip
        assert result is not None
        return result.metrics.drop(columns="train_seconds").to_dict("records")

    resumed = run(file)
    assert [row["epoch"] for row in epochs] == [3, 4], "two epochs were left"
    # on another processor sums round otherwise; a lost bank or carry would show far more
    for row, whole in zip(resumed, run(None), strict=True):
        for measure, value in whole.items():
            assert row[measure] == pytest.approx(value, rel=0.02, abs=0.02, nan_ok=True), measure


@pytest.mark.parametrize("name", METHODS)
def test_its_names_are_those_of_today(name: str) -> None:
    state = load_checkpoint(OLD / f"{name}.pt", CHECKPOINT)
    assert state is not None
    stored = state["method"]
    drawing = torch.Generator()
    method = METHODS[name].build(tiny().train.labels, 4, 16, drawing)
    today = method.state_dict()
    assert set(today) - set(stored) == set(method.added_states)
    assert set(stored) <= set(today)
    for key, tensor in stored.items():
        assert today[key].shape == tensor.shape, key
        assert today[key].dtype == tensor.dtype, key
