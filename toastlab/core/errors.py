"""What bad input looks like to a user: one line that names the bad value and the fix.

The only file of ours that every other one may import. Everything that toastlab refuses is a
`ToastlabError`; a bad value is a `ValueError` too, a wrong type a `TypeError`, as Python has them.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class ToastlabError(Exception):
    """The base of all errors that toastlab raises on purpose: one line that names the fix.

    Example:
        >>> try:
        ...     in_range("share", 2.0, 0, 1)
        ... except ToastlabError as error:
        ...     print(error)
        share is 2.0, but must lie in [0, 1].
    """


class BadValue(ToastlabError, ValueError):
    """A value that cannot be: out of its range, of another shape, not among the choices."""


class BadType(ToastlabError, TypeError):
    """A value of the wrong type."""


class LoopError(BadValue):
    """A loop of one's own that leaves out what the method needs, or brings it other data."""


class StateError(BadValue, RuntimeError):
    """A state that does not fit what it is loaded into; nothing was changed.

    A `RuntimeError` too, since that is what PyTorch's own modules raise then.
    """


class DataWarning(UserWarning):
    """Data that can be read, but that hardly are what was meant."""


class DataError(BadValue):
    """A data set that is missing, truncated, altered or not what its config says."""


class DeviceError(BadValue):
    """A device that was asked for and is not there."""


class TrainingDiverged(BadValue):
    """The loss or the logits turned NaN or infinite; the last good state has been kept."""


class WorkerError(BadValue):
    """Worker processes that keep being killed; finished runs have been kept."""


class RankLost(ToastlabError):
    """A process of a run on several ranks that is gone; the last checkpoint has been kept.

    No `ValueError`, since a signal raises it anywhere, and nobody may take it for a damaged file.
    """


class Stopped(ToastlabError):
    """`should_stop` ended a run, or the wait for one; the last checkpoint has been kept."""


class PackageMissing(ToastlabError, ImportError):
    """A package that this part of toastlab needs, and that is not installed.

    Args:
        extra: of toastlab, which has the package; empty: none has it.
    """

    def __init__(self, what: str, error: ModuleNotFoundError, extra: str = "") -> None:
        wanted = f'"toastlab[{extra}]"' if extra else (error.name or "").partition(".")[0]
        super().__init__(
            f"{what} needs the package {error.name!r}: pip install {wanted}.", name=error.name
        )


class StoreError(BadValue):
    """A run folder that cannot be written, is incomplete, or does not match its config."""


def one_of(what: str, value: str, choices: Iterable[str]) -> str:
    """Returns `value` if it is among `choices`.

    Raises:
        ValueError: it is not; the message lists the choices and names the nearest one.
    """
    known = sorted(choices)
    if value in known:
        return value
    near = get_close_matches(str(value).lower(), known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise BadValue(f"unknown {what} {value!r}.{hint} Choose one of: {', '.join(known)}.")


def some_of(what: str, values: Sequence[str], choices: Iterable[str]) -> None:
    """Checks that at least one value is given and that each is among `choices`.

    Raises:
        ValueError: none is given, or one is not among the choices.
    """
    known = sorted(choices)
    if not values:
        raise BadValue(f"no {what} is given; name one or more of: {', '.join(known)}.")
    for value in values:
        one_of(what, value, known)


def in_range(
    what: str,
    value: float,
    low: float = float("-inf"),
    high: float = float("inf"),
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Checks `low <= value <= high`; `open_low` and `open_high` exclude the bounds.

    Raises:
        ValueError: it is outside, or NaN; the message states the interval. TypeError: no number.
    """
    try:
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
    except TypeError:
        raise BadType(f"{what} is {value!r}, but must be a number.") from None
    if above and below:
        return
    left, right = (
        "(" if open_low or low == float("-inf") else "[",
        (")" if open_high or high == float("inf") else "]"),
    )
    raise BadValue(f"{what} is {value!r}, but must lie in {left}{low:.10g}, {high:.10g}{right}.")
