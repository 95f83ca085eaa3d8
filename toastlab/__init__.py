"""toastlab: self-knowledge distillation you can see, built around TOAST (Yin et al., 2024).

In a loop of your own: `Stream`, a method's config and its `build`, see the README. With ours:
`RunStore().get(TrainConfig(...))`. Everything else lies in the module that its name suggests.
"""

from toastlab.core.stream import Batch, Stream
from toastlab.data.dataset import DataConfig, Dataset, from_tensors, load
from toastlab.data.splits import Split
from toastlab.medoids.targets import class_medoids, soft_targets
from toastlab.methods import (
    CrossEntropyConfig,
    LabelSmoothingConfig,
    Method,
    MethodConfig,
    Toast,
    ToastConfig,
)
from toastlab.store.runs import Run, RunStore
from toastlab.training.config import TrainConfig
from toastlab.training.models import build

__all__ = [
    "Batch",
    "CrossEntropyConfig",
    "DataConfig",
    "Dataset",
    "LabelSmoothingConfig",
    "Method",
    "MethodConfig",
    "Run",
    "RunStore",
    "Split",
    "Stream",
    "Toast",
    "ToastConfig",
    "TrainConfig",
    "build",
    "class_medoids",
    "from_tensors",
    "load",
    "soft_targets",
]
