"""Settings that check themselves: a field's type says what it may be, and the base class holds it.

    @dataclass(frozen=True)
    class MyConfig(Settings):
        weight: Share = 0.3  # Weight of the distillation, in [0, 1].
        source: Literal["stored", "network"] = "stored"  # Where the past comes from.

Settings with a value that a field may not have are an error as soon as they are made.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from toastlab.core.errors import BadType, in_range, one_of


@dataclass(frozen=True)
class Range:
    """What a number may be: `low` to `high`, the bounds themselves too unless they are open."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False


# What numbers may be; outside, float32 or memory ends, and the reason would be hard to find.
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, open_low=True)]
ShareBelowOne = Annotated[float, Range(0, 1, open_high=True)]
InnerShare = Annotated[float, Range(0, 1, open_low=True, open_high=True)]
Temperature = Annotated[float, Range(0.01, 1000)]
Weight = Annotated[float, Range(0, 1000)]  # of a term of the loss
Multiplier = Annotated[float, Range(0, 100_000)]
Count = Annotated[int, Range(1, 100_000)]  # epochs, and visits in a row
Seed = Annotated[int, Range(0, 2**31)]


class Settings:
    """Base of the frozen dataclasses of settings.

    Raises:
        TypeError: a field holds something of another type. ValueError: it is out of its range, or
            not among its choices; the message names both.
    """

    def __post_init__(self) -> None:
        check_settings(self)


def check_settings(settings: Any) -> None:
    """Checks the fields of a dataclass against their types, see `Settings`.

    Numbers, texts, flags, choices (`Literal`), and tuples of them; other fields are left alone. A
    whole number may stand for a float; True is no number.
    """
    for name, (kind, limits) in _plain_fields(settings.__class__).items():
        value, what = getattr(settings, name), name.replace("_", " ")
        inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
        values = value if get_origin(kind) is tuple and isinstance(value, tuple) else (value,)
        plain = str if get_origin(inner) is Literal else inner
        shaped = isinstance(value, tuple) == (get_origin(kind) is tuple)
        if not (shaped and all(_is_a(one, plain) for one in values)):
            wanted = getattr(kind, "__name__", kind) if get_origin(kind) is None else kind
            wanted = "str" if get_origin(kind) is Literal else wanted
            raise BadType(f"{what} is {value!r}, but must be of type {wanted}.")
        for one in values:
            if get_origin(inner) is Literal:
                one_of(what, one, get_args(inner))
            if limits is not None:
                in_range(what, one, **vars(limits))


def _is_a(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


@lru_cache
def _plain_fields(kind: Any) -> dict[str, tuple[Any, Range | None]]:
    """Of each field that can be checked: its type, and the range of its numbers."""
    checked = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint, limits = _unwrapped(hints[field.name])
        if get_origin(hint) is tuple:
            inner, limits = _unwrapped(get_args(hint)[0])
            checkable, hint = inner, tuple[inner, ...]  # type: ignore[valid-type]
        else:
            checkable = hint
        if checkable in (int, float, str, bool) or get_origin(checkable) is Literal:
            checked[field.name] = (hint, limits)
    return checked


def _unwrapped(hint: Any) -> tuple[Any, Range | None]:
    """A type without its annotations, and its range if it has one."""
    if get_origin(hint) is not Annotated:
        return hint, None
    plain, *extras = get_args(hint)
    return plain, next((extra for extra in extras if isinstance(extra, Range)), None)
