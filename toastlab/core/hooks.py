"""Looking inside a network: what single modules put out, and where its last layer is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from toastlab.core.errors import BadValue


def last_linear(model: nn.Module) -> nn.Linear:
    """The last linear layer, whose input are the features and whose output are the logits.

    Raises:
        ValueError: there is none.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if not layers:
        raise BadValue("the network has no linear layer, in front of which its features lie.")
    return layers[-1]


@contextmanager
def watched(head: nn.Module, others: Sequence[nn.Module] = ()) -> Iterator[list[Tensor]]:
    """Collects, while a network runs once, what `others` put out and then what `head` takes in.

    The list is filled in the order of the modules as given, `head` last. A module that runs several
    times counts with its last output.
    """
    outputs: dict[int, Tensor] = {}
    seen: list[Tensor] = []

    def note(i: int) -> object:
        return lambda module, inputs, output: outputs.__setitem__(i, output)

    def finish(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[:] = [outputs[i] for i in range(len(others))] + [inputs[0]]

    hooks = [m.register_forward_hook(note(i)) for i, m in enumerate(others)]  # type: ignore[arg-type]
    hooks.append(head.register_forward_pre_hook(finish))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def exits(model: nn.Module) -> list[str]:
    """Names of the modules of one of our networks behind which its stages end, the last left out.

    Raises:
        ValueError: the network is not one of `build`.
    """
    names = getattr(model, "exits", None)
    if names is None:
        raise BadValue(
            "it is not known where the stages of this network end: name the modules (--exits a,b)."
        )
    return list(names)
