"""The settings of a run, and the optimizer and schedule that they stand for."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from toastlab.core.errors import BadValue, in_range
from toastlab.core.settings import Count, PositiveShare, Range, Seed, Settings, Share, ShareBelowOne
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.methods import MethodConfig, ToastConfig
from toastlab.methods.plan import BankType, Budget
from toastlab.training.fused import PartlyFused
from toastlab.training.recorder import Record

try:
    from tyro.conf import Suppress
except ModuleNotFoundError:  # it marks what is no option, and training has no command line to ask
    Suppress = None  # type: ignore[assignment, misc]


@dataclass(frozen=True)
class TrainConfig(Settings):
    """One run. Together with the data's contents these settings name it.

    Example:
        >>> from toastlab import DataConfig, ToastConfig
        >>> config = TrainConfig(data=DataConfig(noise_rate=0.2), method=ToastConfig(), epochs=10)
        >>> config.learning_rate, config.batch_size
        (0.05, 128)
    """

    data: DataConfig = field(default_factory=DataConfig)
    # Not an option: on the command line the method is a word of its own, `toastlab train toast`.
    method: Annotated[MethodConfig, Suppress] = field(default_factory=ToastConfig)
    # What happens to training images; everything is off by default.
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: str = "mlp"  # Name of a network (`toastlab train` lists them), or of your own.
    epochs: Count = 30  # Epochs, 1 to 100000; --budget says what an epoch is.
    batch_size: int = 128  # Images in a batch, even, from 2 to the number of training samples.
    optimizer: Literal["sgd", "adamw"] = "sgd"  # Optimizer: sgd or adamw.
    # Learning rate at the start, above 0, at most 1000.
    learning_rate: Annotated[float, Range(0, 1000, open_low=True)] = 0.05
    momentum: ShareBelowOne = 0.9  # Momentum of sgd, in [0, 1).
    nesterov: bool = True  # Nesterov's form of the momentum, for sgd.
    weight_decay: Share = 5e-4  # Weight decay, 0 to 1.
    # Learning rate: cosine (to 0), step (down at each milestone) or constant.
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    # For step: shares, in [0, 1], of what follows the warm-up.
    milestones: tuple[Share, ...] = (0.5, 0.75)
    decay: PositiveShare = 0.1  # Factor on the rate at each milestone, in (0, 1].
    warmup_epochs: float = 0.0  # Epochs of linear rise to the learning rate, 0 to all epochs.
    # Precision: float32, bf16 (autocast), or auto: bf16 on a GPU that has it.
    precision: Literal["auto", "float32", "bf16"] = "auto"
    channels_last: bool = True  # Convolutions with the channels innermost: faster on CPU and GPU.
    compile: bool = False  # Compile the network by torch.compile, which pays for long runs only.
    # Share each batch among the processes of torchrun, which sets this itself; the batch size is of
    # all of them together.
    spread: bool = False
    # What an epoch is: N images through the network (images), or N new samples (samples).
    budget: Budget = "images"
    # Epochs between two looks at validation and test, 1 to 100000; the last is always looked at.
    evaluate_every: Count = 1
    # Seed of weights, order, augmentation, dropout and all that is drawn, 0 to 2^31.
    seed: Seed = 0
    # Dynamics kept: logits, summary (probability, correctness), none, or auto: by size.
    record: Record = "auto"
    # Type of the stored logits: float32, or float16, which halves the bank's memory.
    bank: BankType = "float32"
    # CPU threads, 1 to 1024; part of the run, since sums round differently with another number.
    threads: Annotated[int, Range(1, 1024)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 2 or self.batch_size % 2:
            raise BadValue(
                f"batch size is {self.batch_size}, but must be even and at least 2: "
                "half of it can be carried."
            )
        in_range("warmup epochs", self.warmup_epochs, 0, self.epochs)


def make_optimizer(
    config: TrainConfig, *modules: nn.Module, fused: bool | None = None
) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over the parameters that want a gradient.

    Args:
        fused: one kernel for all parameters; None asks `fuses`, and fuses on a CPU what can be.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    on_cpu = bool(parameters) and all(p.device.type == "cpu" for p in parameters)
    kind = PartlyFused if fused is None and on_cpu else torch.optim.SGD
    if fused is None:
        fused = bool(parameters) and all(fuses(p.device.type, p.dtype) for p in parameters)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters, config.learning_rate, weight_decay=config.weight_decay, fused=fused or None
        )
    return kind(
        parameters,
        config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov and config.momentum > 0,
        weight_decay=config.weight_decay,
        fused=fused or None,
    )


def fuses(device: str, dtype: torch.dtype) -> bool:
    """Whether the optimizer's step is one fused kernel on that type of device.

    Not on a CPU, where a fused step may round differently: see `PartlyFused`.
    """
    return device == "cuda" and dtype.is_floating_point


def make_schedule(config: TrainConfig, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """The factor on the learning rate, step by step, `steps` in an epoch."""
    warm, total = steps * config.warmup_epochs, steps * config.epochs

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        done = (step - warm) / max(1, total - warm)
        if config.schedule == "cosine":
            return (1 + math.cos(math.pi * min(1, done))) / 2
        if config.schedule == "step":
            return config.decay ** sum(done >= share for share in config.milestones)
        return 1.0

    return LambdaLR(optimizer, factor)
