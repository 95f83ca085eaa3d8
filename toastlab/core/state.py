"""Modules whose buffers say how the ranks of a run put them together."""

from typing import Literal

from torch import Tensor, nn

# What becomes of a buffer when the ranks meet at the end of an epoch:
# "rows": a row a sample; each rank has those of the samples that it drew;
# "sum": each rank has a part of a sum;
# "same": made of the others in the same way on every rank; rank 0's is taken, to the bit;
# "own": a rank's own business.
Across = Literal["rows", "sum", "same", "own"]


class Stateful(nn.Module):
    """A module with buffers that are declared with `add_state`."""

    def __init__(self) -> None:
        super().__init__()
        self._across: dict[str, Across] = {}

    def add_state(self, name: str, value: Tensor, across: Across) -> None:
        """Registers a buffer, which `state_dict` holds and `to` moves.

        Args:
            name: of the attribute and in the state dict.
            value: what it begins with.
            across: how ranks put it together, see `Across`.
        """
        self.register_buffer(name, value)
        self._across[name] = across

    def states(self, *across: Across) -> dict[str, Tensor]:
        """The buffers that are put together in one of these ways, by their names in `state_dict`.

        Those of modules inside that are not `Stateful` count as "same", their parameters too.
        """
        chosen: dict[str, Tensor] = {}
        for path, module in self.named_modules():
            prefix = f"{path}." if path else ""
            if isinstance(module, Stateful):
                ways = module._across.items()
                chosen |= {prefix + n: getattr(module, n) for n, how in ways if how in across}
            elif "same" in across:
                parameters = module.named_parameters(recurse=False)
                chosen |= {prefix + n: t.detach() for n, t in parameters}
                chosen |= {prefix + n: t for n, t in module.named_buffers(recurse=False)}
        return chosen
