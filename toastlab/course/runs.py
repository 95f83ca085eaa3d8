"""The two runs that the notebooks and the dashboard look at, and which classes are alike."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.methods import CrossEntropyConfig, MethodConfig, ToastConfig
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig

NOISY = DataConfig(name="fashion-mini", noise_rate=0.2)
# Garments that look alike: five cover the upper body, three are footwear. Ours, from the names.
FAMILIES = (
    ("T-shirt/top", "Pullover", "Dress", "Coat", "Shirt"),
    ("Sandal", "Sneaker", "Ankle boot"),
)
METHODS: dict[str, MethodConfig] = {"cross-entropy": CrossEntropyConfig(), "TOAST": ToastConfig()}


def families(classes: Sequence[str]) -> list[list[int]]:
    """The related classes among these, by their numbers."""
    return [[classes.index(name) for name in family] for family in FAMILIES]


def relatives(classes: Sequence[str]) -> Tensor:
    """Whether two classes are related, [K, K] bool; no class is its own relative."""
    related = torch.zeros(len(classes), len(classes), dtype=torch.bool)
    for family in families(classes):
        related[torch.tensor(family)[:, None], torch.tensor(family)] = True
    return related & ~torch.eye(len(classes), dtype=torch.bool)


def course_data() -> Dataset:
    """fashion-mini with a fifth of the training labels flipped."""
    return load(NOISY)


def course_store(otherwise: Path | str = "runs") -> Path:
    """Where they are stored: a checkout's data/runs, or else the folder named."""
    stored = Path(__file__).parents[2] / "data" / "runs"
    return stored if stored.is_dir() else Path(otherwise)


def course_runs(store: Path | str) -> dict[str, Run]:
    """Name -> run, trained now (about ten seconds each on two cores) where it is missing."""
    data, runs = course_data(), dict[str, Run]()
    for name, method in METHODS.items():
        config = TrainConfig(data=NOISY, method=method)
        runs[name] = RunStore(store).get(config, dataset=data, device="cpu")
    return runs
