"""`toastlab.analyse_folder`: the same as `toastlab.analyse`, of what lies on disk.

    runs/0f3a...c1/           a run folder of ours
    my_training/              a folder with
        logits.npy            [E, N, K] or [N, K]; or probabilities.npy
        labels.npy            [N]
        ids.npy, clean_labels.npy, images.npy     if you have them
        classes.txt           names of the classes, one a line, if you have them
    my_training.npz           the same names in one file
    logits.npy                the outputs alone; labels are given beside them

Nothing that is read can run: object arrays, which are pickles, are refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toastlab.analysis.analyse import Analysis, analyse
from toastlab.core.errors import BadValue, DataError
from toastlab.data.ids import as_ids
from toastlab.data.image_files import IMAGE_ENDINGS
from toastlab.disk.files import regular, showable
from toastlab.store.runs import open_run

OUTPUTS = ("logits", "probabilities")
NAMES = (*OUTPUTS, "labels", "ids", "clean_labels", "images", "carried")


def analyse_folder(
    path: str | Path,
    *,
    labels: Any = None,
    images: Any = None,
    ids: Any = None,
    class_names: Sequence[str] | None = None,
    probabilities: bool | None = None,
    early: int | None = None,
) -> Analysis:
    """Every score of every sample of a training whose outputs lie on disk.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/logits.npy", np.array([[[2.0, 0.0], [3.0, 0.0]]]))
        ...     np.save(f"{folder}/labels.npy", np.array([0, 1]))
        ...     table = analyse_folder(folder).table
        >>> table["aum"].tolist()
        [2.0, -3.0]

    Args:
        path: a run folder of ours; or a folder, a .npz file or a .npy file, see this file's head.
        labels: [N], or a .npy or a text file of them, one a line; None: they lie there.
        images, ids, class_names, early: as in `toastlab.analyse`. `ids` may be a .npy or a text
            file; `images` a .npy file or a folder: then ids are the paths of image files in it.
        probabilities: whether the outputs are probabilities; None: as the file's name says.

    Raises:
        DataError: files missing or not to be read. StoreError: a run folder that is damaged. And
            all errors of `toastlab.analyse`.
    """
    place = Path(path)
    more = {"early": early, "class_names": class_names}
    if (place / "config.json").exists():
        run = open_run(place.resolve() if place.name in ("", ".", "..") else place)
        own = {"labels": labels, "ids": ids, "probabilities": probabilities}
        for name, value in own.items():
            if value is not None:
                raise BadValue(f"a run folder has {name} of its own; leave {name} out.")
        if images is not None:
            kept = {} if run.dynamics is None else {"ids": run.dynamics.ids}
            images = _with_images(kept, images)["images"]
        return analyse(run, images=images, **more)  # type: ignore[arg-type]
    found = _read(place)
    given = {"labels": labels, "ids": ids}
    found |= {name: _column(name, value) for name, value in given.items() if value is not None}
    kind = next((name for name in OUTPUTS if name in found), "")
    if not kind:
        raise DataError(
            f"{showable(place)} holds neither a run (config.json) nor logits.npy or "
            "probabilities.npy."
        )
    if "labels" not in found:
        raise DataError(f"{showable(place)} has no labels.npy; give the labels (--labels FILE).")
    if class_names is None and (names := place / "classes.txt").exists():
        more["class_names"] = _lines(names)
    if images is not None:
        found = _with_images(found, images)
    outputs, y = found.pop(kind), found.pop("labels")
    found.pop("probabilities", None)
    said = True if kind == "probabilities" and probabilities is None else probabilities
    return analyse(outputs, y, probabilities=said, **found, **more)  # type: ignore[arg-type]


def _read(place: Path) -> dict[str, Any]:
    """The arrays that lie there, by their names."""
    if place.is_dir():
        files = {name: place / f"{name}.npy" for name in NAMES}
        return {name: _array(file) for name, file in files.items() if file.exists()}
    if place.suffix == ".npy":
        name = "probabilities" if "prob" in place.stem else "logits"
        return {name: _array(place)}
    if place.suffix != ".npz":
        what = "is neither a folder nor a .npz or .npy file" if place.exists() else "does not exist"
        raise DataError(f"{showable(place)} {what}; name a folder with logits.npy and labels.npy.")
    try:
        with np.load(regular(place), allow_pickle=False) as archive:
            return {name: archive[name] for name in NAMES if name in archive.files}
    except Exception as error:  # damaged archives raise errors of many kinds
        raise _unreadable(place, error) from error


def _array(file: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(regular(file), allow_pickle=False))
    except Exception as error:  # an OSError, or whatever a damaged header leads to
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(
        f"{showable(file)} cannot be read ({showable(error)}); save it with numpy.save, numbers or "
        "texts and no objects."
    )


def _column(name: str, value: Any) -> Any:
    """Labels or ids: as they are, or read from a file."""
    if not isinstance(value, str | Path):
        return value
    file = Path(value)
    if file.suffix == ".npy":
        return _array(file)
    lines = _lines(file)
    if name == "ids":
        return np.array(lines, dtype=object)
    try:
        return np.array([int(line) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{showable(file)} does not hold labels ({showable(error)}); write one whole number a "
            "line, or a .npy file."
        ) from error


def _lines(file: Path) -> list[str]:
    try:
        return regular(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{showable(file)} cannot be read: {showable(error)}.") from error


def _with_images(found: dict[str, Any], images: Any) -> dict[str, Any]:
    """With images: as they are, of a .npy file its array, of a folder the files that the ids name
    (without ids all that lie there, by name: their paths are the ids)."""
    if not isinstance(images, str | Path):
        return found | {"images": images}
    place, ids = Path(images), found.get("ids")
    if place.suffix == ".npy":
        return found | {"images": _array(place)}
    if not place.is_dir():
        raise DataError(f"there is no folder {showable(place)}; name one of images, or a .npy.")
    if ids is None:
        files = sorted(p for p in place.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS)
        ids = np.array([file.relative_to(place).as_posix() for file in files], dtype=object)
    ids = as_ids(ids, len(ids))
    if ids.dtype != object:
        raise DataError(f"the ids are numbers, so that no file in {showable(place)} can be named.")
    return found | {"ids": ids, "images": [place / str(one) for one in ids]}
