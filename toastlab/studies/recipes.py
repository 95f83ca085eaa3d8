"""The literature's training recipes on CIFAR-100 and Tiny-ImageNet, with the figures published.

Recipes never share a table: weight decay and epochs alone move top-1 by more than most methods do.
So every row of a table names its recipe, and every recipe writes a table of its own.

Settings and figures are data, in data/recipes: those of the papers and of the code that their
authors released. What this kit does otherwise is said in `differs`. The figures are copied from
where `source` says, none of them made here.
"""

import sys
from dataclasses import dataclass

import pandas as pd

from toastlab.core.errors import in_range
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.disk.files import embedded
from toastlab.training.config import TrainConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Published:
    """A figure that others printed, of the test images that we report on too.

    Attributes:
        data: data set.
        model: our network that stands nearest; network: theirs.
        method: as `ARMS` calls it.
        metric: "top-1" or "ECE"; value: per cent.
        about: the source gives it as a rough figure.
    """

    data: str
    model: str
    network: str
    method: str
    metric: str
    value: float
    about: bool = False

    def __str__(self) -> str:
        return f"about {self.value:.1f}" if self.about else f"{self.value:.2f}"


@dataclass(frozen=True)
class Recipe:
    """How a paper trains: one optimizer and schedule for all networks and methods.

    Attributes:
        paper: citation.
        epochs: of N new samples each; drops: after how many of them the rate falls by `decay`.
        warmup_epochs: of linear rise to the rate, the first of the epochs.
        differs: what this kit does otherwise.
        published, source: figures of others, and where they stand.
    """

    name: str
    paper: str
    epochs: int
    learning_rate: float
    drops: tuple[int, ...]
    decay: float
    warmup_epochs: int
    weight_decay: float
    batch_size: int
    nesterov: bool
    differs: str
    published: tuple[Published, ...] = ()
    source: str = ""

    def config(
        self, model: str, data: DataConfig, *, epochs: int = 0, batch_size: int = 0
    ) -> TrainConfig:
        """The run of a network with this recipe, at equal samples; all but method and seed.

        Args:
            epochs: fewer than the paper's shorten warm-up and schedule with them; 0: the paper's.
            batch_size: 0: the paper's.

        Raises:
            ValueError: more epochs than the paper's, or what `TrainConfig` refuses.
        """
        in_range("epochs", epochs, 0, self.epochs)
        epochs = epochs or self.epochs
        rest = self.epochs - self.warmup_epochs
        return TrainConfig(
            data=data,
            augment=AugmentConfig(crop=4, flip=True),
            model=model,
            epochs=epochs,
            batch_size=batch_size or self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            schedule="step",
            milestones=tuple((drop - self.warmup_epochs) / rest for drop in self.drops),
            decay=self.decay,
            warmup_epochs=self.warmup_epochs * epochs / self.epochs,
            precision="float32",  # as the papers have it
            budget="samples",
            record="none",  # the logits of every sample at every epoch would take gigabytes
        )

    def label(self, config: TrainConfig) -> str:
        """The setting's name in a table: recipe, data, and whatever is not the paper's."""
        parts = [f"{self.name}: {config.data.name}"]
        if config.data.size:
            parts.append(f"{config.data.size} x {config.data.size} pixels")
        if config.epochs != self.epochs:
            parts.append(f"shortened to {config.epochs} of {self.epochs} epochs")
        if config.batch_size != self.batch_size:
            parts.append(f"batch {config.batch_size}")
        return ", ".join(parts)


def _recipes() -> dict[str, Recipe]:
    """Name -> recipe, as data/recipes has them."""
    folder = embedded("recipes")
    figures: dict[str, list[Published]] = {}
    for row in pd.read_csv(folder / "published.csv").to_dict("records"):
        facts = {str(k): v for k, v in row.items()}
        name, about = str(facts.pop("recipe")), bool(facts.pop("about"))
        figures.setdefault(name, []).append(Published(**facts, about=about))
    recipes = {}
    for name, row in tomllib.loads((folder / "recipes.toml").read_text(encoding="utf-8")).items():
        row["drops"] = tuple(row["drops"])
        recipes[name] = Recipe(name, **row, published=tuple(figures.get(name, ())))
    return recipes


RECIPES: dict[str, Recipe] = _recipes()
