"""Tables that come with toastlab, read with the columns that they must have."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from toastlab.core.errors import DataError
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
