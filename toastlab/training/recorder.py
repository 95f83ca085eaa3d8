"""Writes down, once per epoch, what the bank says of every sample: the training dynamics.

The bank holds what training itself last said, so recording costs no forward pass. A sample that
was not visited within an epoch keeps its older record, and `visits` says so.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from toastlab.analysis.dynamics import Dynamics
from toastlab.data.splits import DiskSplit, Split
from toastlab.methods.base import Method

Record = Literal["auto", "logits", "summary", "none"]
LOGITS_LIMIT = 256 * 2**20  # bytes of float16 logits [E, N, K] above which "auto" keeps a summary


class RunRecorder:
    """History of E epochs over N samples, kept on the CPU.

    Args:
        record: "logits", "summary", "none", or "auto": logits if they fit in `LOGITS_LIMIT`.
    """

    def __init__(self, record: str, epochs: int, num_samples: int, num_classes: int) -> None:
        if record == "auto":
            fits = 2 * epochs * num_samples * num_classes <= LOGITS_LIMIT
            record = "logits" if fits else "summary"
        self.record = record
        # With many classes the medoids of every epoch would be larger than all the rest.
        kept = epochs if 2 * epochs * num_classes**2 <= LOGITS_LIMIT else 0
        shape = (0 if record == "none" else epochs, num_samples)
        self.data: dict[str, Tensor] = {
            "probability": torch.full(shape, torch.nan, dtype=torch.float16),
            "correct": torch.zeros(shape, dtype=torch.bool),
            "visits": torch.zeros(shape, dtype=torch.uint8),
            "carried": torch.zeros(shape, dtype=torch.uint8),
            "medoid_index": torch.full((epochs, num_classes), -1, dtype=torch.int64),
            "medoid_logits": torch.zeros(kept, num_classes, num_classes, dtype=torch.float16),
        }
        if record == "logits":
            self.data["logits"] = torch.zeros(*shape, num_classes, dtype=torch.float16)

    def add(self, epoch: int, method: Method) -> None:
        """Records the epoch (0 is the first) that just ended."""
        data, bank = self.data, method.bank
        if medoids := method.medoid_record():
            data["medoid_index"][epoch] = medoids["index"].cpu()
            if len(data["medoid_logits"]):
                data["medoid_logits"][epoch] = _half(medoids["logits"])
        if self.record == "none":
            return
        right = bank.logits.float().softmax(1).gather(1, method.labels[:, None])[:, 0]
        data["probability"][epoch] = torch.where(bank.seen, right, torch.nan).half().cpu()
        data["correct"][epoch] = ((bank.logits.argmax(1) == method.labels) & bank.seen).cpu()
        data["visits"][epoch] = bank.visits.clamp(max=255).to(torch.uint8).cpu()
        data["carried"][epoch] = bank.carried.clamp(max=255).to(torch.uint8).cpu()
        if self.record == "logits":
            data["logits"][epoch] = _half(bank.logits)

    def medoids(self, method: Method) -> dict[str, np.ndarray]:
        """`index` [E, K] int64 (-1: none), `logits` [E, K, K] float16 (E 0 if too large), and the
        `soft` [K, K] of now; empty for a method without medoids."""
        if not (now := method.medoid_record()):
            return {}
        history = {name: self.data[f"medoid_{name}"].numpy() for name in ("index", "logits")}
        return history | {"soft": now["soft"].cpu().numpy()}

    def dynamics(self, split: Split | DiskSplit) -> Dynamics | None:
        """The history, or None if none was kept."""
        if self.record == "none":
            return None
        logits = self.data.get("logits")
        return Dynamics(
            probability=self.data["probability"].numpy(),
            correct=self.data["correct"].numpy(),
            logits=None if logits is None else logits.numpy(),
            visits=self.data["visits"].numpy(),
            carried=self.data["carried"].numpy(),
            labels=split.labels.cpu().numpy(),
            clean_labels=split.clean_labels.cpu().numpy(),
            ids=split.ids,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors themselves, for a checkpoint."""
        return self.data

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continues from `state`."""
        for name, tensor in self.data.items():
            tensor.copy_(state[name])


def _half(logits: Tensor) -> Tensor:
    """Float16 on the CPU; logits beyond its range are clipped to it rather than made infinite."""
    limit = torch.finfo(torch.float16).max
    return logits.clamp(-limit, limit).half().cpu()
