"""The methods by name. To add one: a file with its config and class, and a line here."""

from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.cross_entropy import CrossEntropyConfig
from toastlab.methods.label_smoothing import LabelSmoothingConfig
from toastlab.methods.toast import Toast, ToastConfig

CONFIGS: dict[str, type[MethodConfig]] = {
    config.name: config for config in (ToastConfig, CrossEntropyConfig, LabelSmoothingConfig)
}

__all__ = [
    "CONFIGS",
    "CrossEntropyConfig",
    "LabelSmoothingConfig",
    "Method",
    "MethodConfig",
    "Toast",
    "ToastConfig",
]
