"""The settings of a run, and the optimizer and schedule that they stand for."""

import math
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from tyro.conf import Suppress

from toastlab.augment import AugmentConfig
from toastlab.data import DataConfig
from toastlab.errors import check_types, in_range, one_of
from toastlab.methods import MethodConfig, ToastConfig
from toastlab.methods.base import BANKS, BUDGETS
from toastlab.recorder import RECORDS


@dataclass(frozen=True)
class TrainConfig:
    """One run. Together with the data's contents these settings name it."""

    data: DataConfig = field(default_factory=DataConfig)
    # Suppress: on the command line the method is a word of its own, `toastlab train toast`
    method: Annotated[MethodConfig, Suppress] = field(default_factory=ToastConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: str = "mlp"  # a name of toastlab.models, or what you call your own network
    epochs: int = 30  # >= 1; what an epoch is, see budget
    batch_size: int = 128  # B, even, 2 to N
    optimizer: str = "sgd"  # sgd or adamw
    learning_rate: float = 0.05  # > 0, at the start
    momentum: float = 0.9  # in [0, 1), for sgd
    nesterov: bool = True  # Nesterov's form of the momentum, for sgd
    weight_decay: float = 5e-4  # >= 0
    schedule: str = "cosine"  # cosine to 0, step (down at each milestone), constant
    milestones: tuple[float, ...] = (0.5, 0.75)  # for step: shares of what follows the warm-up
    decay: float = 0.1  # factor on the rate at each milestone, in (0, 1]
    warmup_epochs: float = 0.0  # epochs of linear rise to the learning rate, 0 up to `epochs`
    precision: str = "auto"  # float32, bf16 (autocast); auto: bf16 on a GPU that has it
    channels_last: bool = True  # convolutions with channels innermost: faster on CPU and GPU
    compile: bool = False  # torch.compile the network: pays for long runs only
    spread: bool = False  # over the processes of torchrun, which sets it: batch_size is of them all
    budget: str = "images"  # an epoch is N images through the network, or N new samples
    evaluate_every: int = 1  # epochs between two looks at validation and test; the last always
    seed: int = 0  # of weights, order, augmentation, dropout, lots
    record: str = "auto"  # dynamics: logits, summary (probability, correctness), none; auto by size
    bank: str = "float32"  # dtype of the stored logits; float16 halves the bank's memory
    # CPU threads, 1 to 1024; part of the run, since sums round differently with another
    threads: int = 1

    def __post_init__(self) -> None:
        check_types(self)
        in_range("epochs", self.epochs, 1)
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError(
                f"batch size is {self.batch_size}, but must be even and at least 2: "
                "half of it can be carried."
            )
        one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        one_of("schedule", self.schedule, ("cosine", "step", "constant"))
        one_of("record", self.record, RECORDS)
        one_of("budget", self.budget, BUDGETS)
        one_of("bank", self.bank, BANKS)
        one_of("precision", self.precision, ("auto", "float32", "bf16"))
        in_range("evaluate every", self.evaluate_every, 1)
        in_range("warmup epochs", self.warmup_epochs, 0, self.epochs)
        in_range("learning rate", self.learning_rate, 0, open_low=True, open_high=True)
        in_range("momentum", self.momentum, 0, 1, open_high=True)
        in_range("weight decay", self.weight_decay, 0, open_high=True)
        for share in self.milestones:
            in_range("milestone", share, 0, 1)
        in_range("decay", self.decay, 0, 1, open_low=True)
        in_range("threads", self.threads, 1, 1024)  # far more would end the process
        in_range("seed", self.seed, 0, 2**31)


def make_optimizer(
    config: TrainConfig, *modules: nn.Module, fused: bool | None = None
) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over the parameters that want a gradient.

    Args:
        fused: one kernel for all parameters; None asks `fuses`.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    if fused is None:
        fused = bool(parameters) and all(fuses(p.device.type, p.dtype) for p in parameters)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters, config.learning_rate, weight_decay=config.weight_decay, fused=fused or None
        )
    return torch.optim.SGD(
        parameters,
        config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov and config.momentum > 0,
        weight_decay=config.weight_decay,
        fused=fused or None,
    )


def fuses(device: str, dtype: torch.dtype) -> bool:
    """Whether the optimizer's step is one fused kernel on that type of device.

    Not on a CPU, where nothing is launched and a fused step would round differently.
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
