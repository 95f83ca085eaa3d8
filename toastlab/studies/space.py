"""Which settings a sweep tries: axes over fields of the config, and points chosen from them.

A setting has the name that it has on the command line: `learning-rate`, `data.noise-rate`,
`medoid-weight`, and `method` for the method itself. Pure: nothing here trains.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, Literal, get_origin, get_type_hints

import numpy as np

from toastlab.core.errors import BadType, BadValue, in_range, one_of
from toastlab.core.settings import Settings
from toastlab.methods import CONFIGS
from toastlab.training.config import TrainConfig

Value = float | int | str | bool
Point = dict[str, Value]

PARTS = ("data", "augment")  # settings of these are written with the part's name and a dot
# What the sweep itself sets, or what changes nothing in what is learned.
NOT_SWEPT = (
    "seed",
    "threads",
    "record",
    "evaluate-every",
    "data.path",
    "data.workers",
    "data.stream",
)
DIGITS = 6  # significant, of drawn values: readable, and the same run name on every machine


@dataclass(frozen=True)
class Axis(Settings):
    """One setting and what it may be: `values`, or a range from `low` to `high`.

    Attributes:
        name: as on the command line.
        values: tried one by one; empty for a range.
        low, high: bounds of a range, both included.
        log: spaced evenly in the logarithm.
        whole: integers only.
    """

    name: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.values:
            if len(set(self.values)) < len(self.values):
                raise BadValue(f"axis {self.name} has a value twice: {self.values}.")
            for value in self.values:
                if isinstance(value, float) and not math.isfinite(value):
                    raise BadValue(f"axis {self.name} has the value {value}, which is no number.")
            return
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise BadValue(
                f"axis {self.name} goes from {self.low:g} to {self.high:g}; give LOW..HIGH, the "
                "lower bound first."
            )
        if self.log and self.low <= 0:
            raise BadValue(
                f"axis {self.name} is logarithmic from {self.low:g}; it must begin above 0."
            )

    def at(self, share: float) -> Value:
        """The value at `share` in [0, 1) of the axis; equal shares for values and for integers."""
        in_range("share", share, 0, 1, open_high=True)
        if self.values:
            return self.values[int(share * len(self.values))]
        low, high = self.low, self.high + (1 if self.whole else 0)
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        if self.whole:
            return min(int(self.high), max(int(low), math.floor(value)))
        return self.rounded(value)

    def rounded(self, value: float) -> float:
        """A drawn value to `DIGITS` digits, still within the bounds."""
        return min(self.high, max(self.low, float(f"{value:.{DIGITS}g}")))


def settings(config: TrainConfig) -> dict[str, type]:
    """Name -> type of everything that can be an axis around this config."""
    kinds: dict[str, type] = {"method": str}
    parts = [("", config), ("", config.method), *((f"{p}.", getattr(config, p)) for p in PARTS)]
    for prefix, part in parts:
        hints = get_type_hints(type(part))
        for field in fields(part):
            kind = str if get_origin(hints[field.name]) is Literal else hints[field.name]
            if kind in (int, float, str, bool):  # no tuples, no parts
                kinds[prefix + field.name.replace("_", "-")] = kind
    return {name: kind for name, kind in kinds.items() if name not in NOT_SWEPT}


def parse(name: str, text: str, base: TrainConfig, methods: Sequence[str] = ()) -> Axis:
    """The axis that a user writes: `0,0.3,0.6`, `0..0.6`, `log:0.01..1`.

    Args:
        methods: names of the methods swept over, if there is an axis of them.

    Raises:
        ValueError: no such setting, or values that are none of it.
    """
    name = name.replace("_", "-")
    if name in NOT_SWEPT:
        hint = "give --seeds, how many" if name == "seed" else "it changes nothing that is learned"
        raise BadValue(f"{name} cannot be an axis: {hint}.")
    kind: type = str
    for method in methods or (base.method.name,):
        known = settings(with_point(base, {"method": one_of("method", method, CONFIGS)}))
        kind = known[one_of(f"setting of {method}", name, known)]
    if not isinstance(text, str):
        raise BadType(f"axis {name} is {text!r}; give a text such as 0..1.")
    log, bounds = text.startswith("log:"), text.removeprefix("log:").split("..")
    if len(bounds) == 2 and kind in (int, float):
        low, high = (float(_value(name, x, kind)) for x in bounds)
        return Axis(name, low=low, high=high, log=log, whole=kind is int)
    if log or len(bounds) > 1:
        what = "has values, no range" if kind not in (int, float) else "is not LOW..HIGH"
        raise BadValue(f"axis {name} is {text!r}, which {what}: give 0,0.5 or 0..1 or log:0.1..1.")
    return Axis(name, tuple(_value(name, x, kind) for x in text.split(",")))


def _value(name: str, text: str, kind: type) -> Value:
    text = text.strip()
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if not text:
            raise ValueError
        value = kind(text)
        if kind is int:
            float(value)  # some are too large
        return value
    except (ValueError, KeyError, OverflowError):
        what = {int: "an integer", float: "a number", bool: "true or false"}.get(kind, "a name")
        raise BadValue(f"axis {name} has the value {text!r}, which is not {what}.") from None


def with_point(config: TrainConfig, point: Mapping[str, Value]) -> TrainConfig:
    """The config with these settings, all at once, so that only the whole must be valid.

    Raises:
        ValueError: there is no such setting, or as of the config that refuses a value.
    """
    given: dict[str, dict[str, Any]] = {"": {}, "method": {}, **{p: {} for p in PARTS}}
    method = config.method
    name = str(point.get("method", method.name))
    if name != method.name:
        method = CONFIGS[one_of("method", name, CONFIGS)]()
    of_method = {field.name for field in fields(method)}
    for key, value in point.items():
        part, _, last = key.rpartition(".")
        field = last.replace("-", "_")
        known = {f.name for f in fields(getattr(config, part) if part in PARTS else config)}
        known -= {*PARTS, "method"} if key != "method" else set()
        if part not in given or field not in known | (set() if part else of_method):
            one_of("setting", key, settings(replace(config, method=method)))
        if key != "method":
            given["method" if not part and field in of_method else part][field] = value
    parts = {p: replace(getattr(config, p), **given[p]) for p in PARTS}
    return replace(config, **given[""], **parts, method=replace(method, **given["method"]))


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Every combination of the values, the last axis fastest.

    Raises:
        ValueError: an axis is a range.
    """
    for axis in axes:
        if not axis.values:
            raise BadValue(
                f"a grid cannot have the range of {axis.name}: list values, or add --search sobol."
            )
    names = [axis.name for axis in axes]
    return [dict(zip(names, values, strict=True)) for values in product(*(a.values for a in axes))]


def drawn(axes: Sequence[Axis], search: str, trials: int, seed: int) -> list[Point]:
    """`trials` points, random or of a scrambled Sobol sequence; more of them begin with the same.

    Sobol points fill the space evenly, so that every axis is covered with fewer of them; best is a
    power of 2. Where values repeat a point, it stands once.
    """
    one_of("search", search, ("random", "sobol"))
    in_range("trials", trials, 1)
    in_range("axes", len(axes), 1)
    in_range("search seed", seed, 0)
    if search == "sobol":
        from scipy.stats import qmc  # half a second to import, and every study imports this file

        sequence = qmc.Sobol(len(axes), scramble=True, seed=seed)
        shares = sequence.random_base2(max(0, math.ceil(math.log2(trials))))[:trials]
    else:
        shares = np.random.default_rng(seed).random((trials, len(axes)))
    points = [{a.name: a.at(float(x)) for a, x in zip(axes, row, strict=True)} for row in shares]
    return list({tuple(p.values()): p for p in points}.values())
