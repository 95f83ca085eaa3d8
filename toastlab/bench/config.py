"""What is measured, on which images, and how alternatives become rows of a table."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Annotated, Any

import torch

from toastlab.bench.timing import in_turns
from toastlab.core.errors import BadValue, DataError, one_of, some_of
from toastlab.core.settings import Count, Range, Settings
from toastlab.data.dataset import DataConfig, load
from toastlab.data.splits import Split
from toastlab.methods import CONFIGS, MethodConfig, ToastConfig
from toastlab.training.names import MODELS

SECTIONS = ("methods", "mlp", "data", "medoids", "memory")
BASE = "cross-entropy"
Row = dict[str, Any]


def at_work(name: str) -> MethodConfig:
    """A method's defaults, with all it does done at every step: TOAST's ramp, which would leave
    both stages out while little is learnt, is off."""
    config = CONFIGS[name]()
    return replace(config, ramp="none") if isinstance(config, ToastConfig) else config


@dataclass(frozen=True)
class BenchConfig(Settings):
    """What is measured."""

    model: str = "resnet-small"  # Network of the methods' loops.
    batch_size: int = 128  # Images in a batch, even, from 2.
    steps: Count = 46  # Batches of a method's epoch, its medoids at the end included.
    # Timed rounds, after one to warm up; a ratio is their median.
    rounds: Annotated[int, Range(1, 1000)] = 5
    # Methods to time; cross-entropy is always among them.
    methods: tuple[str, ...] = tuple(CONFIGS)
    # What to measure: methods, mlp (TOAST alone, on the teaching MLP), data, medoids, memory.
    sections: tuple[str, ...] = SECTIONS
    small: bool = False  # A few classes and images only: seconds, to see that it works.

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("model", self.model, MODELS)
        for name in self.methods:
            one_of("method", name, CONFIGS)
        some_of("section", self.sections, SECTIONS)
        if self.batch_size < 2 or self.batch_size % 2:
            raise BadValue(f"batch size is {self.batch_size}, but must be even and at least 2.")

    @property
    def names(self) -> list[str]:
        """The methods, cross-entropy first."""
        return [BASE, *(m for m in dict.fromkeys(self.methods) if m != BASE)]


def split_of(config: BenchConfig, device: torch.device) -> Split:
    """As many embedded images as an epoch needs.

    Raises:
        DataError: that is more than there are.
    """
    split = load(DataConfig(), device).train
    if not isinstance(split, Split):
        raise DataError("a benchmark needs its images in memory: load them without stream.")
    need = config.steps * config.batch_size
    if need > len(split):
        raise DataError(
            f"{config.steps} steps of {config.batch_size} need {need} images, but there are "
            f"{len(split)}: lower the steps or the batch size."
        )
    return Split(split.images[:need], split.labels[:need], split.clean_labels[:need])


def against(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    items: int,
    title: str,
) -> Iterator[list[Row]]:
    """Rows of works that do the same, so far after each round; `time_ratio` is to the first."""
    times: list[dict[str, float]] = []
    first = next(iter(works))
    for seconds in in_turns(works, rounds, device):
        times.append(seconds)
        yield [
            {
                title: name,
                "seconds": median(t[name] for t in times),
                "per_second": items / median(t[name] for t in times),
                "time_ratio": median(t[name] / t[first] for t in times),
                "rounds": [t[name] / t[first] for t in times],
            }
            for name in works
        ]


def over_parts(
    part_title: str,
    title: str,
    parts: Iterable[tuple[str, Mapping[str, Callable[[], object]], int]],
    rounds: int,
    device: torch.device,
) -> Iterator[list[Row]]:
    """Rows of several comparisons, one after another, so far after each round.

    Args:
        parts: of each its name, its works and the items that they work on.
    """
    done: list[Row] = []
    for name, works, items in parts:
        rows: list[Row] = []
        for so_far in against(works, rounds, device, items, title):
            rows = [{part_title: name, **row} for row in so_far]
            yield done + rows
        done += rows
