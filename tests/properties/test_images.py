"""Image files and folders of them, damaged, hostile and odd: the right data, or one line."""

import io
import os
import struct
import zlib
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.helpers import save, write_tiny_imagenet
from tests.properties.damage import CASES, DAMAGES, FUZZ, Damage, refused
from toastlab.core.errors import DataError
from toastlab.data import sources
from toastlab.data.dataset import DataConfig, images_of, load
from toastlab.data.decode import FORMATS, decode

resource = pytest.importorskip("resource")  # Windows has none, nor the locks of the next import
from tests.disk.test_locks import FORKS  # noqa: E402

# --- images ---------------------------------------------------------------------------------------


def picture(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_images(kind: str, tmp_path: Path) -> None:
    file, whole = tmp_path / "a.png", picture(kind)
    file.write_bytes(whole)
    assert decode(file, grey=False).shape == (3, 12, 10), "the contents count, not the ending"

    @FUZZ
    @given(DAMAGES, st.booleans())
    def fuzz(damage: Damage, grey: bool) -> None:
        file.write_bytes(damage(whole))
        try:
            found = decode(file, grey)
        except DataError as error:
            return refused(error, file.name)
        assert found.dtype == torch.uint8
        assert found.shape[0] == (1 if grey else 3)
        assert 0 < found.numel() <= 3 * 64 * 2**20

    fuzz()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bombs(side: int = 30_000) -> dict[str, bytes]:
    """Small files whose headers claim side x side pixels."""
    flat = struct.pack("<HH", side, side)
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 9)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    jpeg = bytearray(picture("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", side, side)
    vp8x = b"\x10\0\0\0" + 2 * struct.pack("<I", side - 1)[:3]
    frame = picture("WEBP")[12:]
    webp = b"WEBPVP8X" + struct.pack("<I", len(vp8x)) + vp8x + frame
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    return {
        "png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""),
        "gif": b"GIF89a" + flat + b"\x80\0\0" + bytes(6) + b",\0\0\0\0" + flat + b"\0\2\1\1\0;",
        "gif frame": b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b",\0\0\0\0" + flat + b"\0\2\1\1\0;",
        "tiff": b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0",
        "webp": b"RIFF" + struct.pack("<I", len(webp)) + webp,
        "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, side, side, 1, 24, *[0] * 6),
        "ppm": f"P6 {side} {side} 255\n".encode(),
        "jpeg": bytes(jpeg),
    }


BOMBS = bombs()


def decodes(files: list[Path], say: Connection) -> None:
    """In a process of its own: how many KiB of memory more the process once had, and the error."""
    for file in files:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            decode(file, grey=False)
            told = "decoded"
        except DataError as error:
            told = str(error)
        say.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, told))


def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    files = []
    for i, content in enumerate(BOMBS.values()):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(content)
    here, there = FORKS.Pipe()
    process: Any = FORKS.Process(target=decodes, args=(files, there))
    process.start()
    for name in BOMBS:
        assert here.poll(300), f"{name} takes too long"
        grown, told = here.recv()
        assert grown < 100_000, f"{name}: {grown} KiB, where the pixels are 2.7 GB"
        assert "is not a readable image" in told
        old = int(PIL.__version__.split(".")[0]) < 13  # it does not even open a WebP file so large
        why = "decoder" if name == "webp" and old else "pixels"
        assert why in told, f"{name} is refused for another reason: {told}"
    process.join(60)


