"""A moving average of what the network said of every sample, for methods that learn from it."""

import torch
from torch import Tensor

from toastlab.core.state import Stateful
from toastlab.core.stream import Batch


class Memory(Stateful):
    """Exponential moving averages of predictions: t_i <- k t_i + (1 - k) p_i at every visit.

    Args:
        first: [N, K] float32, what the rows begin with.

    Attributes:
        rows: [N, K] float32, t of every sample.
    """

    rows: Tensor

    def __init__(self, first: Tensor) -> None:
        super().__init__()
        self.add_state("rows", first, "rows")

    def after(self, batch: Batch, p: Tensor, keep: float | Tensor) -> Tensor:
        """[B, K]: the rows of the batch as this visit makes them; nothing is written yet. A mixed
        image says nothing of its sample alone, so that row stays as it is.

        Args:
            p: [B, K] float32, predictions without gradient; keep: share k of the old row.
        """
        rows = self.rows[batch.index]
        return torch.where((batch.weight == 1)[:, None], torch.lerp(p, rows, keep), rows)

    def mixed(self, batch: Batch, own: Tensor) -> Tensor:
        """[B, K]: the samples' own rows [B, K], mixed with their partners' as the images were."""
        return torch.lerp(self.rows[batch.partner], own, batch.weight[:, None])

    def note(self, batch: Batch, p: Tensor, keep: float | Tensor) -> None:
        """Writes what `after` says."""
        self.rows.index_copy_(0, batch.index, self.after(batch, p, keep))
