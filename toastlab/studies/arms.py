"""What is compared: methods with settings, each an arm under a name, and the runs that they make.

All arms of a seed start from the same weights and see the same order of samples as far as they draw
the same number of new ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from toastlab.analysis.statistics import BASELINE
from toastlab.core.errors import in_range
from toastlab.data.dataset import DataConfig
from toastlab.methods import (
    BakeConfig,
    ByotConfig,
    CrossEntropyConfig,
    CsKdConfig,
    DlbConfig,
    ElrConfig,
    GceConfig,
    LabelSmoothingConfig,
    MethodConfig,
    OlsConfig,
    PsKdConfig,
    SceConfig,
    SelcConfig,
    TfKdConfig,
    TfKdSelfConfig,
    ToastConfig,
    ZipfConfig,
)
from toastlab.studies.options import SEED_COUNTS
from toastlab.studies.reading_pool import BEFORE, CONFIDENT, LITERAL
from toastlab.training.config import TrainConfig

ARMS: dict[str, MethodConfig] = {
    BASELINE: CrossEntropyConfig(),
    "label smoothing": LabelSmoothingConfig(),
    "TOAST stage 1": ToastConfig(past_weight=0),
    "TOAST stage 2": ToastConfig(medoid_weight=0),
    "TOAST": ToastConfig(),
    "TOAST random carry": ToastConfig(random_carry=True),
    "TOAST class mean": ToastConfig(prototype="mean"),
    "TOAST literal": LITERAL,
    "TOAST confidence": CONFIDENT,
    "TOAST label and KL": BEFORE,
    "OLS": OlsConfig(),
    "Tf-KD": TfKdConfig(),
    "Tf-KD self": TfKdSelfConfig(),
    "CS-KD": CsKdConfig(),
    "PS-KD": PsKdConfig(),
    "DLB": DlbConfig(),
    "BAKE": BakeConfig(),
    "BYOT": ByotConfig(),
    "SELC": SelcConfig(),
    "ELR": ElrConfig(),
    "Zipf": ZipfConfig(),
    "GCE": GceConfig(),
    "SCE": SceConfig(),
}
# The other methods that are compared with TOAST
PEERS = tuple(name for name in ARMS if not name.startswith("TOAST") and name != BASELINE)
ARM_OF = {name.lower().replace(" ", "-"): name for name in ARMS}  # as one types it -> as shown


@dataclass(frozen=True)
class Job:
    """One run to be had: which arm, under which conditions, with which seed."""

    setting: str
    arm: str
    config: TrainConfig


def plan(
    arms: Sequence[str],
    seeds: int,
    base: TrainConfig,
    settings: Mapping[str, DataConfig] | None = None,
) -> list[Job]:
    """All settings x arms x seeds, the seeds outermost so that an early stop leaves whole sets.

    Args:
        arms: names of `ARMS`; seeds: how many, from `base.seed` on.
        base: everything but data, method and seed.
        settings: name -> data; None takes `base.data`.
    """
    in_range("seeds", seeds, *SEED_COUNTS)
    settings = settings or {base.data.name: base.data}
    return [
        Job(setting, arm, _config(base, data, ARMS[arm], seed))
        for seed in range(base.seed, base.seed + seeds)
        for setting, data in settings.items()
        for arm in arms
    ]


def _config(base: TrainConfig, data: DataConfig, method: MethodConfig, seed: int) -> TrainConfig:
    """The run; where both budgets are the same steps it is one run for both."""
    probe = method.build(torch.arange(2), 2, base.batch_size)
    same = probe.passes == probe.new_per_batch and not probe.spent_before
    budget = "images" if same else base.budget
    return replace(base, data=data, method=method, seed=seed, budget=budget)
