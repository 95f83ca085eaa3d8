"""Modules whose buffers say how the ranks of a run put them together.

Their state is a snapshot: what is trained afterwards changes nothing in it, so that a state saved
in a process can be loaded in the same one. To load is strict, and changes everything or nothing.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from toastlab.core.errors import BadType, StateError

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

    def state_dict(self, *args: Any, **named: Any) -> Any:
        """The state as a copy; with `keep_vars=True` the tensors themselves, for whoever writes
        them to a disk at once."""
        state = super().state_dict(*args, **named)
        if args[2] if len(args) > 2 else named.get("keep_vars", False):
            return state
        prefix = args[1] if len(args) > 1 else named.get("prefix", "")
        for path, module in self.named_modules(prefix=prefix.removesuffix(".")):
            if not isinstance(module, Stateful):  # those copy their own
                names = [f"{path}.{name}" for name in (*module._parameters, *module._buffers)]
                state.update({name: state[name].clone() for name in names if name in state})
        return state

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[no-untyped-call]
        if not keep_vars:
            for name in self._buffers:
                if prefix + name in destination:
                    destination[prefix + name] = destination[prefix + name].clone()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Goes back to a state.

        Args:
            strict: names that are missing or unexpected are errors; other shapes always are.

        Raises:
            StateError: the state does not fit; nothing was changed. TypeError: it is no dict.
        """
        if not isinstance(state_dict, Mapping):
            raise BadType(
                f"a {type(state_dict).__name__} is no state; give what state_dict() gave."
            )
        check_fits(type(self).__name__, state_dict, self.state_dict(keep_vars=True), strict)
        return super().load_state_dict(state_dict, strict, assign)

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


class Drawing(Stateful):
    """A module that may draw at random: the state of its `generator`, if it has one, is state."""

    generator: torch.Generator | None

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.generator is not None:
            destination[f"{prefix}generator"] = self.generator.get_state()

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any, *lists: Any
    ) -> None:
        name = f"{prefix}generator"
        if self.generator is not None and name in state_dict:
            self.generator.set_state(state_dict.pop(name).cpu())
        elif self.generator is not None and strict:
            missing.append(name)
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, *lists)  # type: ignore[no-untyped-call]


def check_fits(
    what: str, state: Mapping[str, Any], wanted: Mapping[str, Any], strict: bool = True
) -> None:
    """Checks that a state has the names (if `strict`) and the shapes of another one.

    Args:
        what: whose it is, for the message.

    Raises:
        StateError: it has not; the message names all that differs.
    """
    shapes = {n: (_shape(state[n]), _shape(t)) for n, t in wanted.items() if n in state}
    wrong = {
        "missing": [n for n in wanted if n not in state] if strict else [],
        "unexpected": [str(n) for n in state if n not in wanted] if strict else [],
        "of another shape": [f"{n} {a}, not {b}" for n, (a, b) in shapes.items() if a != b],
    }
    if told := "; ".join(f"{how}: {', '.join(names)}" for how, names in wrong.items() if names):
        raise StateError(
            f"this state does not fit {what} ({told}). It changed nothing; load it into one built "
            "with the settings, labels and batch size that it was saved with."
        )


def _shape(thing: Any) -> list[int] | str:
    return list(thing.shape) if isinstance(thing, Tensor) else f"a {type(thing).__name__}"
