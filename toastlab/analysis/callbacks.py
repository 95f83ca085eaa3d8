"""The recorder for loops that are not yours: a callback for Lightning, one for Hugging Face.

Neither library is needed but by its own callback, and neither is installed with toastlab.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from toastlab.analysis.recorder import Recorder
from toastlab.core.errors import BadValue, PackageMissing

if TYPE_CHECKING:
    from lightning.pytorch import Callback


def lightning_callback(
    recorder: Recorder, logits: str = "logits", index: str = "index"
) -> "Callback":
    """A callback for `lightning.Trainer(callbacks=[...])` that fills the recorder.

    `training_step` returns a dictionary, in which Lightning looks for "loss" and this callback for
    two more:

        return {"loss": loss, "logits": logits, "index": index}

    The recorder's state goes into Lightning's checkpoints and comes back from them.

    Args:
        recorder: to be filled.
        logits, index: under which names the logits [B, K] and the samples' numbers [B] stand.

    Raises:
        PackageMissing: lightning is not installed.
    """
    try:
        from lightning.pytorch import Callback
    except ModuleNotFoundError as error:
        raise PackageMissing("the Lightning callback", error) from error

    class RecorderCallback(Callback):
        """Gives each training batch to the recorder."""

        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            found = outputs if isinstance(outputs, dict) else {}
            if missing := [name for name in (logits, index) if name not in found]:
                raise BadValue(
                    f"training_step did not return {missing[0]!r}; let it return "
                    f'{{"loss": loss, "{logits}": logits, "{index}": index}}.'
                )
            recorder.add(found[index], found[logits])

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            recorder.end_epoch()

        def state_dict(self) -> dict[str, Any]:
            return recorder.state_dict()

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            recorder.load_state_dict(state_dict)

    return RecorderCallback()


def huggingface_callback(recorder: Recorder, index: str = "index") -> Any:
    """A callback for `transformers.Trainer(callbacks=[...])` that fills the recorder.

    The trainer shows its callbacks no logits. So the callback listens at the network itself: it
    takes the column `index` out of what the network is called with, and notes the logits that come
    out of training passes. The data set yields that column, and the trainer must leave it in:

        TrainingArguments(..., remove_unused_columns=False)

    On one process. Under gradient accumulation every small batch counts.

    Args:
        recorder: to be filled; index: the column with the samples' numbers, int64 [B] in a batch.

    Raises:
        PackageMissing: transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ModuleNotFoundError as error:
        raise PackageMissing("the Hugging Face callback", error) from error

    class RecorderCallback(TrainerCallback):  # type: ignore[misc]
        """Listens at the network while it is trained."""

        def on_train_begin(
            self, args: Any, state: Any, control: Any, model: Any = None, **more: Any
        ) -> None:
            self.listener = Listener(recorder, index)
            self.listener.start(model)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.listener.check()
            recorder.end_epoch()

        def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.listener.stop()

    return RecorderCallback()


class Listener:
    """Notes the logits of a network's training passes, by hooks, whoever calls it.

    Args:
        recorder: to be filled; index: name of the argument with the samples' numbers, which the
            network itself does not get.
    """

    def __init__(self, recorder: Recorder, index: str = "index") -> None:
        self.recorder, self.index = recorder, index
        self._now: Tensor | None = None
        self._heard = False
        self._hooks: list[Any] = []

    def start(self, model: nn.Module) -> None:
        """From now on."""
        before = model.register_forward_pre_hook(self._before, with_kwargs=True)
        self._hooks = [before, model.register_forward_hook(self._after)]

    def stop(self) -> None:
        """Removes the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def check(self) -> None:
        """After an epoch.

        Raises:
            ValueError: the network was never called with the samples' numbers.
        """
        if not self._heard:
            raise BadValue(
                f"the network was never given {self.index!r}; let the data set yield that column "
                "and set TrainingArguments(remove_unused_columns=False)."
            )

    def _before(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = dict(kwargs)
        self._now = kwargs.pop(self.index, None)
        return args, kwargs

    def _after(self, model: nn.Module, args: Any, output: Any) -> None:
        if self._now is None or not model.training:
            return
        logits = output["logits"] if isinstance(output, dict) else getattr(output, "logits", output)
        if not isinstance(logits, Tensor):  # a tuple (loss, logits, ...) or (logits, ...)
            logits = next(x for x in output if isinstance(x, Tensor) and x.ndim == 2)
        self._heard = True
        self.recorder.add(self._now.to(torch.int64), logits)
        self._now = None
