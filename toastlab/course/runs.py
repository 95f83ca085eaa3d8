"""The two runs that the course of notebooks and the dashboard look at."""

from pathlib import Path

from toastlab.data.dataset import DataConfig, Dataset, load
from toastlab.methods import CrossEntropyConfig, MethodConfig, ToastConfig
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig

NOISY = DataConfig(name="fashion-mini", noise_rate=0.2)
METHODS: dict[str, MethodConfig] = {"cross-entropy": CrossEntropyConfig(), "TOAST": ToastConfig()}


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
