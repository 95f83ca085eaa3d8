"""What nobody may leave out of a loop of one's own, asked before every batch.

Left out, it would not stop the training but make it another method's: an error is better.
"""

import torch
from torch import Tensor

from toastlab.core.checks import is_fake


class LoopGuard:
    """Follows one method through a loop: joined, given back, ended.

    Args:
        name: what the method is called in messages.
        labels: [N] int64, those it was built with.

    Attributes:
        samples_per_epoch: how many samples an epoch brings at most.
        joined: samples of this epoch so far.
    """

    def __init__(self, name: str, labels: Tensor) -> None:
        self.name, self.samples_per_epoch = name, len(labels)
        self.joined, self._waiting, self._checked = 0, False, False

    def before_join(self, labels: Tensor, index: Tensor, own: Tensor) -> None:
        """A batch of labels [b] and indices [b] is about to be joined; `own` are the method's.

        Raises:
            ValueError: something was left out before, or the batch is of other data.
        """
        if self._waiting:
            raise ValueError(
                f"{self.name}: the last batch never came back: call loss = method(logits, batch), "
                "or method.update(logits, batch), before the next join."
            )
        if self.joined >= self.samples_per_epoch:
            raise ValueError(
                f"{self.name} has joined {self.joined} samples since the last end_epoch(), a whole "
                "epoch: call method.end_epoch() after each pass of the loader, or set "
                "method.guard.samples_per_epoch to what its sampler draws."
            )
        if not self._checked and not is_fake(index):  # once, since it waits for the device
            self._check(labels, index, own)
        self.joined, self._waiting = self.joined + len(index), True

    def _check(self, labels: Tensor, index: Tensor, own: Tensor) -> None:
        low, high = torch.stack(index.aminmax()).tolist()
        if low < 0 or high >= len(own):
            raise ValueError(
                f"indices run from {low} to {high}, but the method was built for the {len(own)} "
                f"samples 0..{len(own) - 1}."
            )
        if not torch.equal(own[index], labels):
            raise ValueError(
                "the loader's labels are not those that the method was built with: give both the "
                "same labels in the same order."
            )
        self._checked = True

    def came_back(self) -> None:
        """The logits of the last batch are here."""
        self._waiting = False

    def epoch_ended(self) -> None:
        """The next batch begins an epoch."""
        self.joined, self._waiting = 0, False
