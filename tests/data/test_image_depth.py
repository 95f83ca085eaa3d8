"""Grey of more than 8 bits, floats, turned and transparent images: what was meant, or one line."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig, load
from toastlab.data.decode import decode

ROWS = np.arange(6 * 5).reshape(6, 5)  # all different, so that a turn or a clip shows
DEEP = (ROWS * 2000 + 500).astype(np.uint16)  # 500 to 58500


def deep_pgm(array: np.ndarray, most: int = 65535) -> bytes:
    height, width = array.shape
    return f"P5 {width} {height} {most}\n".encode() + array.astype(">u2").tobytes()


def tiff(array: np.ndarray, tags: dict[int, Any] | None = None) -> bytes:
    file, info = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in (tags or {}).items():
        info[tag] = value
    Image.fromarray(array).save(file, "TIFF", tiffinfo=info)
    return file.getvalue()


def png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def read(tmp_path: Path, content: bytes, grey: bool = True) -> np.ndarray:
    file = tmp_path / "a.png"  # the contents count
    file.write_bytes(content)
    return np.asarray(decode(file, grey).numpy())


SIXTEEN: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(Image.fromarray(DEEP)),
    "tiff": lambda: tiff(DEEP),
    "tiff, other end first": lambda: tiff(DEEP.astype(">u2")),
    "pgm": lambda: deep_pgm(DEEP),
}


@pytest.mark.parametrize("kind", list(SIXTEEN))
@pytest.mark.parametrize("grey", [True, False])
def test_sixteen_bits_are_scaled_by_their_range(kind: str, grey: bool, tmp_path: Path) -> None:
    found = read(tmp_path, SIXTEEN[kind](), grey)
    assert found.shape == (1 if grey else 3, 6, 5)
    for channel in found:
        np.testing.assert_array_equal(channel, np.round(DEEP / 257))
    whole = np.array([[0, 128, 257, 65278, 65535]], dtype=np.uint16)
    np.testing.assert_array_equal(read(tmp_path, tiff(whole))[0], [[0, 0, 1, 254, 255]])


def test_other_largest_values(tmp_path: Path) -> None:
    """A PGM says its own; a TIFF may have 12 bits."""
    twelve = (ROWS * 141).astype(np.uint16)  # 0 to 4089
    wanted = np.round(twelve * (255 / 4095))
    assert np.abs(read(tmp_path, deep_pgm(twelve, 4095))[0] - wanted).max() <= 1
    body = bytearray(tiff(np.zeros((2, 4), np.uint16)))
    # two rows of four values of 12 bits, packed: Pillow reads such files, but writes none
    body[body.index(struct.pack("<HHI", 258, 3, 1)) + 8] = 12
    offset = Image.open(io.BytesIO(body)).tag_v2[273][0]  # type: ignore[attr-defined]
    body[offset : offset + 12] = bytes.fromhex("000fff800001") * 2
    found = read(tmp_path, bytes(body))[0]
    np.testing.assert_array_equal(found, [[0, 255, 128, 0]] * 2)


def test_floats_from_0_to_1(tmp_path: Path) -> None:
    values = (ROWS / 29).astype(np.float32)
    np.testing.assert_array_equal(read(tmp_path, tiff(values))[0], np.round(values * 255))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        ((ROWS * 10).astype(np.float32), "its floats run from 0 to 290"),
        ((ROWS - 1).astype(np.float32), "its floats run from -1 to 28"),
        (np.where(ROWS == 3, np.nan, 0.5).astype(np.float32), "its floats run from nan to nan"),
        ((ROWS * 2000).astype(np.int32), "a sign or more than 16 bits"),
    ],
    ids=["0..255", "negative", "NaN", "32 bits"],
)
def test_what_nobody_knows_the_range_of_is_refused(
    array: np.ndarray, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"{told}.*save it") as error:
        read(tmp_path, tiff(array))
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).endswith(".")


def test_white_may_be_zero(tmp_path: Path) -> None:
    found = read(tmp_path, tiff(DEEP, {262: 0}))
    if Image.open(tmp_path / "a.png").tag_v2[262] != 0:  # type: ignore[attr-defined]
        pytest.skip("this Pillow writes the tag as it likes")
    np.testing.assert_array_equal(found[0], 255 - np.round(DEEP / 257))


# --- EXIF ----------------------------------------------------------------------------------------

# How the pixels [H, W] of a file have to be turned to be looked at, by the tag's definition: where
# its first row and its first column lie in the scene.
TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: x.T[:, ::-1],
    7: lambda x: x.T[::-1, ::-1],
    8: lambda x: x.T[::-1],
    9: lambda x: x,  # no such orientation
}


@pytest.mark.parametrize("orientation", list(TURNED))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_cameras_orientation_is_applied(kind: str, orientation: int, tmp_path: Path) -> None:
    pixels = (ROWS * 8).astype(np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(pixels).save(file, kind, exif=exif, **options)
    found = read(tmp_path, file.getvalue())[0]
    np.testing.assert_array_equal(found, TURNED[orientation](pixels))


def test_a_turned_jpeg(tmp_path: Path) -> None:
    """As cameras write them: brighter to the right as stored, brighter downwards as seen."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[274] = 6
    ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (8, 1))
    Image.fromarray(ramp).save(file, "JPEG", exif=exif, quality=100)
    found = read(tmp_path, file.getvalue())[0].astype(int)
    assert found.shape == (24, 8)
    assert found[:8].mean() + 100 < found[-8:].mean()


