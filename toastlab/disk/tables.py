"""Tables that come with toastlab, read and how a table is written."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from toastlab.core.errors import BadValue, DataError, one_of
from toastlab.disk.files import regular, showable


def read_table(path: Path, what: str, columns: Iterable[str], again: str) -> pd.DataFrame:
    """A CSV table.

    Args:
        what: it is called so in errors.
        columns: that it must have; a number of it may still be wrong.
        again: the command that makes it.

    Raises:
        DataError: it is missing, cannot be read, or lacks a column.
    """
    try:
        table = pd.read_csv(regular(path))
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{what} cannot be read: {showable(error)}.") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{path} lacks {missing[0]!r}; make it again: {again}.")
    return table


def writer(path: Path) -> Callable[[pd.DataFrame], None]:
    """Writes a table there, CSV or parquet by the name's end.

    Raises:
        ValueError: the name ends otherwise, or parquet cannot be written here. Better before hours
            of training than after.
    """
    one_of("ending of the table's name", path.suffix, (".csv", ".parquet"))
    if path.suffix == ".parquet":
        if find_spec("pyarrow") is None:
            raise BadValue(
                f"{path} needs pyarrow: pip install pyarrow, or let the name end in .csv."
            )
        return lambda table: table.to_parquet(path, index=False)
    # names of files may be no UTF-8: what cannot be written stands as \x..
    return lambda table: table.to_csv(path, index=False, errors="backslashreplace")
