"""One image file as bytes a pixel, from whatever depth, turn and transparency it is stored with.

- Grey of 16 bits is scaled by its range: 0..65535 becomes 0..255, rounded. So is a TIFF of 12 bits
  (0..4095) and a PGM of any largest value.
- Floats must lie in 0..1, which becomes 0..255; others are refused, since nothing says their range.
  So are whole numbers of 32 bits, or with a sign.
- An orientation that a camera noted (EXIF) is applied: the image stands as viewers show it.
- What is transparent is laid on white.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from toastlab.core.errors import BadValue, DataError
from toastlab.disk.files import regular, showable

# What a file may be, whatever its ending. Not all that Pillow knows: for EPS it starts Ghostscript,
# which runs the program that such a file is.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 64 * 2**20  # of one image file; more is a decompression bomb
BACKGROUND = 255  # what lies under transparent pixels: white
SIXTEEN = ("I;16", "I;16B", "I;16L", "I;16N")  # Pillow's names of grey with 16 bits
GREY = ("1", "L", "LA", "La", "I", "F", *SIXTEEN)
BITS, PHOTOMETRIC, ORIENTATION = 258, 262, 274  # tags of TIFF and EXIF
WHITE_IS_ZERO = 0
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(path: Path, grey: bool) -> Tensor:
    """One image file as uint8 [C, H, W], C = 1 if `grey` else 3.

    Raises:
        DataError: it is not an image, is truncated, is a decompression bomb, or has pixels whose
            range is not known.
    """
    image = open_image(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF blocks
            image.filename = ""  # else Pillow maps a TIFF that lies on its side as if it stood
            image.load()
            pixels = _pixels(_upright(image), image, grey)
    except Exception as error:  # each format's decoder has errors of its own
        raise not_an_image(path, error) from error
    finally:
        image.close()
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation has it; a TIFF has been turned as it was loaded."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # odd EXIF blocks raise whatever they meet; such an image stands as stored
        turn = None
    return image if turn is None else image.transpose(turn)


def _pixels(image: Image.Image, file: Image.Image, grey: bool) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3].

    Args:
        image: loaded and upright; file: as opened, which knows its format and its tags.

    Raises:
        ValueError: the range of its pixels is not known.
    """
    if image.mode in (*SIXTEEN, "I", "F"):
        plain = _scaled(np.asarray(image), file)
        if isinstance(clear := file.info.get("transparency"), int):
            plain = np.where(np.asarray(image) == clear, np.uint8(BACKGROUND), plain)
        return plain if grey else np.repeat(plain[..., None], 3, axis=2)
    if {"A", "a"} & set(image.getbands()) or "transparency" in image.info:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, (BACKGROUND,) * 4), over)
    return np.array(image.convert("L" if grey else "RGB"))


def _scaled(values: np.ndarray, file: Image.Image) -> np.ndarray:
    """Grey of more than 8 bits [H, W] as uint8, by the rules above."""
    tags = getattr(file, "tag_v2", {})
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise BadValue(
                f"its floats run from {low:g} to {high:g}, where only 0 to 1 is known; save it "
                "scaled to 0..1, or with 8 or 16 bits"
            )
        scaled = np.round(values * 255.0).astype(np.uint8)
    elif file.mode == "I" and file.format == "TIFF":
        raise BadValue(
            "its whole numbers have a sign or more than 16 bits, and nothing says their range; "
            "save it with 8 or 16 bits"
        )
    else:
        bits = tags.get(BITS, 16)
        most = 2 ** int(bits[0] if isinstance(bits, tuple) else bits) - 1
        scaled = np.round(np.arange(most + 1) * (255 / most)).astype(np.uint8)[values]
    return 255 - scaled if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else scaled


def is_grey(image: Image.Image) -> bool:
    """Whether an image that was opened has one channel, its transparency not counted."""
    return image.mode in GREY


def open_image(path: Path) -> ImageFile.ImageFile:
    """Opens a file and reads its header only.

    Raises:
        DataError: it is not an image, or a decompression bomb.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(regular(path), formats=FORMATS)
    except Exception as error:
        raise not_an_image(path, error) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise not_an_image(path, f"{image.width} x {image.height} pixels is too large")
    return image


def not_an_image(path: Path, why: object) -> DataError:
    """The error that such a file is."""
    return DataError(
        f"{showable(path)} is not a readable image ({showable(why)}); repair it, or move it out of "
        "the data set."
    )
