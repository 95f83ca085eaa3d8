"""Limits on time that the kit promises, held against what `toastlab bench` has measured.

They are no tests: a busy machine would fail them. Each is a ratio of things timed in turns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toastlab.bench.config import BASE, Row
from toastlab.bench.measure import IMAGE_BY_IMAGE
from toastlab.bench.medoids import KMEDOIDS, ROOF

# kmedoids over ours where the bound fails; docs/benchmarks.md says why it is less there.
HARD_LIMITS = {"two clouds": 1.25, "heavy tails": 1.05, "a small class alone": 1.1}


@dataclass(frozen=True)
class Bar:
    """A limit.

    Attributes:
        section: of the measurement, see `bench.MEASURES`.
        what: the ratio, in words.
        figure: what was measured.
        limit: what it must reach.
        at_most: the figure must not be above the limit; otherwise, not below.
    """

    section: str
    what: str
    figure: float
    limit: float
    at_most: bool = False

    @property
    def held(self) -> bool:
        """Whether the limit is kept."""
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit

    def row(self) -> Row:
        """The bar as a row of a table."""
        return {
            "time of": self.what,
            "measured": f"{self.figure:.3f}",
            "limit": f"at {'most' if self.at_most else 'least'} {self.limit:g}",
            "verdict": "held" if self.held else "BROKEN",
        }


def bars(measured: Mapping[str, Any]) -> list[Bar]:
    """The limits on what was measured.

    Args:
        measured: sections of rows, as `bench.measure` gives them; a limit on what was left out is
            left out.
    """
    return [
        *_methods({row["method"]: row["time_ratio"] for row in measured.get("methods", ())}),
        *_mlp(measured.get("mlp", ())),
        *_data(measured.get("data", ())),
        *_medoids(measured.get("medoids", ())),
    ]


def _methods(ratio: Mapping[str, float]) -> list[Bar]:
    if "toast" not in ratio:
        return []
    toast = ratio["toast"]
    limits = [Bar("methods", "a new image: TOAST / cross-entropy", toast, 1.03, True)]
    if "dlb" in ratio:
        limits.append(Bar("methods", "a new image: DLB / TOAST", ratio["dlb"] / toast, 1.9))
    peers = {name: r for name, r in ratio.items() if name not in ("toast", BASE)}
    if "bake" in peers:
        slowest = max(peers.values()) / toast
        limits.append(Bar("methods", "a new image: slowest peer / TOAST", slowest, 2.95))
    return limits


def _mlp(rows: list[Row]) -> list[Bar]:
    return [
        Bar("mlp", "a step of the MLP: TOAST / cross-entropy", row["step_ratio"], 1.15, True)
        for row in rows
        if row["method"] == "toast"
    ]


def _data(rows: list[Row]) -> list[Bar]:
    return [
        Bar("data", f"an image of {row['images']}: one by one / batched", row["time_ratio"], 10)
        for row in rows
        if row["path"] == IMAGE_BY_IMAGE
    ]


def _medoids(rows: list[Row]) -> list[Bar]:
    limits = []
    for row in rows:
        hard = HARD_LIMITS.get(row["logits"].split(":")[0])
        limit = ({ROOF: 0.6, KMEDOIDS: 4.0} if hard is None else {KMEDOIDS: hard}).get(row["way"])
        if limit is not None:
            what = f"medoids, {row['logits']}: {row['way']} / ours"
            limits.append(Bar("medoids", what, row["time_ratio"], limit))
    return limits
