"""A trainee's step as one CUDA graph."""

from collections.abc import Callable

from toastlab.bench.trainee import Trainee
from toastlab.core.errors import DeviceError
from toastlab.training.config import TrainConfig
from toastlab.training.graphs import WORTH, WRITTEN, Graphs, InPlace


def in_place(trainee: Trainee) -> InPlace:
    """Its step, which leaves all state where it lay."""
    return InPlace(trainee.step, (trainee.method,), trainee.stream)


def captured(trainee: Trainee) -> Callable[[], None]:
    """The whole step as one CUDA graph: to call it is one launch.

    Raises:
        DeviceError: the device has no graphs, something in the step cannot be held by one, or the
            replayed step does not move on.
    """
    if trainee.device.type != "cuda":
        raise DeviceError(
            f"there are no CUDA graphs on a {trainee.device.type}; use a CUDA device."
        )
    step, pointer = in_place(trainee), trainee.stream.pointer
    for _ in range(WRITTEN):
        step()
    graphs = Graphs(TrainConfig(), trainee.device, WORTH, ours=True)
    play = graphs.record(step, trainee.optimizer, ())
    if play is None:
        raise DeviceError("a CUDA graph cannot hold this step; the log has the reason.")
    at = int(pointer)
    play()
    if int(pointer) == at:
        raise DeviceError("the replayed step draws the same batch again: its state did not move.")
    return play
