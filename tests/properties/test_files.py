"""Damaged and hostile files but images: the right data, or a documented error in one line."""

import gzip
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.numpy import save as array_bytes

from tests.helpers import tiny
from tests.properties.damage import CASES, DAMAGES, FUZZ, Damage, refused
from toastlab.cli.sweep import options_of
from toastlab.core.errors import DataError, StoreError
from toastlab.data.dataset import load
from toastlab.data.idx import read_idx, write_idx
from toastlab.disk.durable import load_checkpoint, save_checkpoint
from toastlab.disk.files import embedded
from toastlab.store.run_files import FILES, SUMS
from toastlab.store.runs import Run, RunStore, open_run, run_key
from toastlab.studies import ablation, peers, regime
from toastlab.studies.layouts import load_layouts
from toastlab.training.config import TrainConfig


def test_the_damage_is_real() -> None:
    """Nearly every damage changes the file; else the tests above would look at sound files."""
    changed, whole = 0, bytes(range(256))

    @settings(FUZZ, max_examples=60)
    @given(DAMAGES)
    def count(damage: Damage) -> None:
        nonlocal changed
        changed += damage(whole) != whole

    count()
    assert changed > 40


# --- IDX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx(ending: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    file = tmp_path / f"a{ending}"
    write_idx(tmp_path / "a.gz", array)
    whole = (tmp_path / "a.gz").read_bytes()
    whole = whole if ending else gzip.decompress(whole)

    @FUZZ
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        file.write_bytes(damage(whole))
        try:
            found = read_idx(file, 3)
        except DataError as error:
            return refused(error, file.name)
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.size
        if ending:  # gzip has a checksum, though not of its header
            assert np.array_equal(found, array)

    fuzz()


@pytest.mark.parametrize("shape", [(0, 3, 3), (2**32 - 1, 2**32 - 1, 0), (3, 0, 3)])
def test_an_idx_file_without_pixels(shape: tuple[int, ...], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape))
    with pytest.raises(DataError, match="is empty"):
        read_idx(tmp_path / "a", 3)


# --- checkpoints ----------------------------------------------------------------------------------


def same_state(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a["epoch"] == b["epoch"] and torch.equal(a["tensor"], b["tensor"])


STATE = {"epoch": 3, "tensor": torch.arange(12.0).reshape(3, 4), "rows": [{"a": 1.5}]}


def test_checkpoints(tmp_path: Path) -> None:
    file = tmp_path / "c.pt"
    save_checkpoint(file, STATE)
    whole = file.read_bytes()

    @FUZZ
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        file.write_bytes(damage(whole))
        found = load_checkpoint(file, STATE)
        assert found is None or same_state(found, STATE)

    fuzz()


@pytest.mark.filterwarnings("ignore")
def test_checkpoints_with_the_right_checksum(tmp_path: Path) -> None:
    """As somebody would write them who means harm."""
    file = tmp_path / "c.pt"
    save_checkpoint(file, STATE)
    _, body = file.read_bytes().split(b"\n", 1)

    @FUZZ
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        content = damage(body)
        file.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        found = load_checkpoint(file, STATE)
        assert found is None or set(STATE) <= set(found)

    fuzz()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_checkpoint_that_is_a_pipe(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "c.pt")
    assert load_checkpoint(tmp_path / "c.pt", STATE) is None
    assert "pipe" in caplog.text


# --- runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = TrainConfig(epochs=2, batch_size=16)
    found = RunStore(tmp_path_factory.mktemp("runs")).get(config, dataset=tiny(), device="cpu")
    assert found is not None
    return found


@pytest.mark.parametrize("sums", [True, False], ids=["with checksums", "without"])
@pytest.mark.parametrize("name", FILES)
def test_runs(name: str, sums: bool, run: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.folder, tmp_path / run.key))
    file, whole = folder / name, (folder / name).read_bytes()
    if not sums:
        (folder / SUMS).unlink()

    @settings(FUZZ, max_examples=CASES // 2)
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        content = damage(whole)
        file.write_bytes(content)
        try:
            found = open_run(folder)
            assert found.config.epochs == 2
            got = (found.facts, found.metrics, found.arrays, found.weights())
        except StoreError as error:
            return refused(error, run.key)
        if sums and name != "config.json":
            assert content == whole
        if name == "weights.safetensors":
            assert isinstance(got[3], dict)

    fuzz()


HOSTILE = [
    ("data.path", "../../../etc"),
    ("data.name", "../../etc/passwd"),
    ("model", "../../../tmp/evil"),
    ("method.name", "../toast"),
    ("method.name", "__class__"),
    ("method.name", ["toast"]),
    ("epochs", "2; import os"),
    ("epochs", 10**400),
    ("seed", float("nan")),
    ("milestones", "../.."),
    ("milestones", {"a": 1}),
    ("data", "../.."),
    ("method", None),
    ("__init__", 1),
    ("augment.__class__", {}),
]


@pytest.mark.parametrize(("name", "value"), HOSTILE, ids=lambda x: str(x)[:12])
def test_hostile_settings(name: str, value: object, run: Run, tmp_path: Path) -> None:
    """Refused, or taken as what they are: text. What a run is read from lies in its folder."""
    store, outside = RunStore(tmp_path / "store"), tmp_path / "outside"
    outside.mkdir()
    content = json.loads((run.folder / "config.json").read_text())
    *group, last = name.split(".")
    part = content["config"][group[0]] if group else content["config"]
    part[last] = value
    folder = Path(shutil.copytree(run.folder, store.root / run.key))
    (folder / "config.json").write_text(json.dumps(content))
    try:
        found = store.open(run.key)
    except StoreError as error:
        refused(error, run.key)
    else:
        assert name == "data.path", "the only one that the key does not stand for"
        assert run_key(found.config, found.fingerprint) == run.key
        assert found.folder.parent == store.root
        with pytest.raises(DataError):
            load(found.config.data)
    assert not list(outside.iterdir())
    assert {p.name for p in tmp_path.iterdir()} == {"store", "outside"}


def test_a_network_by_any_name_stays_in_the_store(tmp_path: Path) -> None:
    """A user's own network is known by a text of theirs; no path is made of it."""
    store = RunStore(tmp_path / "a" / "store")
    config = TrainConfig(model="../../../evil", epochs=1, batch_size=16)

    def model() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))

    found = store.get(config, dataset=tiny(), model=model, device="cpu")
    assert found is not None
    assert found.folder.parent == store.root
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert store.open(found.key).config.model == "../../../evil"
    with pytest.raises(ValueError, match=r"unknown model '../../../evil'"):
        store.get(replace(config, seed=1), dataset=tiny(), device="cpu")


