"""Full, read-only, vanished: one clear line, earlier results intact, the next try works."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import save, tiny
from toastlab.cli import main as cli
from toastlab.core.errors import DataError, StoreError
from toastlab.data.dataset import DataConfig, load
from toastlab.disk.durable import write
from toastlab.store.runs import RunStore
from toastlab.training.config import TrainConfig

CONFIG = TrainConfig(epochs=3, batch_size=16)


def mount(*args: str) -> bool:
    """Whether that worked: it needs root, and a container may forbid it to root as well."""
    if shutil.which("mount") is None or os.name == "nt" or os.geteuid() != 0:
        return False
    return subprocess.run(["mount", *args], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 12 MiB: room for a run or two of the small network."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)):
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def test_a_full_disk(small: Path) -> None:
    store, data = RunStore(small / "runs"), tiny()
    first = store.get(CONFIG, dataset=data, device="cpu")
    before = {p.name: p.read_bytes() for p in first.folder.iterdir()}
    filler, other = small / "filler", replace(CONFIG, seed=1)
    failed = 0
    for free in (0, 60_000, 2**20, 3 * 2**20):  # in the lock's folder, a checkpoint, the results
        filler.write_bytes(b"")
        room = shutil.disk_usage(small).free
        filler.write_bytes(b"0" * max(0, room - free))
        try:
            store.get(other, dataset=data, device="cpu")
        except StoreError as error:
            failed += 1
            text = one_line(error)
            assert "No space left" in text
            assert str(small) in text
        assert {p.name: p.read_bytes() for p in first.folder.iterdir()} == before
    assert failed >= 2
    filler.unlink()
    run, alone = store.get(other, dataset=data, device="cpu"), RunStore(small.parent / "alone")
    again = alone.get(other, dataset=data, device="cpu")
    name = "weights.safetensors"
    assert (run.folder / name).read_bytes() == (again.folder / name).read_bytes()
    assert len(store.list()) == 2
    assert not list(store.root.glob(".*"))


@pytest.mark.parametrize(
    "file", ["config.json", "metrics.csv", "weights.safetensors", "sha256.json"]
)
def test_full_while_the_results_are_written(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(path: Path, *parts: bytes) -> None:
        if path.name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, *parts)

    store = RunStore(tmp_path / "runs")
    with monkeypatch.context() as patched:
        patched.setattr("toastlab.store.run_files.write", full)
        with pytest.raises(StoreError, match="No space left") as error:
            store.get(CONFIG, dataset=tiny(), device="cpu")
        one_line(error.value)
    assert store.list() == []
    epochs: list[object] = []
    store.get(CONFIG, dataset=tiny(), device="cpu", on_epoch=epochs.append)
    assert not epochs, "nothing is trained again: the last checkpoint is whole"


def test_a_store_that_can_only_be_read(small: Path) -> None:
    store, data = RunStore(small / "runs"), tiny()
    store.get(CONFIG, dataset=data, device="cpu")
    assert mount("-o", "remount,ro", str(small))
    found = store.get(CONFIG, dataset=data, device="cpu")
    assert found.weights(), "what is there can be had"
    with pytest.raises(StoreError, match=r"cannot write to the run store.*--store") as error:
        store.get(replace(CONFIG, seed=1), dataset=data, device="cpu")
    one_line(error.value)
    assert mount("-o", "remount,rw", str(small))
    assert store.get(replace(CONFIG, seed=1), dataset=data, device="cpu").weights()


COMMANDS = {
    "train": "train toast --data.name digits --epochs 1",
    "compare": "compare --methods toast --data.name digits --epochs 1 --seeds 1 --workers 1",
    "sweep": "sweep toast --axis past-weight 0,1 --data.name digits --epochs 1 --seeds 1 "
    "--workers 1",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_whose_runs_are_there_needs_no_writing(
    command: str, small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(small.parent)
    words = [*COMMANDS[command].split(), "--store", str(small / "runs")]
    cli.main(words)
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert mount("-o", "remount,ro", str(small))
    cli.main(words)
    assert "top-1" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--epochs", "2"])
    assert stop.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("toastlab: cannot write to the run store"), said


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_vanish_in_the_middle(workers: int, tmp_path: Path) -> None:
    """Images that are read from disk as they are needed; the run goes on once they are back."""
    root, away = tmp_path / "images", tmp_path / "away"
    for part, count in (("train", 12), ("val", 4), ("test", 4)):
        for c in range(2):
            for i in range(count):
                save(root / part / f"class{c}" / f"{i}.png", (8, 8), (c * 200, i, 9))
    data = DataConfig("folder", path=str(root), stream=True, workers=workers, size=8)
    config = TrainConfig(data=data, epochs=3, batch_size=8)
    dataset, store = load(data), RunStore(tmp_path / "runs")

    def vanish(row: dict[str, float]) -> None:
        if row["epoch"] == 1:
            root.rename(away)

    with pytest.raises(DataError, match="is not a readable image") as error:
        store.get(config, dataset=dataset, device="cpu", on_epoch=vanish)
    one_line(error.value)
    away.rename(root)
    epochs: list[float] = []
    store.get(
        config, dataset=dataset, device="cpu", on_epoch=lambda row: epochs.append(row["epoch"])
    )
    assert epochs == [2, 3]
