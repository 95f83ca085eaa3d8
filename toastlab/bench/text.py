"""What `toastlab bench` measured, as text; and what is stored of it, `data/bench.json`."""

from typing import Any

import pandas as pd

from toastlab.core.errors import DataError
from toastlab.disk.files import embedded, regular, showable
from toastlab.store.run_files import json_of

SHOWN = {
    "images_per_second": ("images/s", "{:,.0f}"),
    "step_ms": ("ms a step", "{:.1f}"),
    "passes_per_image": ("passes a new image", "{:.2f}"),
    "seconds": ("s", "{:.4f}"),
    "per_second": ("per s", "{:,.0f}"),
    "time_ratio": ("time ratio", "{:.2f}"),
    "step_ratio": ("a step alone", "{:.2f}"),
    "kept_bytes": ("kept, bytes", "{:,}"),
    "peak_mib": ("peak, MiB", "{:.0f}"),
    "peak_over_base_mib": ("above cross-entropy", "{:+.0f}"),
}


def load_bench() -> dict[str, Any]:
    """The stored measurement; made again by `toastlab bench --json data/bench.json`.

    Raises:
        DataError: it is missing or cannot be read.
    """
    path = embedded("bench.json")
    try:
        return dict(json_of(regular(path)))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"the stored measurement cannot be read: {showable(error)}.") from error


def as_text(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A section's rows, every number as text with its unit in the heading."""
    table = pd.DataFrame(rows).drop(columns="rounds", errors="ignore")
    for name, (title, form) in SHOWN.items():
        if name in table:
            table[title] = [form.format(v) for v in table.pop(name)]
    return table


def markdown(table: pd.DataFrame) -> str:
    """A table of text."""
    lines = [list(table), ["---"] * len(table.columns), *table.to_numpy()]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def methods_table(measured: dict[str, Any]) -> str:
    """Markdown: time and memory of every method."""
    columns = ["method", "images/s", "time ratio", "passes a new image", "peak, MiB"]
    both = as_text(measured["methods"]).merge(as_text(measured["memory"]), on="method")
    return markdown(both[columns])


def alternatives_table(measured: dict[str, Any]) -> str:
    """Markdown: times of what does the same as the data path and the medoids, whose own are 1."""
    rows = [(f"data, {row['images']}", row["path"], row) for row in measured["data"]]
    rows += [(row["logits"], row["way"], row) for row in measured["medoids"]]
    cells = [(what, way, f"{row['time_ratio']:.2f}") for what, way, row in rows]
    return markdown(pd.DataFrame(cells, columns=["of", "by", "time, toastlab is 1"]))
