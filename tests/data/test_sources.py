"""The readers, on files in the real formats, whole, altered and broken."""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv
from PIL import Image

from tests.helpers import md5, save, write_cifar, write_tiny_imagenet
from toastlab.core.errors import DataError
from toastlab.data import sources
from toastlab.data.dataset import DataConfig, load
from toastlab.data.idx import read_idx, write_idx

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("project", "in_checkout"),
    [
        (None, False),
        ('[project]\nname = "other"\n', False),
        ('[project]\nname = "toastlab"\n', True),
    ],
)
def test_downloads_go_into_data_of_our_own_checkout_only(
    project: str | None, in_checkout: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside an installed package data/ may be anybody's."""
    monkeypatch.delenv("TOASTLAB_DATA", raising=False)
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "toastlab" / "data" / "sources.py"))
    (tmp_path / "data").mkdir()
    if project is not None:
        (tmp_path / "pyproject.toml").write_text(project)
    wanted = tmp_path / "data" / "downloads" if in_checkout else Path.home() / ".cache" / "toastlab"
    assert sources.downloads() == wanted


def test_downloads_of_this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOASTLAB_DATA", raising=False)
    assert sources.downloads() == ROOT / "data" / "downloads"


# --- the embedded data ---------------------------------------------------------------------------


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    return Path(shutil.copytree(sources.mini_folder(), tmp_path / "mini"))


def test_mini_is_about_four_megabytes_and_whole() -> None:
    files = list(sources.mini_folder().glob("*.gz"))
    assert len(files) == 6
    assert 3e6 < sum(f.stat().st_size for f in files) < 6e6
    assert sources.check("fashion-mini")[1].startswith("10 classes: T-shirt/top")


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "list"])
def test_altered_embedded_data(mini: Path, damage: str) -> None:
    file = mini / "val-images-idx3-ubyte.gz"
    content = bytearray(file.read_bytes())
    if damage == "truncate":
        file.write_bytes(content[:-100])
    elif damage == "flip":
        content[5000] ^= 1
        file.write_bytes(content)
    elif damage == "remove":
        file.unlink()
    else:
        (mini / "sha256.json").write_text("{")
    with pytest.raises(DataError, match=r"missing|altered or truncated|cannot be read") as error:
        load(DataConfig(path=str(mini)))
    assert "git checkout -- data" in str(error.value)


def test_made_again_bit_for_bit(tmp_path: Path) -> None:
    """Where Debian's dataset-fashion-mnist is installed; CI installs it."""
    if not shutil.which("dpkg"):
        pytest.skip("needs Debian's package dataset-fashion-mnist (apt-get install)")
    listed = subprocess.run(
        ["dpkg", "-L", "dataset-fashion-mnist"], capture_output=True, text=True, check=False
    ).stdout.split()
    found = [Path(f).parent for f in listed if f.endswith("train-images-idx3-ubyte.gz")]
    if not found:
        pytest.skip("needs Debian's package: apt-get install dataset-fashion-mnist")
    script = ROOT / "data" / "make_fashion_mini.py"
    subprocess.run(
        [sys.executable, str(script), "--source", str(found[0]), "--out", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    for file in sources.mini_folder().glob("*.gz"):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name
    full = load(DataConfig(name="idx", path=str(found[0])))
    assert (len(full.train), len(full.val), len(full.test)) == (54000, 6000, 10000)
    assert full.classes[0] == "T-shirt/top"


# --- IDX ------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


@pytest.mark.parametrize("packed", [True, False])
def test_idx_round_trip(tmp_path: Path, packed: bool) -> None:
    random = np.random.default_rng(0)
    for prefix, n in (("train", 60), ("t10k", 20)):
        for stem, array in (
            ("images-idx3", random.integers(0, 255, (n, 5, 4), dtype=np.uint8)),
            ("labels-idx1", (np.arange(n) % 3).astype(np.uint8)),
        ):
            file = tmp_path / f"{prefix}-{stem}-ubyte"
            if packed:
                write_idx(file.with_name(file.name + ".gz"), array)
            else:
                file.write_bytes(idx(array))
    raw = sources.read("idx", str(tmp_path))
    assert raw.classes == ("0", "1", "2")
    assert raw.splits["train"].pixels is not None
    assert raw.splits["train"].pixels.shape == (60, 1, 5, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"PK\x03\x04" + bytes(40), "is not an IDX file"),
        (idx(np.zeros((2, 3, 3), np.uint8))[:-1], "truncated"),
        (idx(np.zeros((2, 3, 3), np.uint8)) + b"x", "longer than its header"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 9), "claims"),
        (bytes([0, 0, 13, 3]) + bytes(12), "is not an IDX file"),
    ],
)
def test_broken_idx(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a-idx"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(file, 3)
    packed = tmp_path / "a-idx.gz"
    packed.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=message):
        read_idx(packed, 3)
    packed.write_bytes(gzip.compress(idx(np.zeros((2, 3, 3), np.uint8)))[:-6])
    with pytest.raises(DataError, match="cannot read"):
        read_idx(packed, 3)
    packed.write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot read"):
        read_idx(packed, 3)


