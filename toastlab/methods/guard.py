"""What nobody may leave out of a loop of one's own, asked before every batch and every epoch.

Left out, it would not stop the training but make it another method's: an error is better.
"""

from typing import TypeVar

import torch
from torch import Tensor

from toastlab.core.checks import is_fake
from toastlab.core.errors import BadValue, LoopError
from toastlab.core.stream import Stream

# What a user may have left out, as it is written in a loop.
SETUP = "call method.setup(model, images, Plan(epochs=...)) before the first batch"
SET_TEACHER = "call method.set_teacher(network) before the first batch"
RUN_MODEL = "take the logits from method.run_model(model, images, batch)"
GIVE_BACK = (
    "the last batch never came back: call loss = method(logits, batch) in training mode, or "
    "method.update(logits, batch), before the next one."
)
Given = TypeVar("Given")


class LoopGuard:
    """Follows one method through a loop: drawn or joined, given back, ended.

    Args:
        name: what the method is called in messages.
        labels: [N] int64, those it was built with.

    Attributes:
        samples_per_epoch: how many samples an epoch brings at most.
        joined: samples of this epoch so far that a loader brought.
        drawn: batches of this epoch so far that were drawn from a stream.
    """

    def __init__(self, name: str, labels: Tensor) -> None:
        self.name, self.samples_per_epoch = name, len(labels)
        self._checked = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """The next batch begins an epoch, whatever was before: so where a state was loaded."""
        self.joined = self.drawn = self._given_back = self._steps = 0
        self._waiting = False

    def before_join(self, labels: Tensor, index: Tensor, own: Tensor) -> None:
        """A batch of labels [b] and indices [b] is about to be joined; `own` are the method's.

        Raises:
            LoopError: something was left out before, or the batch is of other data.
        """
        self._no_open_epoch()
        self.check_back()
        if self.joined >= self.samples_per_epoch:
            raise LoopError(
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
            raise LoopError(
                f"indices run from {low} to {high}, but the method was built for the {len(own)} "
                f"samples 0..{len(own) - 1}."
            )
        if not torch.equal(own[index], labels):
            raise LoopError(
                "the loader's labels are not those that the method was built with: give both the "
                "same labels in the same order."
            )
        self._checked = True

    def before_epoch(self, steps: int) -> None:
        """An epoch of `steps` batches from a stream is about to begin.

        Raises:
            LoopError: the one before was not ended.
        """
        self._no_open_epoch()
        if self.joined:
            raise LoopError(
                f"{self.name} has joined {self.joined} samples and no end_epoch() followed: call "
                "method.end_epoch() after each pass of the loader."
            )
        self._steps = steps

    def _no_open_epoch(self) -> None:
        if self.drawn:
            raise LoopError(
                f"{self.name}: the last epoch stopped after {self.drawn} of {self._steps} batches "
                "and never ended: let `for batch in method.batches(stream)` run to its end (no "
                "islice or zip that stops it), or call method.end_epoch() after a break."
            )

    def drew(self) -> None:
        """A batch was drawn from a stream."""
        self.drawn, self._waiting = self.drawn + 1, True

    def check_back(self) -> None:
        """Asked before whatever follows a batch.

        Raises:
            LoopError: its logits were never given back.
        """
        if self._waiting:
            raise LoopError(f"{self.name}: {GIVE_BACK}")

    def came_back(self) -> None:
        """The logits of the last batch are here."""
        self._waiting, self._given_back = False, self._given_back + 1

    def epoch_ended(self) -> None:
        """The next batch begins an epoch.

        Raises:
            LoopError: no batch of this one came back, so that nothing was learnt from it.
        """
        if (self.joined or self.drawn) and not self._given_back:
            raise LoopError(f"{self.name}: {GIVE_BACK}")
        self.begin_anew()


def check_stream(name: str, own: Tensor, batch_size: int, stream: Stream) -> None:
    """Checks that a stream brings what a method was built for; compares labels on the device, once
    an epoch, and only where they are not the same tensor.

    Args:
        name: of the method; own: [N] int64, its labels; batch_size: what it was built with.

    Raises:
        LoopError: it does not.
    """
    labels = stream.labels
    if stream.batch_size != batch_size:
        raise LoopError(
            f"{name} was built for batches of {batch_size}, but the stream has "
            f"{stream.batch_size}: give both the same batch size."
        )
    if labels is own:
        return
    if labels.device != own.device:
        raise LoopError(
            f"{name} lies on {own.device}, but the stream's labels on {labels.device}: move the "
            "data set first (data.to(device)) and build both from it."
        )
    if labels.shape != own.shape:
        raise LoopError(
            f"{name} was built with {len(own)} labels, but the stream has {len(labels)} samples: "
            "give build the labels of the split that the stream draws from (data.train.labels)."
        )
    if not (is_fake(own) or own.is_meta) and not torch.equal(own, labels):
        raise LoopError(
            f"{name} was built with other labels than the stream has, or in another order: give "
            "build the labels of the split that the stream draws from (data.train.labels)."
        )


def given(method: object, thing: Given | None, call: str) -> Given:
    """A thing that a call of the user's leaves behind.

    Raises:
        ValueError: it is not there; the message names the call.
    """
    if thing is None:
        raise BadValue(f"{type(method).__name__} cannot go on: {call}.")
    return thing
