"""The methods by name. To add one: a file with its config and class, and a line here."""

from toastlab.methods.bake import BakeConfig
from toastlab.methods.base import Method, MethodConfig
from toastlab.methods.byot import ByotConfig
from toastlab.methods.cross_entropy import CrossEntropyConfig
from toastlab.methods.cs_kd import CsKdConfig
from toastlab.methods.dlb import DlbConfig
from toastlab.methods.elr import ElrConfig
from toastlab.methods.gce import GceConfig
from toastlab.methods.label_smoothing import LabelSmoothingConfig
from toastlab.methods.ols import OlsConfig
from toastlab.methods.plan import Plan
from toastlab.methods.ps_kd import PsKdConfig
from toastlab.methods.sce import SceConfig
from toastlab.methods.selc import SelcConfig
from toastlab.methods.tf_kd import TfKdConfig
from toastlab.methods.tf_kd_self import TfKdSelfConfig
from toastlab.methods.toast import Toast, ToastConfig
from toastlab.methods.zipf import ZipfConfig

CONFIGS: dict[str, type[MethodConfig]] = {
    config.name: config
    for config in (
        ToastConfig,
        CrossEntropyConfig,
        LabelSmoothingConfig,
        OlsConfig,
        TfKdConfig,
        TfKdSelfConfig,
        CsKdConfig,
        PsKdConfig,
        DlbConfig,
        BakeConfig,
        ByotConfig,
        SelcConfig,
        ElrConfig,
        ZipfConfig,
        GceConfig,
        SceConfig,
    )
}

__all__ = [
    "CONFIGS",
    "BakeConfig",
    "ByotConfig",
    "CrossEntropyConfig",
    "CsKdConfig",
    "DlbConfig",
    "ElrConfig",
    "GceConfig",
    "LabelSmoothingConfig",
    "Method",
    "MethodConfig",
    "OlsConfig",
    "Plan",
    "PsKdConfig",
    "SceConfig",
    "SelcConfig",
    "TfKdConfig",
    "TfKdSelfConfig",
    "Toast",
    "ToastConfig",
    "ZipfConfig",
]
