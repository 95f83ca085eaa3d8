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
from toastlab.store.run_files import FILES, PATHLESS, SUMS
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
    assert len(sums.pop(PATHLESS)) == 64
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


def change(run: Run, old: str, new: str) -> None:
    """Edits config.json as by hand."""
    file = run.folder / "config.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


OLD = pytest.mark.parametrize("old", [False, True], ids=["new", "old"])


def of_an_earlier_version(run: Run) -> None:
    """Without the checksum of the settings with an empty path."""
    sums = json.loads((run.folder / SUMS).read_text())
    sums.pop(PATHLESS)
    (run.folder / SUMS).write_text(json.dumps(sums))


@OLD
def test_the_path_of_the_data_may_be_changed(run: Run, old: bool) -> None:
    """Images move: where they lie is no part of the run."""
    if old:
        of_an_earlier_version(run)
    change(run, '"path": ""', '"path": "/elsewhere/é [x]"')
    assert open_run(run.folder).config.data.path == "/elsewhere/é [x]"
    assert RunStore(run.folder.parent).list()[0].config.data.path == "/elsewhere/é [x]"
    assert told(run).startswith("True 1 of 1")


@OLD
@pytest.mark.parametrize(
    ("before", "after"), [('"workers": 2', '"workers": 7'), ('"seed": 0', '"seed":  0')]
)
def test_nothing_else_in_the_settings_may_be_changed(
    run: Run, old: bool, before: str, after: str
) -> None:
    """Also what is no part of the run's name, and with the path beside it."""
    if old:
        of_an_earlier_version(run)
    change(run, before, after)
    with pytest.raises(StoreError, match=r"config\.json is not the one in sha256\.json"):
        open_run(run.folder)
    change(run, '"path": ""', '"path": "/elsewhere"')
    with pytest.raises(StoreError, match="cannot be trusted"):
        RunStore(run.folder.parent).list()
    assert told(run).startswith("False")


@pytest.mark.skipif(os.name == "nt", reason="no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o700), (0o022, 0o755), (0o002, 0o775)])
def test_the_umask_is_respected(made: Run, mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        run = RunStore(tmp_path / "mine").get(CONFIG, dataset=tiny(), device="cpu")
    finally:
        os.umask(before)
    assert run.folder.stat().st_mode & 0o777 == mode
    assert run.folder.parent.stat().st_mode & 0o777 == mode
    for file in run.folder.iterdir():
        assert file.stat().st_mode & 0o777 == mode & 0o666


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
