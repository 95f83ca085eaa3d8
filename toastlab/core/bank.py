"""The bank: what training itself last said of each sample. No extra forward pass fills it [R]."""

import torch
from torch import Tensor

from toastlab.core.checks import BOOL, FLAG, FLOAT, INT, check_shapes
from toastlab.core.errors import in_range
from toastlab.core.state import Stateful


class Bank(Stateful):
    """The last logits of every training sample, and how often an epoch visited it.

    Attributes:
        logits: [N, K] float32, or as `store_as` has it; rows of samples not yet seen are zero.
        seen: [N] bool.
        visits: [N] int64, visits since the last `start_epoch`, carried ones included.
        carried: [N] int64, carried visits since the last `start_epoch`.
    """

    logits: Tensor
    seen: Tensor
    visits: Tensor
    carried: Tensor

    def __init__(self, num_samples: int, num_classes: int, device: torch.device | str) -> None:
        in_range("number of samples", num_samples, 0)
        in_range("number of classes", num_classes, 1)
        super().__init__()
        self.add_state("logits", torch.zeros(num_samples, num_classes, device=device), "rows")
        for name, dtype in (
            ("seen", torch.bool),
            ("visits", torch.int64),
            ("carried", torch.int64),
        ):
            self.add_state(name, torch.zeros(num_samples, dtype=dtype, device=device), "rows")

    def store_as(self, dtype: torch.dtype) -> None:
        """Keeps logits in this dtype from now on: float16 halves the memory, rounds to 11 bits
        and overflows above 65,504 (to infinity, which the medoids refuse). Empties the bank."""
        shape, device = self.logits.shape, self.logits.device
        self.logits = torch.empty(0, device=device)  # the old one goes before the new one is made
        self.logits = torch.zeros(shape, dtype=dtype, device=device)
        self.seen.zero_()

    def start_epoch(self) -> None:
        """Sets the counters of the epoch to zero; the logits stay."""
        self.visits.zero_()
        self.carried.zero_()

    def write(self, index: Tensor, logits: Tensor, pure: Tensor | None, carried: Tensor) -> None:
        """Stores the logits of one batch.

        Args:
            index: [B] int64; logits: [B, K].
            pure: [B] bool, rows whose image was not mixed with another; only they are stored. None:
                all of them, which takes fewer kernels.
            carried: [B] bool, or 0 and 1 as int64.

        Raises:
            ValueError, TypeError: arguments that do not belong together, or not to this bank.
        """
        bank = self.logits
        check_shapes(
            index=(index, INT, "B"),
            logits=(logits, FLOAT, "BK"),
            carried=(carried, FLAG, "B"),
            bank=(bank, FLOAT, "NK"),
            **({} if pure is None else {"pure": (pure, BOOL, "B")}),
        )
        rows = logits.detach().to(bank.dtype)
        if pure is None:
            seen = torch.ones_like(index, dtype=torch.bool)
        else:
            rows = torch.where(pure[:, None], rows, bank[index])
            seen = self.seen[index] | pure
        bank.index_copy_(0, index, rows)
        self.seen.index_copy_(0, index, seen)
        self.visits.index_add_(0, index, torch.ones_like(index))
        self.carried.index_add_(0, index, carried.long())
