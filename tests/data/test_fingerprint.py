"""A folder is known by what its files hold; each is read once, for as long as it stays the same."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toastlab.core.errors import DataError
from toastlab.data import fingerprint as module
from toastlab.data.dataset import DataConfig, load
from toastlab.data.fingerprint import file_sums
from toastlab.disk.files import sha256

MINI = "daa087e4fb86549f18cbb4fb704b9fa64dcd29a1c1aab8869145991097751b04"


def images(root: Path) -> Path:
    random = np.random.default_rng(0)
    for c in ("a", "b"):
        (root / c).mkdir(parents=True)
        for i in range(12):
            pixels = random.integers(0, 255, (6, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(root / c / f"{i}.bmp")  # of one size in bytes
    return root


def known_as(root: Path, stream: bool = True) -> str:
    config = DataConfig(name="folder", path=str(root), stream=stream, workers=0)
    return load(config).fingerprint


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sums are remembered, also of files that were made just now."""
    monkeypatch.setenv("TOASTLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SETTLED", -1.0)
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read whole."""
    names: list[str] = []

    def noted(path: Path) -> str:
        names.append(path.name)
        return sha256(path)

    monkeypatch.setattr(module, "sha256", noted)
    return names


def swap(one: Path, other: Path) -> None:
    """Exchanges the contents of two files, and leaves their names, sizes and times."""
    times = [(s.st_atime_ns, s.st_mtime_ns) for s in (one.stat(), other.stat())]
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) == len(second)
    assert first != second
    one.write_bytes(second)
    other.write_bytes(first)
    for path, both in zip((one, other), times, strict=True):
        os.utime(path, ns=both)


@pytest.mark.parametrize("stream", [False, True])
def test_other_contents_of_the_same_names_and_sizes(stream: bool, tmp_path: Path) -> None:
    """Two images changed places; a copy elsewhere is the same data."""
    root = images(tmp_path / "set")
    before = known_as(root, stream)
    assert known_as(Path(shutil.copytree(root, tmp_path / "copy")), stream) == before
    swap(root / "a" / "0.bmp", root / "b" / "0.bmp")
    assert known_as(root, stream) != before


def test_files_are_read_once(cache: Path, read: list[str], tmp_path: Path) -> None:
    root = images(tmp_path / "set")
    before = known_as(root)
    assert len(read) == 24
    assert known_as(root) == before
    assert len(read) == 24, "from the cache"
    kept = (root / "a" / "3.bmp").read_bytes()
    swap(root / "a" / "3.bmp", root / "b" / "5.bmp")  # the time of a change cannot be set back
    assert known_as(root) != before
    assert sorted(read[24:]) == ["3.bmp", "5.bmp"]
    (root / "a" / "3.bmp").write_bytes(kept + b"\0")
    known_as(root)
    assert read[26:] == ["3.bmp"]


def test_a_file_that_changed_just_now_is_not_remembered(
    cache: Path, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed again within its clock's tick, it would look the same."""
    monkeypatch.setattr(module, "SETTLED", 1000.0)
    root = images(tmp_path / "set")
    known_as(root)
    known_as(root)
    assert len(read) == 48
    assert not list(cache.glob("*"))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"a/0.bmp": [1, 2]}', None])
def test_a_broken_cache_is_no_trouble(
    content: bytes | None, cache: Path, read: list[str], tmp_path: Path
) -> None:
    root = images(tmp_path / "set")
    before = known_as(root)
    (file,) = cache.iterdir()
    if content is None:  # sums that are none
        entries = {name: [*entry[:3], "x"] for name, entry in json.loads(file.read_text()).items()}
        content = json.dumps(entries).encode()
    file.write_bytes(content)
    assert known_as(root) == before
    assert len(read) == 48


def test_where_nothing_can_be_remembered(
    read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = images(tmp_path / "set")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOASTLAB_CACHE", str(tmp_path / "file"))
    assert known_as(root) == known_as(root)
    assert len(read) == 48
    assert not [p for p in tmp_path.iterdir() if p.name not in ("set", "file")]


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png is not a readable image"):
        file_sums([tmp_path / "gone.png"])
    assert file_sums([]) == {}


def test_the_embedded_data_keep_their_name() -> None:
    """Stored runs are found by it."""
    assert load(DataConfig()).fingerprint == MINI
