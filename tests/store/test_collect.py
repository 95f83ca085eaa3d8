"""Removing runs and leftovers: what was named and what nobody needs goes, all else stays."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.helpers import tiny
from toastlab.cli import main as cli
from toastlab.core.errors import StoreError
from toastlab.disk.locks import Lease
from toastlab.store.collect import GONE, garbage, named, remove
from toastlab.store.doctor import DAY
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    store = RunStore(tmp_path_factory.mktemp("runs"))
    return [
        store.get(TrainConfig(epochs=1, batch_size=16, seed=seed), dataset=tiny(), device="cpu")
        for seed in range(3)
    ]


@pytest.fixture
def store(made: list[Run], tmp_path: Path) -> Path:
    """A copy of three runs, and a folder of the user's own."""
    root = Path(shutil.copytree(made[0].folder.parent, tmp_path / "runs"))
    (root / "my notes").mkdir()
    (root / "my notes" / "x.txt").write_text("mine")
    return root


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `toastlab runs WORDS` prints."""
    cli.main(["runs", *words])
    return capsys.readouterr().out


def everything(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*")}


def test_runs_are_removed_by_name(
    store: Path, made: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    keys, before = [run.key for run in made], everything(store)
    words = ("rm", keys[0], keys[1][:12], keys[0], "--store", str(store))
    out = told(capsys, *words, "--dry-run")
    assert len(re.findall(r"^would remove .*, a run \([\d.]+ MB\)$", out, re.M)) == 2
    assert everything(store) == before
    out = told(capsys, *words)
    assert len(re.findall(r"^removed ", out, re.M)) == 2
    assert {p.name for p in store.iterdir()} == {keys[2], "my notes"}
    assert [run.key for run in RunStore(store).list()] == [keys[2]]


def test_a_damaged_run_can_be_removed_too(store: Path, made: list[Run]) -> None:
    (store / made[0].key / "config.json").write_text("")
    (item,) = named(store, [made[0].key])
    assert remove(item)
    assert len(RunStore(store).list()) == 2


@pytest.mark.parametrize("wrong", ["", "zz", "../runs", "*", "my notes", "my", "."])
def test_one_wrong_name_and_nothing_is_removed(store: Path, made: list[Run], wrong: str) -> None:
    before = everything(store)
    with pytest.raises(StoreError, match=r"0 runs in .* Nothing was removed\."):
        named(store, [made[0].key, wrong])
    with pytest.raises(StoreError, match="no run is named"):
        named(store, [])
    with pytest.raises(SystemExit):
        cli.main(["runs", "rm", made[0].key, wrong, "--store", str(store)])
    assert everything(store) == before


def test_a_link_is_not_followed(store: Path, made: list[Run], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (store / made[0].key).rename(elsewhere)
    (store / made[0].key).symlink_to(elsewhere)
    (store / ".writing-old").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="symbolic link"):
        named(store, [made[0].key])
    assert not list(garbage(store, interrupted=True, damaged=True))
    assert elsewhere.exists()


def leave(store: Path, key: str) -> tuple[dict[str, Path], Lease]:
    """What killed processes leave behind, by what it is; and the lease of what is in use."""
    alive = Lease(store / ".partial-1111111111111111")
    left = {
        "old": store / ".writing-old",
        "new": store / ".writing-new",
        "removed": store / f"{GONE}{key}-0",
        "finished": store / f".partial-{key}",
        "interrupted": store / ".partial-0000000000000000",
        "slot": store / ".slot-0",
        "in use": alive.folder,
    }
    for what, folder in left.items():
        if what in ("finished", "interrupted", "slot", "in use"):
            lease = alive if what == "in use" else Lease(folder)
            assert lease.take()
            (folder / "checkpoint.pt").write_text("kept")
            (folder / "checkpoint.pt1.new").write_text("torn")
            (folder / "checkpoint.pt.damaged").write_text("damaged")
            if lease is not alive:
                lease.free()
        else:
            folder.mkdir()
            (folder / "x").write_text("x" * 2_000_000)
        if what == "slot":
            for name in ("checkpoint.pt", "checkpoint.pt1.new", "checkpoint.pt.damaged"):
                (folder / name).unlink()
    os.utime(left["old"], (time.time() - 2 * DAY,) * 2)
    return left, alive


def test_what_nobody_needs_is_collected(
    store: Path, made: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    left, lease = leave(store, made[0].key)
    before = everything(store)
    out = told(capsys, "gc", "--store", str(store), "--dry-run")
    assert out.count("would remove") == 6
    assert "2.0 MB" in out
    assert everything(store) == before
    assert told(capsys, "gc", "--store", str(store)).count("removed ") >= 6
    stay = {"new", "interrupted", "in use"}
    assert {what for what, folder in left.items() if folder.exists()} == stay
    kept = {p.name for p in left["interrupted"].iterdir()}
    assert kept == {"lock", "checkpoint.pt"}
    assert len(list(left["in use"].iterdir())) == 4
    assert len(RunStore(store).list()) == 3
    assert told(capsys, "gc", "--store", str(store)) == "Nothing to remove.\n"
    lease.free()


def test_interrupted_and_damaged_runs_only_when_asked_for(
    store: Path, made: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    left, lease = leave(store, made[0].key)
    torn = store / made[1].key / "weights.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1])
    told(capsys, "gc", "--store", str(store))
    assert torn.exists()
    told(capsys, "gc", "--store", str(store), "--interrupted", "--damaged")
    names = {p.name for p in store.iterdir()}
    assert names == {made[0].key, made[2].key, "my notes", ".writing-new", left["in use"].name}
    lease.free()


def test_what_is_taken_up_in_the_meantime_stays(store: Path, made: list[Run]) -> None:
    """Between the look and the removal another process may begin to work there."""
    left, lease = leave(store, made[0].key)
    items = {item.path: item for item in garbage(store, interrupted=True)}
    again = Lease(left["interrupted"])
    assert again.take()
    assert not remove(items[left["interrupted"]])
    assert (left["interrupted"] / "checkpoint.pt").exists()
    again.free()
    assert remove(items[left["interrupted"]])
    assert remove(items[left["interrupted"]]), "it is gone already"
    lease.free()
