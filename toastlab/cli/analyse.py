"""`toastlab analyse`: every score of every sample of a training, from files."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from toastlab.analysis.analyse import Analysis
from toastlab.analysis.scores import SCORES
from toastlab.cli.terminal import comparison_table, console
from toastlab.core.errors import BadValue, PackageMissing, in_range, one_of
from toastlab.disk.files import showable, try_writing
from toastlab.disk.tables import writer
from toastlab.store.folders import analyse_folder

ENDINGS = (".csv", ".html", ".parquet")
SHOWN = 10  # of the most doubtful, on the screen


def analyse(
    folder: Annotated[Positional[str], arg(metavar="FOLDER")],
    labels: str = "",
    out: str = "samples.csv",
    ids: str = "",
    images: str = "",
    names: str = "",
    probabilities: bool = False,
    by: str = "",
    count: int = 0,
) -> None:
    """Every score of every sample of a training: doubtful labels, hard samples.

    toastlab analyse runs/0f3a8d6c2b714e95

    toastlab analyse my_training --labels labels.npy --out suspicious.csv --count 100

    toastlab analyse outputs.npz --images my_images --out report.html

    FOLDER is a run folder of ours; or a folder with logits.npy, epochs x samples x classes (or
    probabilities.npy), and labels.npy, and where you have them ids.npy, clean_labels.npy,
    images.npy and classes.txt; or a .npz file with arrays of these names; or a .npy file of the
    outputs alone.

    Args:
        folder: A run folder, a folder of arrays, a .npz or a .npy file.
        labels: The labels, .npy or text with a number a line, where they are not in the folder.
        out: The table, .csv, or .parquet where pyarrow is installed; or .html, the explorer.
        ids: What leads back to your data, .npy or text with an id a line.
        images: A folder of image files, which the ids name, or a .npy file.
        names: Names of the classes, text with a name a line.
        probabilities: The outputs are probabilities, not logits.
        by: Sort the table by this score, the most doubtful first, leaving out rows without it;
            empty: as the samples come.
        count: Only so many rows, the most doubtful; 0: all.
    """
    path = Path(out)
    one_of("ending of the output's name", path.suffix, ENDINGS)
    in_range("count", count, 0)
    if by:
        one_of("score", by, SCORES)
    write = None if path.suffix == ".html" else writer(path)
    try:
        try_writing(path.parent)
    except OSError as error:
        raise BadValue(
            f"cannot write {out!r} ({error.strerror}); choose another file with --out."
        ) from error
    found = analyse_folder(
        folder,
        labels=labels or None,
        ids=ids or None,
        images=images or None,
        class_names=_lines(names) if names else None,
        probabilities=probabilities or None,
    )
    if write is None:
        _write_html(found, path)
    else:
        chosen = found.suspicious(count or len(found.table), by) if by or count else found.table
        write(chosen)
    _show(found, by, out)


def _write_html(found: Analysis, path: Path) -> None:
    """The explorer as one file. The one place that knows who writes it."""
    try:
        explorer = import_module("toastlab.widgets.explorer")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("toastlab"):
            raise PackageMissing("the explorer", error, "lab") from error
        raise BadValue(
            f"{str(path)!r} needs the explorer, which this version lacks: let --out end in .csv."
        ) from error
    explorer.Explorer(found).save(path)


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadValue(f"cannot read {file!r}: {error}.") from error


def _show(found: Analysis, by: str, out: str) -> None:
    """The most doubtful samples, and where the whole table is."""
    by = by or ("aum" if found.table["aum"].notna().any() else "confidence")
    top = found.suspicious(SHOWN, by)
    rows = top[["id", "label_name", "prediction_name", "confidence", "forgetting"]].copy()
    rows["id"] = [showable(one) for one in rows["id"]]
    rows["confidence"] = [f"{x:.3f}" for x in rows["confidence"]]
    if by not in rows:
        rows[by] = [f"{x:.3f}" for x in top[by]]
    screen, n = console(), len(found.table)
    screen.print(comparison_table(f"The {len(top)} most doubtful of {n} labels, by {by}", rows))
    screen.print("A doubtful label is not yet a wrong one: look at the image before you change it.")
    screen.print(f"Written: {out}", soft_wrap=True)
