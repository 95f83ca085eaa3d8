"""The two runs that the notebooks and the dashboard look at, and which classes are alike."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

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


def stage_1_alone(medoid_weight: float, temperature: float) -> float:
    """Trains stage 1 alone, on few images with right labels and long enough to learn them all.

    Args:
        medoid_weight: a; temperature: T_m, of the medoid's soft target.

    Returns:
        The median probability of the training labels after the last epoch.
    """
    config = TrainConfig(
        data=DataConfig(per_class=50),
        method=ToastConfig(
            medoid_weight=medoid_weight,
            past_weight=0,
            medoid_temperature=temperature,
            ramp="none",
        ),
        epochs=60,
        batch_size=64,
        record="logits",
        evaluate_every=60,
    )
    with TemporaryDirectory() as folder:
        dynamics = RunStore(folder).get(config, device="cpu").dynamics
    if dynamics is None or dynamics.logits is None:  # as `record` says, they are there
        return float("nan")
    p = torch.from_numpy(dynamics.logits[-1]).float().softmax(1)
    return float(p[torch.arange(len(p)), torch.from_numpy(dynamics.labels)].median())
