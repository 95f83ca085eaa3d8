"""What leads from a sample back to the user's own data, whatever was held out or left out.

An id is a row number: of the user's array, or of the source's file that the sample is from (a
validation image that was held out of a training file keeps its row there). Of an image file it is
the path within the data set's folder, "train/boot/0017.png" say.
"""

from collections.abc import Sequence

import numpy as np

from toastlab.core.errors import DataError
from toastlab.disk.files import showable


def as_ids(ids: np.ndarray | Sequence[str] | None, count: int) -> np.ndarray:
    """Ids as [N] int64, or as [N] Python texts (dtype object, as lengths differ).

    Args:
        ids: whole numbers or texts [N]; None numbers the samples from 0 on.
        count: N.

    Raises:
        DataError: there are more or fewer, or they are something else.
    """
    if ids is None:
        return np.arange(count, dtype=np.int64)
    array = np.asarray(ids, dtype=None if hasattr(ids, "dtype") else object)
    if array.shape != (count,):
        raise DataError(f"ids have the shape {array.shape} for {count} samples; give one for each.")
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    texts = array.astype(object)
    for text in texts:
        if not isinstance(text, str) or "\0" in text:
            raise DataError(f"{text!r} is no id; give an array of row numbers, or texts.")
    return texts


def pack(ids: np.ndarray) -> np.ndarray:
    """Ids as plain numbers, for a file: rows as int64 [N], texts as bytes, a zero after each."""
    if ids.dtype != object:
        return ids
    text = "".join(f"{one}\0" for one in ids)
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)


def unpack(packed: np.ndarray) -> np.ndarray:
    """The ids that `pack` was given; never run, only read."""
    if packed.dtype != np.uint8:
        return packed
    text = packed.tobytes().decode("utf-8", "surrogatepass")
    return np.array(text.split("\0")[:-1], dtype=object)


def caption(one: object, width: int = 16) -> str:
    """An id below an image: "row 17", or a file's name; of a longer one its end."""
    if not isinstance(one, str):
        return f"row {one}"
    name = showable(one.rpartition("/")[2])
    return name if len(name) <= width else "..." + name[3 - width :]
