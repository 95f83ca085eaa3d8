"""Settings that check themselves: types, ranges and choices as the fields' annotations say."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from toastlab.core.settings import Count, PositiveShare, Range, Seed, Settings, Share


@dataclass(frozen=True)
class Some(Settings):
    """Every kind of field."""

    weight: Share = 0.5
    part: PositiveShare = 1.0
    rate: Annotated[float, Range(0, 1000, open_low=True)] = 1.0
    epochs: Count = 1
    seed: Seed = 0
    source: Literal["stored", "network"] = "stored"
    name: str = ""
    on: bool = False
    shares: tuple[Share, ...] = (0.5, 1)
    words: tuple[Literal["a", "b"], ...] = ()
    other: dict[str, int] = field(default_factory=dict)  # is left alone


def test_what_may_be() -> None:
    Some(weight=1, part=1, rate=1000, epochs=100_000, seed=2**31, source="network", on=True)
    Some(shares=(), words=("a", "b"), other={"anything": 1})


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"weight": 1.1}, ValueError, r"weight is 1\.1, but must lie in \[0, 1\]"),
        ({"weight": float("nan")}, ValueError, "weight is nan"),
        ({"part": 0.0}, ValueError, r"part is 0\.0, but must lie in \(0, 1\]"),
        ({"rate": 0}, ValueError, r"must lie in \(0, 1000\]"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 1.5}, TypeError, r"epochs is 1\.5, but must be of type int"),
        ({"epochs": True}, TypeError, "epochs is True"),
        ({"weight": True}, TypeError, "weight is True"),
        ({"on": 1}, TypeError, "on is 1, but must be of type bool"),
        ({"name": None}, TypeError, "name is None"),
        ({"source": "strored"}, ValueError, "unknown source 'strored'. Did you mean 'stored'"),
        ({"source": 3}, TypeError, "source is 3, but must be of type str"),
        ({"shares": (0.5, 2.0)}, ValueError, r"shares is 2\.0"),
        ({"shares": [0.5]}, TypeError, "shares is \\[0.5\\]"),
        ({"shares": 0.5}, TypeError, r"shares is 0\.5"),
        ({"words": ("a", "c")}, ValueError, "unknown words 'c'"),
    ],
)
def test_what_may_not(given: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Some(**given)