def test_postscript_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would hand such a file, whatever its ending, to an interpreter."""
    file, started = tmp_path / "a.png", []
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    monkeypatch.setattr(
        "PIL.EpsImagePlugin.Ghostscript", lambda *args, **more: started.append(args)
    )
    with pytest.raises(DataError, match="not a readable image"):
        decode(file, grey=False)
    assert not started
    with Image.open(file) as image:  # what is feared is real
        with pytest.raises(Exception, match=r".*"):
            image.load()
        assert started


@pytest.mark.skipif(os.name == "nt", reason="such names and files are not possible there")
def test_a_folder_with_odd_names_and_circles(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name in ("a", "b"):
        for i in range(12):
            save(root / name / f"{i}.png")
    odd = os.fsdecode(b"caf\xe9\n\x1b[31m.png")
    save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(root / "a" / odd)
    (root / "a" / "down").mkdir()
    (root / "a" / "down" / "up").symlink_to(root / "a", target_is_directory=True)
    for stream in (False, True):  # the name is no obstacle
        data = load(DataConfig("folder", path=str(root), size=6, stream=stream, workers=0))
        assert sum(map(len, (data.train, data.val, data.test))) == 25
        assert images_of(data.train, np.arange(3)).shape == (3, 3, 6, 6)
    (root / "a" / odd).write_bytes(b"no image")
    with pytest.raises(DataError) as error:
        load(DataConfig("folder", path=str(root), size=6))
    refused(error.value, r"caf\udce9\n\x1b[31m.png")
    (root / "a" / odd).unlink()
    loop = root / "a" / "loop.png"
    loop.symlink_to(loop)
    with pytest.raises(DataError) as error:
        load(DataConfig("folder", path=str(root), size=6))
    refused(error.value, "loop.png")
    loop.unlink()
    os.mkfifo(root / "a" / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is not a readable image \(.*a pipe"):
        load(DataConfig("folder", path=str(root), size=6))
    (root / "a" / "pipe.png").unlink()
    (root / "b").rename(root / os.fsdecode(b"caf\xe9"))
    with pytest.raises(DataError, match=r"caf\\udce9 has a name that cannot be shown.*rename it"):
        load(DataConfig("folder", path=str(root), size=6))


def test_a_class_folder_that_leads_in_a_circle(tmp_path: Path) -> None:
    """Links to folders are taken as classes, but what is below is read once."""
    save(tmp_path / "a" / "1.png")
    (tmp_path / "b").symlink_to(tmp_path, target_is_directory=True)
    raw = sources.read("folder", str(tmp_path))
    assert raw.classes == ("a", "b")
    assert len(raw.splits["train"]) == 2
    (tmp_path / "c").symlink_to(tmp_path / "c")
    with pytest.raises(DataError) as error:
        sources.read("folder", str(tmp_path))
    refused(error.value, "c is not a readable image")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "no/such", "\ud800"], ids=range(4))
def test_a_path_that_cannot_be(path: str) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        sources.read("folder", path)


@pytest.mark.parametrize("name", ["../val/images/val_0.JPEG", "/etc/passwd", "..", ""])
def test_lists_that_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path)
    notes = tmp_path / "val" / "val_annotations.txt"
    notes.write_text(f"{name}\tn001\n{notes.read_text()}")
    with pytest.raises(DataError, match="no name of a file"):
        sources.read("tiny-imagenet", str(tmp_path))


@pytest.mark.parametrize("name", ["../..", "\0", "/"])
def test_class_ids_that_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path, per_class=1, val=2)
    (tmp_path / "wnids.txt").write_text(f"{name}\nn001\n")
    with pytest.raises(DataError, match="no name of a file"):
        sources.read("tiny-imagenet", str(tmp_path))


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
def test_lists_of_tiny_imagenet(name: str, tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path, per_class=1, val=2)
    file, whole = tmp_path / name, (tmp_path / name).read_bytes()

    @settings(FUZZ, max_examples=CASES // 2)
    @given(DAMAGES)
    def fuzz(damage: Damage) -> None:
        file.write_bytes(damage(whole))
        try:
            raw = sources.read("tiny-imagenet", str(tmp_path))
        except DataError as error:
            return refused(error, tmp_path.name)
        assert len(raw.splits["train"]) == len(raw.splits["train"].paths or [])
        " ".join(raw.classes).encode()

    fuzz()
