"""What is measured in a run: names, units and which way is better, for every table and figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A measure, by the name that it has in tables of runs, without its split.

    Attributes:
        label: in words, for an axis; short: for the heading of a column.
        unit: of the numbers that are shown; factor: from those stored to those shown.
        larger_is_better: says nothing of a share that is only described.
    """

    label: str
    short: str
    unit: str = ""
    larger_is_better: bool = False

    @property
    def factor(self) -> float:
        """100 for what is stored as a fraction and shown in per cent."""
        return 100.0 if self.unit == "%" else 1.0

    @property
    def digits(self) -> int:
        """Decimals in a table."""
        return 1 if self.unit == "%" else 3

    @property
    def heading(self) -> str:
        """The heading of a column."""
        return f"{self.short} %" if self.unit == "%" else self.short

    def show(self, value: float, sign: str = "") -> str:
        """A stored value as it stands in a table; with `sign` "+" both signs are written."""
        return f"{self.factor * value:{sign}.{self.digits}f}"


MEASURES: dict[str, Measure] = {
    "top1": Measure("top-1 accuracy", "top-1", "%", larger_is_better=True),
    "top5": Measure("top-5 accuracy", "top-5", "%", larger_is_better=True),
    "nll": Measure("NLL", "NLL", "nats"),
    "ece": Measure("ECE", "ECE", "%"),
    "brier": Measure("Brier score", "Brier"),
    "aurc": Measure("AURC", "AURC"),
    "loss": Measure("training loss", "loss"),
    "carried_share": Measure("carried images", "carried", "%"),
    "under_trained": Measure("under-trained samples", "under-trained", "%"),
}


def measure_of(column: str) -> Measure:
    """The measure in a column such as "test_top1"; one that is not listed has its own name only."""
    name = _parts(column)[1]
    return MEASURES.get(name, Measure(name, name))


def measure(column: str) -> tuple[str, float]:
    """Axis label and factor of a column such as "test_top1"."""
    what = measure_of(column)
    unit = f" ({what.unit})" if what.unit else ""
    return f"{_parts(column)[0]} {what.label}{unit}".strip(), what.factor


def _parts(column: str) -> tuple[str, str]:
    """The split, or none, and the name of the measure."""
    split, _, name = column.partition("_")
    return (split, name) if split in ("val", "test") else ("", column)
