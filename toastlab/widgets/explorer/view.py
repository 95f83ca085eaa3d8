"""What of an explorer can be set from outside: its view and its selection, checked.

`meta` is what `data.pack` made. The code of the page checks a view likewise.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toastlab.core.errors import BadType, BadValue

STATE = "explorer.state() gives one that fits"


def check_view(meta: Mapping[str, Any], view: Any) -> dict[str, Any]:
    """A view, or part of one, in which every value can be shown.

    Args:
        view: name -> value, of the names in `meta["view"]`: the position of the epoch, colour,
            region, score and order out of `meta["choices"]`, the bounds low and high of the score
            (None: open), the hidden classes, and the sample in focus (-1: none).

    Raises:
        ValueError: an unknown name, or a value that it cannot have. TypeError: no such mapping.
    """
    if not isinstance(view, Mapping):
        raise BadType(f"a view is no {type(view).__name__}; {STATE}.")
    for name, value in view.items():
        fits = _fits(meta).get(name) if isinstance(name, str) else None
        if fits is None:
            raise BadValue(f"unknown part {name!r}; a view has {', '.join(meta['view'])}.")
        if not fits(value):
            raise BadValue(f"{name} of a view cannot be {value!r}; {STATE}.")
    return dict(view)


def _fits(meta: Mapping[str, Any]) -> dict[str, Callable[[Any], bool]]:
    """Name of a part -> whether a value fits it."""

    def whole(low: int, end: int) -> Callable[[Any], bool]:
        return lambda x: type(x) is int and low <= x < end

    def bound(x: Any) -> bool:
        return x is None or (type(x) in (int, float) and abs(x) < 1e300)  # neither NaN nor infinite

    def among(choices: list[str]) -> Callable[[Any], bool]:
        return lambda x: isinstance(x, str) and x in choices

    a_class = whole(0, len(meta["classes"]))
    return {
        **{name: among(choices) for name, choices in meta["choices"].items()},
        "epoch": whole(0, meta["epochs"]),
        "focus": whole(-1, meta["samples"]),
        "hidden": lambda x: isinstance(x, list) and all(map(a_class, x)) and len(set(x)) == len(x),
        "low": bound,
        "high": bound,
    }


def is_mask(value: Any, samples: int) -> bool:
    """Whether bytes say of each of N samples if it is selected: N bytes, 0 or 1."""
    if not isinstance(value, bytes | memoryview) or len(value) != samples:
        return False
    return not np.frombuffer(value, np.uint8).max(initial=0) > 1


def mask_of(rows: Any, samples: int) -> bytes:
    """Rows (whole numbers) as N bytes, 1 where a sample is among them.

    Raises:
        ValueError: a row is out of range. TypeError: they are no whole numbers.
    """
    index = np.asarray(rows)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise BadType(f"rows are {index.dtype} {list(index.shape)}; give whole numbers [n].")
    if index.size and not (index.min() >= 0 and index.max() < samples):
        raise BadValue(
            f"rows run from {index.min()} to {index.max()}, but must lie in 0..{samples - 1}."
        )
    mask = np.zeros(samples, np.uint8)
    mask[index.astype(np.int64)] = 1
    return mask.tobytes()


def to_state(view: Mapping[str, Any], mask: bytes) -> str:
    """View and selection as JSON, as the page's link and its button have it."""
    rows = np.flatnonzero(np.frombuffer(mask, np.uint8)).tolist()
    return json.dumps({"view": dict(view), "selected": rows})


def from_state(meta: Mapping[str, Any], state: str) -> tuple[dict[str, Any], bytes]:
    """View and selection that `to_state` was given.

    Raises:
        ValueError, TypeError: it is no such JSON, or does not fit the data.
    """
    try:
        read = json.loads(state)
        view, rows = read["view"], read["selected"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadValue(f"this is no state of an explorer ({error!r}); {STATE}.") from None
    if not isinstance(rows, list) or not all(type(row) is int for row in rows):
        raise BadType(f"selected rows are no list of whole numbers; {STATE}.")
    if rows and not (min(rows) >= 0 and max(rows) < meta["samples"]):  # before NumPy sees 10^30
        raise BadValue(f"selected rows lie outside 0..{meta['samples'] - 1}; {STATE}.")
    return check_view(meta, view), mask_of(rows, meta["samples"])
