"""What a method is told of the run that it is part of."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from toastlab.core.settings import Count, Settings

Budget = Literal["images", "samples"]
BUDGETS = get_args(Budget)
BankType = Literal["float32", "float16"]
# What becomes of carried samples under Mixup and CutMix, see `Mixing`.
MixedCarry = Literal["unmixed", "repeat", "stored"]
BANKS = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Plan(Settings):
    """What a method may have to know of the run.

    Example:
        >>> Plan(epochs=30, budget="samples").budget
        'samples'

    Attributes:
        epochs: how many there will be.
        budget: what an epoch is: N "images" through the network (of any pass, with a gradient or
            without), or N "samples" drawn newly, however often the method then looks at them.
        mixes: Mixup or CutMix is on.
        bank: dtype of the stored logits, one of `BANKS`.
        ranks: over how many processes each batch is spread, see `toastlab.training.ranks`.
    """

    epochs: Count = 1
    budget: Budget = "images"
    mixes: bool = False
    bank: BankType = "float32"
    ranks: int = 1
