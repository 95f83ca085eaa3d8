"""Checkpoints: torn, altered, foreign or malicious ones are known and not used."""

import errno
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import tiny
from tests.training.test_loop import BASE, run, same
from toastlab.core.errors import StoreError
from toastlab.disk.durable import HEADER, load_checkpoint, previous, save_checkpoint
from toastlab.training import checkpoint
from toastlab.training.loop import train

CONFIG = replace(BASE, epochs=4)


@pytest.fixture(autouse=True)
def one_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run else writes one every few seconds, which would be other epochs on another machine."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)


def stopped_after(epochs: int, file: Path) -> None:
    """A run with that many whole epochs behind it."""
    steps = 4 * epochs + 2
    seen: list[int] = []
    options: dict[str, Any] = {"on_step": lambda step, _: seen.append(step)}
    options["should_stop"] = lambda: len(seen) == steps
    assert train(CONFIG, dataset=tiny(), device="cpu", checkpoint=file, **options) is None


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def swap_header(file: Path) -> None:
    file.write_bytes(b"0" * (HEADER - 1) + b"\n" + file.read_bytes()[HEADER:])


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


def signed(file: Path, body: bytes) -> None:
    """With the right checksum, as somebody who means harm would write it."""
    file.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


DAMAGES = [truncate, empty, flip, swap_header]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "c.pt"
    stopped_after(3, file)
    assert previous(file).exists()
    damage(file)
    epochs: list[float] = []
    resumed = run(CONFIG, checkpoint=file, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert epochs == [3, 4], "it goes on after the second epoch"
    assert "is damaged" in caplog.text
    assert "checkpoint before" in caplog.text
    same(run(CONFIG), resumed)


def test_both_damaged_starts_afresh_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "c.pt"
    stopped_after(3, file)
    truncate(file)
    flip(previous(file))
    epochs: list[float] = []
    resumed = run(CONFIG, checkpoint=file, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert epochs == [1, 2, 3, 4]
    assert caplog.text.count("is damaged") == 2
    assert "starting afresh" in caplog.text
    same(run(CONFIG), resumed)


def test_a_damaged_one_never_takes_the_place_of_the_good_one(tmp_path: Path) -> None:
    file = tmp_path / "c.pt"
    save_checkpoint(file, {"epoch": 1})
    save_checkpoint(file, {"epoch": 2})
    flip(file)
    assert load_checkpoint(file, ["epoch"]) == {"epoch": 1}
    save_checkpoint(file, {"epoch": 3})
    truncate(file)
    assert load_checkpoint(file, ["epoch"]) == {"epoch": 1}


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare pickle", "in torch's format"])
def test_a_malicious_pickle_does_not_run(
    wrapped: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, trace, probe = tmp_path / "c.pt", tmp_path / "trace", tmp_path / "probe.pt"
    if wrapped:
        torch.save({"epoch": 1, "rows": Malice(trace)}, probe)
        body = probe.read_bytes()
    else:
        body = pickle.dumps({"epoch": 1, "rows": Malice(trace)})
    signed(file, body)
    assert load_checkpoint(file, ["epoch"]) is None
    assert not trace.exists()
    assert "is damaged" in caplog.text
    pickle.loads(pickle.dumps(Malice(trace)))
    assert trace.exists(), "the malice works where pickles are trusted"


@pytest.mark.parametrize("content", [[1, 2], {"other": 1}], ids=["a list", "other keys"])
def test_a_file_that_is_no_checkpoint(content: object, tmp_path: Path) -> None:
    file, probe = tmp_path / "c.pt", tmp_path / "probe.pt"
    torch.save(content, probe)
    signed(file, probe.read_bytes())
    assert load_checkpoint(file, ["epoch"]) is None


def test_what_is_renamed_was_synced_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File first, then the names, then the folder that has them."""
    done: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def noted(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("no /proc to tell files from folders")
    monkeypatch.setattr("os.fsync", noted)
    save_checkpoint(tmp_path / "c.pt", {"epoch": 1})
    monkeypatch.setattr(Path, "replace", renamed)
    save_checkpoint(tmp_path / "c.pt", {"epoch": 2})
    assert done == ["file", "folder", "file", "rename", "rename", "folder"]


def test_a_folder_that_another_process_clears_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can happen where there are no locks, when that process finished the same run."""
    file, fsync = tmp_path / "partial" / "c.pt", os.fsync
    calls: list[int] = []

    def cleared(handle: int) -> None:
        if not calls:
            shutil.rmtree(file.parent)
        calls.append(handle)
        fsync(handle)

    monkeypatch.setattr("os.fsync", cleared)
    save_checkpoint(file, {"epoch": 1})
    assert load_checkpoint(file, ["epoch"]) == {"epoch": 1}
    assert len(calls) > 2


def test_a_full_disk_leaves_the_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.pt"
    save_checkpoint(file, {"epoch": 1})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StoreError, match=r"No space left.*Make room"):
            save_checkpoint(file, {"epoch": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"], "nothing half-written stays"
    assert load_checkpoint(file, ["epoch"]) == {"epoch": 1}
    save_checkpoint(file, {"epoch": 2})
    assert load_checkpoint(file, ["epoch"]) == {"epoch": 2}
