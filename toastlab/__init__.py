"""toastlab: self-knowledge distillation you can see, built around TOAST (Yin et al., 2024).

In a loop of your own: `ToastConfig().build(...)`, `join`, see the README. With ours:
`RunStore().get(TrainConfig(...))`. What is listed here is public; everything else lies in the room
that its name suggests (docs/architecture.md). Nothing is imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from toastlab.core.errors import PackageMissing
from toastlab.core.garbage import nothing_collected

if TYPE_CHECKING:
    from toastlab.analysis.analyse import Analysis, analyse
    from toastlab.analysis.recorder import Recorder
    from toastlab.core.errors import ToastlabError
    from toastlab.core.stream import Batch, Stream
    from toastlab.data.dataset import DataConfig, Dataset, from_tensors, load
    from toastlab.data.splits import Split
    from toastlab.medoids.targets import class_medoids, soft_targets
    from toastlab.methods import (
        CrossEntropyConfig,
        LabelSmoothingConfig,
        Method,
        MethodConfig,
        Plan,
        Toast,
        ToastConfig,
    )
    from toastlab.store.folders import analyse_folder
    from toastlab.store.runs import Run, RunStore
    from toastlab.training.config import TrainConfig
    from toastlab.training.models import build
    from toastlab.widgets.explorer import Explorer

# Where each public name lies; the same as above, for Python.
_HOMES = {
    "core.errors": ("ToastlabError",),
    "analysis.analyse": ("Analysis", "analyse"),
    "analysis.recorder": ("Recorder",),
    "core.stream": ("Batch", "Stream"),
    "data.dataset": ("DataConfig", "Dataset", "from_tensors", "load"),
    "data.splits": ("Split",),
    "medoids.targets": ("class_medoids", "soft_targets"),
    "methods": (
        *("CrossEntropyConfig", "LabelSmoothingConfig", "Method", "MethodConfig"),
        *("Plan", "Toast", "ToastConfig"),
    ),
    "store.folders": ("analyse_folder",),
    "store.runs": ("Run", "RunStore"),
    "training.config": ("TrainConfig",),
    "training.models": ("build",),
    "widgets.explorer": ("Explorer",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Analysis",
    "Batch",
    "CrossEntropyConfig",
    "DataConfig",
    "Dataset",
    "Explorer",
    "LabelSmoothingConfig",
    "Method",
    "MethodConfig",
    "Plan",
    "Recorder",
    "Run",
    "RunStore",
    "Split",
    "Stream",
    "Toast",
    "ToastConfig",
    "ToastlabError",
    "TrainConfig",
    "analyse",
    "analyse_folder",
    "build",
    "class_medoids",
    "from_tensors",
    "load",
    "soft_targets",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'toastlab' has no attribute {name!r}")
    home = _HOME_OF[name]
    try:
        with nothing_collected():
            return getattr(import_module(f"toastlab.{home}"), name)
    except ModuleNotFoundError as error:
        extra = {"data": "data", "widgets": "lab"}.get(home.split(".")[0], "train")
        raise PackageMissing(f"toastlab.{name}", error, extra) from error


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