def test_a_broken_exif_block_is_no_broken_image(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray((ROWS * 8).astype(np.uint8)).save(
        file, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff"
    )
    assert read(tmp_path, file.getvalue()).shape == (1, 6, 5)


# --- transparency --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB", "I;16"])
@pytest.mark.parametrize("grey", [True, False])
def test_transparent_pixels_lie_on_white(mode: str, grey: bool, tmp_path: Path) -> None:
    """The colour under them is whatever was left there: never seen, and so never learnt."""
    shown, hidden = 40, 90
    clear = np.arange(30).reshape(6, 5) % 3 == 0
    level = np.where(clear, hidden, shown).astype(np.uint8)
    if mode in ("RGBA", "LA"):
        bands = [*[level] * (len(mode) - 1), np.where(clear, 0, 255).astype(np.uint8)]
        content = png(Image.merge(mode, [Image.fromarray(b) for b in bands]))
    elif mode == "RGB":
        content = png(Image.merge(mode, [Image.fromarray(level)] * 3), transparency=(hidden,) * 3)
    elif mode == "I;16":
        deep = Image.fromarray(level.astype(np.uint16) * 257)
        content = png(deep, transparency=hidden * 257)
    else:
        image = Image.fromarray(level)
        content = png(image.convert("P") if mode == "P" else image, transparency=hidden)
    found = read(tmp_path, content, grey)
    for channel in found:
        np.testing.assert_array_equal(channel, np.where(clear, 255, shown))


def test_half_transparent_pixels_are_mixed_with_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (3, 2), (0, 100, 200, 128))
    found = read(tmp_path, png(half), grey=False)
    wanted = np.array([127, 177, 227])
    assert np.abs(found.astype(int) - wanted[:, None, None]).max() <= 1


# --- whole folders -------------------------------------------------------------------------------


def folder(root: Path, save: Callable[[np.ndarray, int, Path], None]) -> DataConfig:
    random = np.random.default_rng(0)
    for c in range(3):
        (root / f"c{c}").mkdir(parents=True)
        for i in range(10):
            save(random.random((8, 8)), c, root / f"c{c}" / f"{i}.png")
    return DataConfig(name="folder", path=str(root), workers=0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_folder_of_microscope_images(stream: bool, tmp_path: Path) -> None:
    """Dark, and each class at its own level: the reviewer's folder, once read as 255 throughout."""

    def save(x: np.ndarray, c: int, file: Path) -> None:
        Image.fromarray((x * 3000 + 500 + c * 8000).astype(np.uint16)).save(file)

    config = folder(tmp_path, save)
    data = load(DataConfig(**{**vars(config), "stream": stream}))
    assert data.channels == 1
    images = data.train.images_at(torch.arange(len(data.train)))
    means = [images[data.train.labels == c].float().mean() for c in range(3)]
    for c, mean in enumerate(means):
        assert float(mean) == pytest.approx((2000 + c * 8000) / 257, abs=1)
    assert len(images.unique()) > 20
