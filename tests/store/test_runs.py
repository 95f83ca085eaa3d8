"""The store: found again, whole or not at all, and never passing for what it is not."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import tiny
from toastlab.core.errors import Stopped, StoreError
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.methods import CONFIGS, ToastConfig
from toastlab.store import doctor
from toastlab.store.names import from_json, run_key, to_json
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train

CONFIG = TrainConfig(epochs=2, batch_size=16)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def get(store: RunStore, config: TrainConfig = CONFIG) -> Run:
    return store.get(config, dataset=tiny(), device="cpu")


def test_found_again_and_complete(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = get(store)
    direct = train(CONFIG, dataset=tiny(), device="cpu")
    assert direct is not None
    monkeypatch.setattr("toastlab.store.runs.train", None)  # to train again would be an error
    again = get(store)
    assert again.key == first.key == run_key(CONFIG, tiny().fingerprint)
    assert again.config == CONFIG
    drop = ["train_seconds"]
    assert again.metrics.drop(columns=drop).equals(direct.metrics.drop(columns=drop))
    for name, tensor in direct.weights.items():
        assert torch.equal(again.weights()[name], tensor)
    for name, array in direct.predictions.items():
        np.testing.assert_array_equal(again.group("predictions")[name], array)
    assert again.dynamics is not None
    assert direct.dynamics is not None
    np.testing.assert_array_equal(again.dynamics.logits, direct.dynamics.logits)
    assert again.facts == direct.facts
    assert {p.name for p in first.folder.iterdir()} == {
        "config.json",
        "facts.json",
        "metrics.csv",
        "arrays.safetensors",
        "weights.safetensors",
        "sha256.json",
    }
    assert not list(store.root.glob(".*")), "nothing half-made is left"
    assert again.last["epoch"] == 2


@pytest.mark.parametrize("name", CONFIGS)
def test_config_to_json_and_back(name: str) -> None:
    config = TrainConfig(
        method=CONFIGS[name](),
        data=DataConfig(noise_rate=0.3),
        augment=AugmentConfig(cutout=4),
        milestones=(0.3, 0.6, 0.8),
        seed=5,
    )
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_every_setting_changes_the_name() -> None:
    key = run_key(CONFIG, "data")
    others = [
        replace(CONFIG, seed=1),
        replace(CONFIG, method=ToastConfig(medoid_weight=0.31)),
        replace(CONFIG, method=CONFIGS["cross-entropy"]()),
        replace(CONFIG, data=DataConfig(noise_rate=0.1)),
        replace(CONFIG, augment=AugmentConfig(flip=True)),
        replace(CONFIG, channels_last=False),
        replace(CONFIG, milestones=(0.5,)),
        replace(CONFIG, decay=0.2),
        replace(CONFIG, nesterov=False),
        replace(CONFIG, spread=True),
    ]
    keys = {run_key(c, "data") for c in others} | {run_key(CONFIG, "other data")}
    assert key not in keys
    assert len(keys) == len(others) + 1
    where = replace(CONFIG, data=DataConfig(path="elsewhere", workers=7))
    assert run_key(where, "data") == key


@pytest.mark.parametrize(
    "damage",
    ["altered", "truncated", "unknown field", "refused value", "format"],
)
def test_a_folder_that_lies_is_refused(store: RunStore, damage: str) -> None:
    file = get(store).folder / "config.json"
    content = json.loads(file.read_text())
    if damage == "altered":
        content["config"]["epochs"] = 3
    elif damage == "unknown field":
        content["config"]["epoch"] = 2
    elif damage == "refused value":
        content["config"]["batch_size"] = 3
    elif damage == "format":
        content["format"] = -1
    text = json.dumps(content)
    file.write_text(text[: len(text) // 2] if damage == "truncated" else text)
    for look in (lambda: get(store), store.list, lambda: store.open(file.parent.name[:6])):
        with pytest.raises(StoreError, match="cannot be trusted"):
            look()


def test_open_by_the_beginning_of_a_name(store: RunStore) -> None:
    run = get(store)
    other = get(store, replace(CONFIG, seed=1))
    assert store.open(run.key[:8]).key == run.key
    assert [r.key for r in store.list()] == [run.key, other.key]
    with pytest.raises(StoreError, match="0 runs"):
        store.open("zzz")
    with pytest.raises(StoreError, match="0 runs"):
        store.open("")


def test_stopped_and_gone_on(store: RunStore) -> None:
    steps: list[int] = []
    with pytest.raises(Stopped, match="has the last checkpoint"):
        store.get(
            CONFIG,
            dataset=tiny(),
            device="cpu",
            on_step=lambda step, _: steps.append(step),
            should_stop=lambda: len(steps) == 6,
        )
    assert store.list() == []
    epochs: list[float] = []
    run = store.get(
        CONFIG, dataset=tiny(), device="cpu", on_epoch=lambda row: epochs.append(row["epoch"])
    )
    assert run.last["epoch"] == 2
    assert epochs == [2]
    assert not list(store.root.glob(".partial*"))


def test_unwritable(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write to the run store.*--store"):
        get(RunStore(file / "runs"))
    if os.geteuid() != 0:  # root may write anywhere
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
        with pytest.raises(StoreError, match="cannot write"):
            get(RunStore(folder))


def test_written_whole_or_not_at_all(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError("No space left on device")

    result = train(CONFIG, dataset=tiny(), device="cpu")
    assert result is not None
    monkeypatch.setattr("toastlab.store.runs.tensor_bytes", full)
    with pytest.raises(StoreError, match="No space left"):
        store.add(result)
    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "weights.safetensors", "config.json"])
def test_links_are_not_followed(store: RunStore, what: str, tmp_path: Path) -> None:
    run, outside = get(store), tmp_path / "outside"
    place = run.folder if what == "folder" else run.folder / what
    place.rename(outside)
    place.symlink_to(outside)
    for look in (lambda: get(store), store.list, lambda: store.open(run.key)):
        with pytest.raises(StoreError, match="symbolic link"):
            look()


def test_a_key_cannot_leave_the_store(store: RunStore, tmp_path: Path) -> None:
    run = get(store)
    inner = RunStore(store.root / "inner")
    inner.root.mkdir()
    for key in (f"../{run.key}", str(run.folder), "*", "..", f"./../{run.key[:4]}"):
        with pytest.raises(StoreError, match="0 runs"):
            inner.open(key)
    with pytest.raises(StoreError, match="0 runs"):
        store.open("*")


def test_what_a_killed_process_was_writing_is_cleared_away(store: RunStore) -> None:
    partial = store.root / f".partial-{run_key(CONFIG, tiny().fingerprint)}"
    (partial / ".writing-half").mkdir(parents=True)
    (partial / "checkpoint.ptabc.new").write_text("torn")
    get(store)
    assert not list(store.root.glob(".*"))


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
def test_a_folder_that_vanishes_while_it_is_cleared(
    stored: bool, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process stores the run and removes the folder, or somebody removes it by hand."""
    partial = store.root / f".partial-{run_key(CONFIG, tiny().fingerprint)}"
    (partial / ".writing-half").mkdir(parents=True)
    made, remove = get(RunStore(tmp_path / "other")), shutil.rmtree
    vanished: list[Path] = []

    def late(path: Path, *args: Any, **how: Any) -> None:
        if not vanished:
            vanished.append(path)
            remove(partial)
            if stored:
                made.folder.rename(store.root / made.key)
        remove(path, *args, **how)

    monkeypatch.setattr(shutil, "rmtree", late)
    epochs: list[float] = []
    run = store.get(
        CONFIG, dataset=tiny(), device="cpu", on_epoch=lambda row: epochs.append(row["epoch"])
    )
    assert vanished == [partial / ".writing-half"]
    assert epochs == ([] if stored else [1, 2])
    assert run.key == made.key
    assert doctor.damage(run.folder) == ""
    assert not list(store.root.glob(".*"))
