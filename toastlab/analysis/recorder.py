"""The recorder: what a training of your own says of every sample, three lines in its loop.

    recorder = Recorder(num_samples, num_classes)
    for epoch in range(epochs):
        for images, labels, index in loader:        # the data set yields the sample's number, too
            logits = model(images)
            ...
            recorder.add(index, logits)
        recorder.end_epoch()
    analysis = analyse(recorder, all_labels)

It keeps what training itself said, so that it costs no forward pass: the logits of a sample's last
visit in each epoch, as the network then was. Letters: E epochs, N samples, B of a batch, K classes.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from toastlab.core.bank import Bank
from toastlab.core.checks import FLAG, FLOAT, INT, check_shapes
from toastlab.core.errors import BadValue, TrainingDiverged, in_range

LARGEST = torch.finfo(torch.float16).max


class Recorder:
    """The logits of every sample, epoch by epoch, from any loop and on any device.

    Nothing in `add` waits for the device; `end_epoch` copies the epoch to the host once. The
    history is float16 on the host, 2 E N K bytes; logits beyond its range are clipped to it.

    Args:
        num_samples: N, of the whole training set.
        num_classes: K.

    Example:
        >>> from toastlab import analyse
        >>> recorder = Recorder(num_samples=3, num_classes=2)
        >>> for epoch in range(2):
        ...     recorder.add(torch.tensor([2, 0, 1]), torch.tensor([[0.0, 1], [2, 0], [0, 3]]))
        ...     recorder.end_epoch()
        >>> analyse(recorder, [0, 1, 0]).table["aum"].tolist()
        [2.0, 3.0, -1.0]
    """

    def __init__(self, num_samples: int, num_classes: int) -> None:
        in_range("number of samples", num_samples, 1)
        in_range("number of classes", num_classes, 2)
        self.num_samples, self.num_classes = num_samples, num_classes
        self.bank: Bank | None = None  # on the device of the first logits
        self.knows_carried = False  # whether `add` was ever told who was carried
        self._added = False
        self._epochs: list[dict[str, Tensor]] = []

    @property
    def num_epochs(self) -> int:
        """E, the epochs that have been ended."""
        return len(self._epochs)

    def add(self, index: Tensor, logits: Tensor, carried: Tensor | None = None) -> None:
        """Keeps the logits of one batch; of a sample that comes again, the later ones.

        Args:
            index: [B] int64, which samples of the N they are; on the host or on the logits' device.
            logits: [B, K] floating point, of any precision; they are detached.
            carried: [B] bool, samples that came along from the batch before, as TOAST's
                `batch.carried` has it; None: none.

        Raises:
            ValueError: shapes or devices that do not fit, or an index on the host out of range.
            TypeError: other dtypes.
        """
        check_shapes(index=(index, INT, "B"))
        check_shapes(logits=(logits, FLOAT, "BK"))
        if index.device.type == "cpu" and index.numel():  # a look at it waits for nothing
            low, high = int(index.min()), int(index.max())
            if low < 0 or high >= self.num_samples:
                raise BadValue(
                    f"index runs from {low} to {high}, but the recorder was made for "
                    f"{self.num_samples} samples, 0..{self.num_samples - 1}."
                )
        if logits.shape[1] != self.num_classes:
            raise BadValue(
                f"logits are {list(logits.shape)}, but the recorder was made for "
                f"{self.num_classes} classes; give [B, {self.num_classes}]."
            )
        if logits.is_meta or index.device.type not in ("cpu", logits.device.type):
            raise BadValue(
                f"index is on {index.device}, logits are on {logits.device}; give logits on a real "
                "device, and the index there or on the host."
            )
        if self.bank is None:
            self.bank = Bank(self.num_samples, self.num_classes, logits.device)
        index = index.to(self.bank.logits.device, non_blocking=True)
        ones = torch.ones_like(index, dtype=torch.bool)
        given = torch.zeros_like(ones) if carried is None else carried
        check_shapes(index=(index, INT, "B"), carried=(given, FLAG, "B"))
        self.bank.write(index, logits, ones, given)
        self.knows_carried |= carried is not None
        self._added = True

    def end_epoch(self) -> None:
        """Puts the epoch into the history.

        Raises:
            ValueError: no batch was added since the last epoch's end.
            TrainingDiverged: logits are NaN or infinite.
        """
        if self.bank is None or not self._added:
            raise BadValue("no batch was added since the last epoch's end; call add in the loop.")
        z = self.bank.logits
        bad = ~torch.isfinite(z).all(1)
        if bool(bad.any()):
            raise TrainingDiverged(
                f"the logits of sample {int(bad.int().argmax())} are NaN or infinite after epoch "
                f"{self.num_epochs + 1}; lower the learning rate."
            )
        self._epochs.append(
            {
                "outputs": z.clamp(-LARGEST, LARGEST).half().cpu(),
                "known": self.bank.seen.cpu().clone(),
                "visits": self.bank.visits.cpu().clone(),
                "carried": self.bank.carried.cpu().clone(),
            }
        )
        self.bank.start_epoch()
        self._added = False

    def history(self) -> dict[str, np.ndarray]:
        """What was recorded so far.

        Returns:
            `outputs` [E, N, K] float16, the logits; `known` [E, N] bool, False before a sample's
            first visit; `visits` and `carried` [E, N] int64, visits within the epoch.

        Raises:
            ValueError: no epoch has been ended.
        """
        if not self._epochs:
            raise BadValue("nothing is recorded yet; call end_epoch after each epoch.")
        return {
            name: torch.stack([epoch[name] for epoch in self._epochs]).numpy()
            for name in self._epochs[0]
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint at the end of an epoch."""
        history = {} if not self._epochs else self.history()
        state: dict[str, Any] = {name: torch.from_numpy(x) for name, x in history.items()}
        bank = None if self.bank is None else self.bank.state_dict()
        return {"history": state, "bank": bank, "knows_carried": self.knows_carried}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state`.

        Raises:
            ValueError: it is of another number of samples or classes.
        """
        history, bank = state["history"], state["bank"]
        if bank is not None:
            shape, own = list(bank["logits"].shape), [self.num_samples, self.num_classes]
            if shape != own:
                raise BadValue(f"the state is of logits {shape}, this recorder is for {own}.")
            self.bank = Bank(self.num_samples, self.num_classes, bank["logits"].device)
            self.bank.load_state_dict(bank)
        count = len(history["outputs"]) if history else 0
        self.knows_carried = bool(state["knows_carried"])
        self._epochs = [{name: x[e] for name, x in history.items()} for e in range(count)]
        self._added = False
