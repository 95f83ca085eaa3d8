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
    for field in _checked(settings.__class__):
        value = getattr(settings, field.name)
        shaped = isinstance(value, tuple) == field.many
        values = value if shaped and field.many else (value,)
        if not (shaped and all(_is_a(one, field.plain) for one in values)):
            wanted = field.plain.__name__
            wanted = f"tuple[{wanted}, ...]" if field.many else wanted
            raise BadType(f"{field.what} is {value!r}, but must be of type {wanted}.")
        for one in values:
            if field.choices:
                one_of(field.what, one, field.choices)
            if field.limits is not None:
                in_range(field.what, one, **field.limits)


def _is_a(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


@dataclass(frozen=True)
class _Checked:
    """What a field may be: `many` are a tuple of `plain`, each among the choices, within limits."""

    name: str
    what: str
    plain: Any
    many: bool
    choices: tuple[str, ...]
    limits: dict[str, Any] | None


@lru_cache
def _checked(kind: Any) -> list[_Checked]:
    """The fields of a dataclass that can be checked: looked at once, as settings are made by the
    thousand where a stored table is held to the names of its runs."""
    found = []
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint, limits = _unwrapped(hints[field.name])
        if many := get_origin(hint) is tuple:
            hint, limits = _unwrapped(get_args(hint)[0])
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        plain = str if choices else hint
        if plain not in (int, float, str, bool):
            continue
        what, bounds = field.name.replace("_", " "), vars(limits) if limits else None
        found.append(_Checked(field.name, what, plain, many, choices, bounds))
    return found


def _unwrapped(hint: Any) -> tuple[Any, Range | None]:
    """A type without its annotations, and its range if it has one."""
    if get_origin(hint) is not Annotated:
        return hint, None
    plain, *extras = get_args(hint)
    return plain, next((extra for extra in extras if isinstance(extra, Range)), None)