# --- torchvision ----------------------------------------------------------------------------------


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path]:
    """A CIFAR folder in the real format, and torchvision's list of checksums for it."""
    kind = tv.CIFAR10 if request.param == "cifar10" else tv.CIFAR100
    return str(request.param), write_cifar(kind, tmp_path, monkeypatch)


def test_cifar(cifar: tuple[str, Path]) -> None:
    name, folder = cifar
    data = load(DataConfig(name=name, path=str(folder.parent), val_share=0.25))
    k = 10 if name == "cifar10" else 100
    assert (data.num_classes, data.channels, data.image_size) == (k, 3, 32)
    assert len(data.test) == 4 * k
    first = pickle.loads((folder / getattr(tv, name.upper()).test_list[0][0]).read_bytes())["data"]
    expected = first.reshape(-1, 3, 32, 32)
    assert np.array_equal(data.test.images.numpy(), expected)  # type: ignore[union-attr]


def test_altered_cifar_is_not_unpickled(cifar: tuple[str, Path]) -> None:
    """A file that would run code when it is unpickled is refused by its checksum."""
    name, folder = cifar
    mark = folder / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(mark),)

    victim = folder / getattr(tv, name.upper()).test_list[0][0]
    victim.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=f"toastlab data fetch {name}"):
        load(DataConfig(name=name, path=str(folder.parent)))
    assert not mark.exists()
    pickle.loads(victim.read_bytes())
    assert mark.exists(), "the bomb would have gone off"


def test_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for name, _ in tv.FashionMNIST.resources:
        n = 80 if name.startswith("train") else 20
        array = np.arange(n, dtype=np.uint8) % 10
        if "images" in name:
            array = np.broadcast_to(array[:, None, None], (n, 28, 28)).copy()
        (raw / name).write_bytes(gzip.compress(idx(array)))
        (raw / name.removesuffix(".gz")).write_bytes(idx(array))
        resources.append((name, md5(raw / name)))
    monkeypatch.setattr(tv.FashionMNIST, "resources", resources)
    monkeypatch.setenv("TOASTLAB_DATA", str(tmp_path))
    data = load(DataConfig(name="fashion-mnist", val_share=0.25))
    assert [len(s) for s in (data.train, data.val, data.test)] == [60, 20, 20]
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(b"altered")
    with pytest.raises(DataError, match="toastlab data fetch fashion-mnist"):
        load(DataConfig(name="fashion-mnist"))


def test_fetch_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", offline)
    with pytest.raises(DataError, match=r"could not fetch 'cifar10'.*Check connection"):
        sources.fetch("cifar10", tmp_path)
    with pytest.raises(DataError, match="toastlab data fetch cifar10"):
        load(DataConfig(name="cifar10", path=str(tmp_path)))
    with pytest.raises(DataError, match="is part of toastlab"):
        sources.fetch("digits", tmp_path)


def test_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOASTLAB_DATA", str(tmp_path))
    states = {name: state for name, _, state in sources.available()}
    assert states["fashion-mini"] == states["digits"] == "ready"
    assert states["cifar100"] == "toastlab data fetch cifar100"
    assert "--data.path" in states["folder"]