# --- tables, layouts, sweeps ----------------------------------------------------------------------


TABLES: dict[str, tuple[str, Callable[[], object]]] = {
    "peers/rows.csv": ("peers", lambda: peers.load()),
    "peers/curves.csv": ("peers", lambda: peers.load("curves")),
    "regime/rows.csv": ("regime", lambda: regime.load()),
    "regime/curves.csv": ("regime", lambda: regime.load("curves")),
    "ablation.csv": ("ablation", lambda: ablation.load("rows", {0.0: "a", 0.2: "b"})),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, reader = TABLES[name]
    whole = b"".join(embedded(name).read_bytes().splitlines(keepends=True)[:40])
    monkeypatch.setattr(f"toastlab.studies.{module}.embedded", lambda part: tmp_path / part)
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)

    @settings(FUZZ, max_examples=CASES // 2)
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        file.write_bytes(damage(whole))
        try:
            assert reader() is not None
        except DataError as error:
            refused(error, "stored" if "stored" in str(error) else file.name)

    fuzz()
    file.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        reader()


def test_layouts(run: Run, tmp_path: Path) -> None:
    facts = {"runs": {"one": run.key}, "keys": [["one", "logits", 5.0, 1]], "trust": [0.9]}
    arrays: dict[str, np.ndarray] = {
        "index": np.arange(4),
        "places": np.zeros((1, 4, 2), np.float16),
        "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
    }
    file, whole = tmp_path / "layouts.safetensors", array_bytes(arrays)
    file.write_bytes(whole)
    assert load_layouts({"one": run}, file).extent("logits", 5.0) == 0

    @FUZZ
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        file.write_bytes(damage(whole))
        try:
            found = load_layouts({"one": run}, file)
        except DataError as error:
            return refused(error, "toastlab study run layouts")
        assert all(v.shape == (len(found.index), 2) for v in found.places.values())

    fuzz()


def test_sweep_files(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    whole = (
        b'method = "toast"\nseeds = 3\n[data]\nnoise-rate = 0.2\n[axes]\nmedoid-weight = [0, 1]\n'
    )

    @FUZZ
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        file.write_bytes(damage(whole))
        try:
            words = options_of(str(file))
        except ValueError as error:
            return refused(error, file.name)
        assert all(isinstance(word, str) for word in words)

    fuzz()
    file.write_text("method = " + "[" * 100_000)
    with pytest.raises(ValueError, match="is not TOML"):
        options_of(str(file))
