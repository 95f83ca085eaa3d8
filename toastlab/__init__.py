"""toastlab: self-knowledge distillation you can see, built around TOAST (Yin et al., 2024).

In a loop of your own: `Stream`, a method's config and its `build`, see the README. With ours:
`RunStore().get(TrainConfig(...))`. Everything else lies in the module that its name suggests.

Each name is loaded when it is first used, so that `import toastlab` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toastlab.core.stream import Batch, Stream
    from toastlab.data.dataset import DataConfig, Dataset, Split, from_tensors, load
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

_HOMES = {
    "core.stream": ("Batch", "Stream"),
    "data.dataset": ("DataConfig", "Dataset", "Split", "from_tensors", "load"),
    "medoids.targets": ("class_medoids", "soft_targets"),
    "methods": (
        "CrossEntropyConfig",
        "LabelSmoothingConfig",
        "Method",
        "MethodConfig",
        "Toast",
        "ToastConfig",
    ),
    "store.runs": ("Run", "RunStore"),
    "training.config": ("TrainConfig",),
    "training.models": ("build",),
}
_HOME_OF = {name: f"toastlab.{home}" for home, names in _HOMES.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'toastlab' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