def test_what_is_available_is_known_without_decoding(
    cifar: tuple[str, Path], mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, folder = cifar

    def decodes(*args: object, **more: object) -> None:
        raise AssertionError("a data set is read")

    monkeypatch.setenv("TOASTLAB_DATA", str(folder.parent))
    monkeypatch.setattr(sources, "mini_folder", lambda: mini)
    for reader in ("gzip.open", "pickle.load", "sklearn.datasets.load_digits"):
        monkeypatch.setattr(reader, decodes)
    states = {key: state for key, _, state in sources.available()}
    assert states[name] == states["fashion-mini"] == states["digits"] == "ready"
    flipped = mini / "val-labels-idx1-ubyte.gz"
    flipped.write_bytes(flipped.read_bytes()[:-1])
    (folder / getattr(tv, name.upper()).test_list[0][0]).write_bytes(b"altered")
    states = {key: state for key, _, state in sources.available()}
    assert "ready" not in (states[name], states["fashion-mini"])


# --- folders --------------------------------------------------------------------------------------


def fill(root: Path, count: int = 12, **options: object) -> Path:
    for name in ("a", "b"):
        for i in range(count):
            save(root / name / f"{i}.png", **options)  # type: ignore[arg-type]
    return root


def test_grey_folder_stays_grey(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", colour=7)
    data = load(DataConfig(name="folder", path=str(root)))
    assert data.channels == 1
    save(root / "a" / "colour.png")
    data = load(DataConfig(name="folder", path=str(root)))
    assert data.channels == 3
    assert "Images are RGB" in data.note


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for part, n in (("train", 9), ("val", 5), ("test", 3)):
        fill(tmp_path / part, n)
    data = load(DataConfig(name="folder", path=str(tmp_path)))
    assert [len(s) for s in (data.train, data.val, data.test)] == [18, 10, 6]
    save(tmp_path / "val" / "c" / "0.png")
    with pytest.raises(DataError, match="val split has other classes than train: c"):
        load(DataConfig(name="folder", path=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"hello"),
        ("fake.png", b"this is no image"),
        ("cut.png", None),
        ("archive.zip", b"PK"),
    ],
)
def test_a_file_that_is_no_image(tmp_path: Path, name: str, content: bytes | None) -> None:
    root = fill(tmp_path / "set")
    noisy = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(root / "a" / "0.png")
    whole = (root / "a" / "0.png").read_bytes()
    (root / "b" / name).write_bytes(whole[: len(whole) - 40] if content is None else content)
    with pytest.raises(DataError, match=f"{name} is not a readable image.*move it out"):
        load(DataConfig(name="folder", path=str(root)))


def test_what_systems_leave_behind_is_ignored(tmp_path: Path) -> None:
    root = fill(tmp_path / "set")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "a" / name).write_bytes(b"x")
    (root / ".git").mkdir()
    (root / "a" / "loop").symlink_to(root, target_is_directory=True)
    data = load(DataConfig(name="folder", path=str(root)))
    assert len(data.train) + len(data.val) + len(data.test) == 24


def black(side: int) -> bytes:
    """A PNG of side x side pixels, as Pillow would write it, that is never there unpacked."""

    def chunk(name: bytes, body: bytes) -> bytes:
        content = name + body
        return struct.pack(">I", len(body)) + content + struct.pack(">I", zlib.crc32(content))

    row, packer = bytes(1 + (side + 7) // 8), zlib.compressobj(1)
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    root = fill(tmp_path / "set")
    with Image.open(io.BytesIO(black(99))) as sound:
        assert sound.size == (99, 99)
        assert sound.getextrema() == (0, 0)
    (root / "a" / "bomb.png").write_bytes(black(30_000))
    with pytest.raises(DataError, match=r"bomb\.png is not a readable image"):
        load(DataConfig(name="folder", path=str(root)))


def test_sizes_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path / "set")
    save(root / "a" / "wide.png", (9, 6))
    with pytest.raises(DataError, match=r"2 sizes \(6 x 6, 9 x 6\).*--data\.size"):
        load(DataConfig(name="folder", path=str(root)))
    assert load(DataConfig(name="folder", path=str(root), size=6)).image_size == 6
    monkeypatch.setattr("toastlab.data.dataset.RESIDENT_LIMIT", 100)
    with pytest.raises(DataError, match=r"leave them on disk with stream=True"):
        load(DataConfig(name="folder", path=str(root), size=6))
    with pytest.raises(DataError, match="needs a folder"):
        load(DataConfig(name="folder"))
    with pytest.raises(DataError, match="there is no folder"):
        load(DataConfig(name="folder", path=str(tmp_path / "none")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="needs a folder per class"):
        load(DataConfig(name="folder", path=str(tmp_path / "empty")))


def test_tiny_imagenet(tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path)
    data = load(DataConfig(name="tiny-imagenet", path=str(tmp_path), val_share=0.25))
    assert data.classes == ("goldfish", "frog")
    assert [len(s) for s in (data.train, data.val, data.test)] == [18, 6, 6]
    assert data.test.labels.tolist() == [0, 1, 0, 1, 0, 1]
    (tmp_path / "wnids.txt").unlink()
    with pytest.raises(DataError, match="does not have Tiny-ImageNet's layout"):
        load(DataConfig(name="tiny-imagenet", path=str(tmp_path)))


def test_checksums_are_written_down() -> None:
    sums = json.loads((sources.mini_folder() / "sha256.json").read_text())
    readme = (ROOT / "data" / "README.md").read_text()
    for name, digest in sums.items():
        assert name in readme
        assert digest in readme
