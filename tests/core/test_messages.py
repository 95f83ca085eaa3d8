"""Error messages that no other test reads: each names the bad value and what to do."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny, write_tiny_imagenet
from toastlab.core.errors import DataError, DeviceError, StoreError
from toastlab.data import sources
from toastlab.data.dataset import _finish
from toastlab.data.idx import write_idx
from toastlab.data.splits import Split
from toastlab.disk.durable import load_checkpoint
from toastlab.medoids.targets import class_medoids
from toastlab.store import doctor
from toastlab.store.names import from_json
from toastlab.store.run_files import SUMS
from toastlab.store.runs import Run, RunStore, open_run
from toastlab.studies import peers
from toastlab.studies.pool import run_tasks
from toastlab.training.config import TrainConfig


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose files may be changed: it has no checksums."""
    config = TrainConfig(epochs=2, batch_size=16)
    found = RunStore(tmp_path / "runs").get(config, dataset=tiny(), device="cpu")
    assert found is not None
    (found.folder / SUMS).unlink()
    return found


def test_more_images_than_labels(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.zeros((4, 2, 2), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"has 4 train images but 3 labels\."):
        sources.read("idx", str(tmp_path))


def test_labels_that_are_no_whole_numbers() -> None:
    images, labels = torch.zeros(3, 1, 2, 2), torch.zeros(3)
    with pytest.raises(DataError, match=r"labels are torch.float32 \(3,\); give int64 \[N\]"):
        Split(images, labels, labels)


def test_logits_that_are_whole_numbers() -> None:
    with pytest.raises(TypeError, match=r"logits: torch.int64 will not do; give floating-point"):
        class_medoids(torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))


def test_a_class_that_the_lists_do_not_have(tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path, per_class=1, val=2)
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn009\n")
    with pytest.raises(DataError, match=r"annotations name classes that wnids\.txt does not have"):
        sources.read("tiny-imagenet", str(tmp_path))


def test_class_folders_without_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"there are no images in .*one folder per class"):
        sources.read("folder", str(tmp_path))


def test_a_run_of_another_format(run: Run) -> None:
    file = run.folder / "config.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "format": 7}))
    with pytest.raises(StoreError, match=r"it has format 7, this toastlab has [12]"):
        open_run(run.folder)
    content["config"]["seed"] = 9
    file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"not those that its name stands for.*train again"):
        open_run(run.folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.csv", "epoch,test_top1\n1,0.5\n", r"metrics\.csv has 1 of 2 epochs"),
        ("facts.json", "{}", "a file of it is empty"),
    ],
)
def test_what_the_doctor_says(run: Run, name: str, content: str, message: str) -> None:
    (run.folder / name).write_text(content)
    (bad, _) = doctor.runs(run.folder.parent)
    assert not bad.sound
    assert bad.text.startswith(str(run.folder))
    assert message.replace("\\", "") in bad.text


def test_a_checkpoint_of_no_tensors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = b"anything"
    (tmp_path / "c.pt").write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert load_checkpoint(tmp_path / "c.pt", ["epoch"]) is None
    assert "it holds no plain tensors" in caplog.text


def test_a_table_without_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "embedded", lambda name: tmp_path)
    (tmp_path / "rows.csv").write_text("part,model\nx,y\n")
    with pytest.raises(
        DataError, match=r"rows\.csv lacks 'budget'; make it again: toastlab study run peers"
    ):
        peers.load()
    (tmp_path / "rows.csv").write_bytes(b'"\xff')
    with pytest.raises(DataError, match="the stored comparison cannot be read"):
        peers.load()


def test_a_split_without_images() -> None:
    images, labels = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4) % 2
    whole, empty = Split(images, labels, labels), Split(images[:0], labels[:0], labels[:0])
    with pytest.raises(DataError, match=r"the val split of 'mine' is empty"):
        _finish("mine", ("a", "b"), {"train": whole, "val": empty, "test": whole}, "")


def test_settings_that_are_no_dictionary() -> None:
    with pytest.raises(TypeError, match="a dictionary is missing"):
        from_json({"method": "toast"})


def test_no_dask_scheduler() -> None:
    with pytest.raises(DeviceError, match=r"no dask scheduler answers at 'none://here:9'"):
        list(run_tasks(max, [(1, 2)], 1, "dask", "none://here:9"))
