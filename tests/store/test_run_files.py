"""A run's checksums: written with it, checked at every reading, missed by nobody who has none."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import tiny
from toastlab.core.errors import StoreError
from toastlab.disk.files import sha256
from toastlab.store import doctor
from toastlab.store.run_files import FILES, SUMS
from toastlab.store.runs import Run, RunStore, open_run
from toastlab.training.config import TrainConfig

CONFIG = TrainConfig(epochs=2, batch_size=16)
STORED = Path(__file__).parents[2] / "data" / "runs"
READERS: dict[str, Callable[[Run], object]] = {
    "facts.json": lambda run: run.facts,
    "metrics.csv": lambda run: run.metrics,
    "arrays.safetensors": lambda run: run.arrays,
    "weights.safetensors": lambda run: run.weights(),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return RunStore(tmp_path_factory.mktemp("runs")).get(CONFIG, dataset=tiny(), device="cpu")


@pytest.fixture
def run(made: Run, tmp_path: Path) -> Run:
    """A copy that may be damaged."""
    return open_run(Path(shutil.copytree(made.folder, tmp_path / "runs" / made.key)))


def told(run: Run) -> str:
    """The doctor's lines about the store."""
    return "\n".join(f"{f.sound} {f.text}" for f in doctor.runs(run.folder.parent))


def flip(file: Path, place: float = 0.9) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)


def test_every_file_has_its_checksum(run: Run) -> None:
    sums = json.loads((run.folder / SUMS).read_text())
    assert sums == {name: sha256(run.folder / name) for name in FILES}
    assert told(run).startswith("True 1 of 1")
    assert "without checksums" not in told(run)


@pytest.mark.parametrize("name", READERS)
def test_one_bit_is_found_when_the_file_is_read(run: Run, name: str) -> None:
    """A changed number that every reader would take."""
    flip(run.folder / name)
    with pytest.raises(StoreError, match=rf"{name} is damaged .*SHA-256.*Remove the run's folder"):
        READERS[name](run)
    assert told(run).startswith("False")
    assert "SHA-256" in told(run)


def test_a_changed_path_in_the_settings_is_found_by_the_doctor(run: Run) -> None:
    """Where the data lie is no part of the key, so that the folder can still be opened."""
    file = run.folder / "config.json"
    file.write_text(file.read_text().replace('"path": ""', '"path": "/elsewhere"'))
    assert open_run(run.folder).config.data.path == "/elsewhere"
    assert "config.json is damaged" in told(run)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000], ids=lambda c: c[:3])
def test_a_damaged_list_of_checksums(run: Run, content: str) -> None:
    (run.folder / SUMS).write_text(content)
    with pytest.raises(StoreError, match=r"weights\.safetensors is damaged"):
        run.weights()
    assert told(run).startswith("False")


def test_a_run_of_an_earlier_version(run: Run) -> None:
    weights = run.weights()
    (run.folder / SUMS).unlink()
    assert "1 of 1" in told(run)
    assert "1 of them without checksums" in told(run)
    flip(run.folder / "weights.safetensors")
    changed = run.weights()
    assert any(not np.array_equal(changed[k], weights[k]) for k in weights), "nobody can know"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_a_pipe_is_not_waited_for(run: Run, name: str) -> None:
    (run.folder / name).unlink()
    os.mkfifo(run.folder / name)

    def look() -> None:
        for reader in READERS.values():
            reader(open_run(run.folder))

    with pytest.raises(StoreError, match="pipe"):
        look()
    (run.folder / SUMS).unlink()
    if name != SUMS:
        assert "pipe" in told(run)


def test_the_runs_that_come_with_toastlab_have_checksums() -> None:
    folders = sorted(STORED.iterdir())
    assert len(folders) == 2
    assert all((folder / SUMS).exists() for folder in folders)
    assert [f.text for f in doctor.runs(STORED)] == [f"2 of 2 runs in {STORED} sound"]
