"""The doctor finds what is broken, clears away only what nobody holds, and says so by exit code."""

import os
import time
from pathlib import Path

import pytest
import torch

from tests.helpers import tiny
from toastlab.cli import main as cli
from toastlab.disk.locks import Lease
from toastlab.store import doctor
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig
from toastlab.training.loop import train


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = TrainConfig(epochs=1, batch_size=16)
    return RunStore(tmp_path / "runs").get(config, dataset=tiny(), device="cpu")


def told(capsys: pytest.CaptureFixture[str], code: int, store: Path, *options: str) -> str:
    """What the command prints; it must end with that exit code."""
    args = ["doctor", "--store", str(store), "--device", "cpu", *options]
    if code:
        with pytest.raises(SystemExit) as stop:
            cli.main(args)
        assert stop.value.code == code
    else:
        cli.main(args)
    return capsys.readouterr().out


def test_a_sound_store(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, 0, run.folder.parent)
    assert "WRONG" not in out
    for words in ("torch ", "equal to the bit", "GiB free", "checksum holds", "1 of 1 runs"):
        assert words in out, words


@pytest.mark.parametrize(
    "name",
    ["config.json", "facts.json", "metrics.csv", "arrays.safetensors", "weights.safetensors"],
)
def test_a_torn_file_is_found(run: Run, name: str) -> None:
    file = run.folder / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    findings = doctor.runs(run.folder.parent)
    assert [f.sound for f in findings] == [False, False]
    assert str(run.folder) in findings[0].text
    file.unlink()
    assert not doctor.runs(run.folder.parent)[0].sound


def test_leftovers_are_listed_and_removed_only_if_nobody_holds_them(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    store = run.folder.parent
    old, new = store / ".writing-old", store / ".writing-new"
    for folder in (old, new):
        folder.mkdir()
    yesterday = time.time() - 2 * doctor.DAY
    os.utime(old, (yesterday, yesterday))
    dead, alive = Lease(store / ".partial-dead"), Lease(store / ".partial-alive")
    assert dead.take()
    assert alive.take()
    (dead.folder / "checkpoint.pt").write_text("kept")
    dead.free()
    out = told(capsys, 1, store)
    assert out.count("WRONG leftover") == 2
    assert ".partial-alive: a process trains this run" in out
    assert old.exists()
    assert dead.folder.exists()
    told(capsys, 0, store, "--repair")
    kept = {p.name for p in store.iterdir()}
    assert kept == {run.key, ".writing-new", ".partial-alive"}
    alive.free()


def test_runs_that_do_not_repeat_and_data_that_were_altered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def moody(*args: object, **options: object) -> object:
        result = train(*args, **options)  # type: ignore[arg-type]
        assert result is not None
        name = next(iter(result.weights))
        result.weights[name] = result.weights[name] + torch.rand(1)
        return result

    monkeypatch.setattr(doctor, "train", moody)
    assert not doctor.determinism(torch.device("cpu")).sound
    (tmp_path / "sha256.json").write_text('{"train": "0"}')
    monkeypatch.setattr("toastlab.data.sources.mini_folder", lambda: tmp_path)
    assert not doctor.embedded_data().sound
    monkeypatch.setattr(doctor, "LOW", 2**62)
    assert not doctor.disk(tmp_path / "not" / "there").sound
